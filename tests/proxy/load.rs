//! Load generators as clients of the proxy: no request fails.

use std::path::Path;

use equipoise_tests::{program, run, soon};

use crate::{
    app,
    setup::{Proxy, Version},
};

/// Runs a load generator against a proxy with these endpoints' version. Returns its report.
async fn load(program: &Path, options: &[&str], endpoint: Version, path: &str) -> String {
    let proxy = Proxy::start(app::start().await, endpoint).await;
    let url = format!("http://{}{path}", proxy.address);
    let report = run(program, options.iter().copied().chain([&*url])).await.stdout;
    soon(proxy.pool.idle(proxy.pool.endpoints()[0].id.clone())).await;
    let requests = proxy.pool.endpoints()[0].requests;
    // wrk leaves when its time is over, without waiting for the last responses.
    assert_eq!(requests.success + requests.cancelled, requests.total, "{requests:?}\n{report}");
    report
}

/// Returns the number in front of or behind a text, such as 5 in "5 requests in" or in "Failed requests:   5".
fn number(report: &str, text: &str) -> u64 {
    let (before, after) = report.split_once(text).unwrap_or_else(|| panic!("no {text:?} in {report}"));
    let number = match after.split_whitespace().next().and_then(|word| word.parse().ok()) {
        Some(after) if text.ends_with(':') => Some(after),
        _ => before.split_whitespace().next_back().and_then(|word| word.parse().ok()),
    };
    number.unwrap_or_else(|| panic!("no number at {text:?} in {report}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_of_wrk_fails() {
    let Some(wrk) = program("wrk", "wrk") else { return };
    // A request that takes longer than 2 s, wrk's default, would count as failed on a busy machine.
    let options = ["-t", "2", "-c", "32", "-d", "2s", "--timeout", "30s"];
    for endpoint in [Version::Http1, Version::Http2] {
        let report = load(&wrk, &options, endpoint, "/hello").await;
        assert!(number(&report, "requests in") > 100, "{report}");
        assert!(!report.contains("Socket errors") && !report.contains("Non-2xx"), "{report}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_of_h2load_fails() {
    let Some(h2load) = program("h2load", "nghttp2-client") else { return };
    for (options, endpoint, path, requests) in [
        (&["-n", "20000", "-c", "8", "-m", "16"][..], Version::Http1, "/hello", 20_000),
        (&["-n", "5000", "-c", "8", "-m", "16"], Version::Http2, "/hello", 5_000),
        (&["-n", "5000", "-c", "8", "--h1"], Version::Http1, "/hello", 5_000),
        // More than the flow control of a connection lets pass at once.
        (&["-n", "40", "-c", "4", "-m", "5"], Version::Http2, "/large", 40),
    ] {
        let report = load(h2load.as_path(), options, endpoint, path).await;
        let counts = format!("{requests} succeeded, 0 failed, 0 errored, 0 timeout");
        assert!(report.contains(&counts), "{options:?}: {report}");
        assert!(report.contains(&format!("status codes: {requests} 2xx")), "{options:?}: {report}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_of_ab_fails() {
    let Some(ab) = program("ab", "apache2-utils") else { return };
    // It speaks HTTP/1.0, with `Connection: keep-alive` or without.
    for options in [&["-q", "-n", "2000", "-c", "8", "-k"][..], &["-q", "-n", "2000", "-c", "8"]] {
        let report = load(&ab, options, Version::Http1, "/hello").await;
        assert_eq!(number(&report, "Complete requests:"), 2000, "{report}");
        assert_eq!(number(&report, "Failed requests:"), 0, "{report}");
        assert!(!report.contains("Non-2xx"), "{report}");
        if options.contains(&"-k") {
            assert_eq!(number(&report, "Keep-Alive requests:"), 2000, "{report}");
        }
    }
}
