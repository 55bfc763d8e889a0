//! curl as the client of the proxy, over HTTP/1.0, HTTP/1.1 and HTTP/2 without TLS.

use std::{fs, path::PathBuf};

use equipoise_tests::{Output, program, run};

use crate::{
    app::{self, LARGE},
    folder::Folder,
    setup::{Proxy, Version},
};

/// The options that select a version of HTTP, and the version that curl reports.
const HTTP1: (&str, &str) = ("--http1.1", "1.1");
const HTTP2: (&str, &str) = ("--http2-prior-knowledge", "2");

struct Curl {
    program: PathBuf,
    proxy: Proxy,
}

impl Curl {
    /// Starts a proxy in front of the application. `None` if curl is not installed.
    async fn found(endpoint: Version) -> Option<Self> {
        let program = program("curl", "curl")?;
        Some(Self { program, proxy: Proxy::start(app::start().await, endpoint).await })
    }

    async fn get(&self, options: &[&str], path: &str) -> Output {
        let url = format!("http://{}{path}", self.proxy.address);
        run(&self.program, ["--silent", "--show-error", "--globoff"].iter().chain(options).copied().chain([&*url]))
            .await
    }
}

/// The combinations of the client's and the endpoint's version.
const VERSIONS: [((&str, &str), Version); 4] =
    [(HTTP1, Version::Http1), (HTTP1, Version::Http2), (HTTP2, Version::Http1), (HTTP2, Version::Http2)];

#[tokio::test]
async fn curl_gets_heads_bodies_and_trailers() {
    for ((option, version), endpoint) in VERSIONS {
        let Some(curl) = Curl::found(endpoint).await else { return };
        let written = ["--write-out", " %{http_version} %{http_code} %{num_connects}", option];
        assert_eq!(curl.get(&written, "/hello").await.stdout, format!("hello {version} 200 1"), "{endpoint:?}");

        let head = curl.get(&["--head", option], "/hello").await.stdout.to_ascii_lowercase();
        assert!(head.contains("content-length: 5\r\n") && head.ends_with("\r\n\r\n"), "{endpoint:?}: {head}");

        let all = curl.get(&["--include", "--header", "te: trailers", option], "/trailers").await.stdout;
        assert!(all.ends_with("\r\n\r\nhellox-sum: 5\r\n"), "{option} {endpoint:?}: {all}");

        let large = curl.get(&[option], "/large").await.stdout;
        assert!(large.len() == LARGE && large.bytes().all(|byte| byte == b'.'), "{} bytes", large.len());
        assert_eq!(curl.proxy.counts().await, (4, 0), "{option} {endpoint:?}");
    }
}

#[tokio::test]
async fn curl_keeps_its_connection() {
    // curl 7.88 (Debian 12) cannot reuse connections of HTTP/2 without TLS: https://github.com/curl/curl/pull/10643
    let Some(curl) = Curl::found(Version::Http1).await else { return };
    let url = format!("http://{}/name/[1-100]", curl.proxy.address);
    let options = ["--silent", "--show-error", "--write-out", " %{http_code} %{num_connects}\n", "--http1.1", &url];
    let answers = run(&curl.program, options).await.stdout;
    let expected = (1..=100).map(|number| format!("{number} 200 {}\n", u8::from(number == 1)));
    assert_eq!(answers, expected.collect::<String>());
}

#[tokio::test]
async fn curl_sends_its_body_after_100_continue() {
    let folder = Folder::new();
    let file = folder.path().join("body");
    let body = "0123456789abcdef".repeat(1 << 16);
    fs::write(&file, &body).expect("a file");
    let data = format!("@{}", file.display());
    for endpoint in [Version::Http1, Version::Http2] {
        let Some(curl) = Curl::found(endpoint).await else { return };
        // Longer than the test may take, so that the body is not sent without the interim response.
        let expects = ["--http1.1", "--expect100-timeout", "600", "--header", "expect: 100-continue", "--verbose"];
        let sends = ["--data-binary", &data, "--header", "content-type: text/plain"];
        let Output { stdout, stderr } = curl.get(&[&expects[..], &sends].concat(), "/echo").await;
        assert!(stdout == body, "{} bytes", stdout.len());
        assert!(stderr.contains("< HTTP/1.1 100 Continue"), "{endpoint:?}: {stderr}");
        assert!(stderr.to_ascii_lowercase().contains("< x-method: post"), "{stderr}");
        assert_eq!(curl.proxy.counts().await, (1, 0), "{endpoint:?}");
    }
}

#[tokio::test]
async fn curl_uploads_a_body_without_a_length() {
    let folder = Folder::new();
    let file = folder.path().join("body");
    fs::write(&file, "x".repeat(3_000_000)).expect("a file");
    let file = file.display().to_string();
    for ((option, _), endpoint) in VERSIONS {
        let Some(curl) = Curl::found(endpoint).await else { return };
        let chunked = ["--request", "POST", "--upload-file", &file, "--header", "transfer-encoding: chunked"];
        let no_length = ["--header", "content-length:", "--expect100-timeout", "600", option];
        let answer = curl.get(&[&chunked[..], &no_length].concat(), "/count").await.stdout;
        assert_eq!(answer, "3000000", "{option} {endpoint:?}");
    }
}

#[tokio::test]
async fn curl_with_http_1_0_gets_a_body_of_unknown_length() {
    let Some(curl) = Curl::found(Version::Http1).await else { return };
    let Output { stdout, stderr } = curl.get(&["--http1.0", "--verbose"], "/large").await;
    assert!(stdout.len() == LARGE, "{} bytes", stdout.len());
    assert!(!stderr.to_ascii_lowercase().contains("transfer-encoding"), "{stderr}");
}
