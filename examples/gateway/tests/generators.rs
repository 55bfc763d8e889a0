//! Load generators and curl as clients of the gateway. If they are not installed, these tests print `SKIPPED` and pass.

use std::io;

use tokio::process::Command;

use crate::{
    backend::Backend,
    client::soon,
    process::{Folder, Gateway},
};

/// A gateway in front of a backend, for clients that are other programs.
struct Site {
    url: String,
    _gateway: Gateway,
    _folder: Folder,
    _backend: Backend,
}

impl Site {
    async fn start() -> Self {
        Self::with("", "").await
    }

    /// Starts a gateway with these keys of the listener, and these tables.
    async fn with(keys: &str, tables: &str) -> Self {
        let (backend, folder) = (Backend::start("hello"), Folder::new());
        let config = format!(
            r#"
            [log]
            access = false
            [[listener]]
            bind = "127.0.0.1:0"
            pool = "web"
            {keys}
            [pool.web]
            endpoints = [{{ address = "{}" }}]
            {tables}
            "#,
            backend.address()
        );
        let gateway = Gateway::start(&folder, &config).await;
        Self { url: format!("http://{}/", gateway.addresses[0]), _gateway: gateway, _folder: folder, _backend: backend }
    }

    /// Runs a client with the URL of the gateway. Returns its report, or `None` if it is not installed.
    async fn run(&self, program: &str, package: &str, options: &[&str]) -> Option<String> {
        let mut command = Command::new(program);
        command.args(options).arg(&self.url).env("NO_PROXY", "*").kill_on_drop(true);
        let output = match soon(command.output()).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                eprintln!("SKIPPED: no {program} on PATH (Debian: apt-get install {package})");
                return None;
            }
            output => output.unwrap(),
        };
        let report = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{report}");
        Some(report)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_of_wrk_fails() {
    let options = ["-t", "2", "-c", "32", "-d", "2s", "--timeout", "30s"];
    let Some(report) = Site::start().await.run("wrk", "wrk", &options).await else { return };
    assert!(report.contains(" requests in ") && !report.contains("\n  0 requests in"), "{report}");
    assert!(!report.contains("Socket errors") && !report.contains("Non-2xx"), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_of_hey_fails_behind_a_limit_a_cache_and_compression() {
    let keys = r#"
        cache = { heuristic = { part = 0.1, max = "1h" } }
        compression = { encoding = ["gzip"] }
        limit = { rate = [{ quota = "1000000/s", burst = 1000000, by = "client" }] }
    "#;
    let site = Site::with(keys, "[cache.main]\nmax_bytes = 1000000").await;
    let Some(report) = site.run("hey", "hey", &["-n", "2000", "-c", "40"]).await else { return };
    let responses: Vec<&str> = report.lines().filter(|line| line.contains(" responses")).map(str::trim).collect();
    assert_eq!(responses, ["[200]\t2000 responses"], "{report}");
    assert!(!report.contains("Error distribution"), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_of_h2load_fails() {
    let options = ["-n", "5000", "-c", "8", "-m", "16"];
    let Some(report) = Site::start().await.run("h2load", "nghttp2-client", &options).await else { return };
    assert!(report.contains("5000 succeeded, 0 failed, 0 errored, 0 timeout"), "{report}");
    assert!(report.contains("status codes: 5000 2xx"), "{report}");
}

#[tokio::test]
async fn curl_gets_the_same_response_over_all_versions() {
    let site = Site::start().await;
    for version in ["--http1.0", "--http1.1", "--http2-prior-knowledge"] {
        let options = ["--silent", "--show-error", "--write-out", " %{http_code}", version];
        let Some(answer) = site.run("curl", "curl", &options).await else { return };
        assert_eq!(answer, "hello 200", "{version}");
    }
}
