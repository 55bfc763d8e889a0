//! Real clients: curl, and requests for Python.

use std::path::{Path, PathBuf};

use equipoise::gateway::{
    auth::{AuthLayer, Basic, Users},
    cache::CacheLayer,
    compression::CompressionLayer,
    stack::Functions,
};
use equipoise_tests::{Backend, Seen, program, python_with, run};

use crate::setup::{Gateway, answer, cache};

struct Curl {
    program: PathBuf,
    gateway: Gateway,
    backend: Backend,
    cache: CacheLayer,
}

/// A text that compresses well.
fn text() -> String {
    (0..1000).map(|line| format!("line {line}\n")).collect()
}

impl Curl {
    /// Starts a gateway with a cache and compression. `None` if curl is not installed.
    async fn found() -> Option<Self> {
        let program = program("curl", "curl")?;
        let backend = Backend::answering(|_: &Seen| {
            let fields = [
                ("cache-control", "max-age=60"),
                ("content-type", "text/plain"),
                ("etag", "\"v1\""),
                ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ];
            answer(200, &fields, text())
        })
        .expect("a free port");
        let cache = cache(|cache| cache);
        let functions = Functions::new().compress(CompressionLayer::new()).cache(cache.clone());
        let gateway = Gateway::start(functions, backend.address()).await;
        Some(Self { program, gateway, backend, cache })
    }

    async fn get(&self, options: &[&str]) -> String {
        let url = format!("http://{}/text", self.gateway.address);
        run(&self.program, ["--silent", "--show-error"].iter().chain(options).copied().chain([&*url])).await.stdout
    }

    /// Returns the head of a response, in lower case.
    async fn head_of(&self, options: &[&str]) -> String {
        let options: Vec<_> = options.iter().chain(&["--dump-header", "-", "--output", "/dev/null"]).copied().collect();
        self.get(&options).await.to_ascii_lowercase()
    }
}

#[tokio::test]
async fn curl_decompresses_what_the_gateway_has_compressed() {
    let Some(curl) = Curl::found().await else { return };
    for encoding in ["gzip", "br", "zstd", "deflate"] {
        let accepts = format!("accept-encoding: {encoding}");
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            // The header replaces that of `--compressed`, so that one encoding is used.
            let options = ["--compressed", "--header", &*accepts, version];
            assert!(curl.get(&options).await == text(), "{encoding} {version}");
            let head = curl.head_of(&options).await;
            assert!(head.contains(&format!("content-encoding: {encoding}\r\n")), "{head}");
            assert!(head.contains("vary: accept-encoding") && head.contains("etag: w/\"v1\""), "{head}");
        }
    }
    assert!(curl.get(&["--compressed"]).await == text());
    let plain = curl.head_of(&[]).await;
    assert!(!plain.contains("content-encoding") && plain.contains("etag: \"v1\""), "{plain}");
    assert_eq!(curl.backend.served(), 1, "one stored response serves all");
}

#[tokio::test]
async fn curl_gets_ranges_of_a_stored_response() {
    let Some(curl) = Curl::found().await else { return };
    let whole = curl.get(&[]).await;
    let length = whole.len();
    for (range, expected) in [("0-9", &whole[..10]), ("100-", &whole[100..]), ("-5", &whole[length - 5..])] {
        assert_eq!(curl.get(&["--range", range]).await, expected, "{range}");
    }
    let head = curl.head_of(&["--range", "0-9"]).await;
    assert!(head.starts_with("http/1.1 206") && head.contains(&format!("content-range: bytes 0-9/{length}")), "{head}");
    let beyond = curl.head_of(&["--range", "999999-"]).await;
    assert!(beyond.starts_with("http/1.1 416") && beyond.contains(&format!("bytes */{length}")), "{beyond}");
    let changed = curl.head_of(&["--range", "0-9", "--header", "if-range: \"v0\""]).await;
    assert!(changed.starts_with("http/1.1 200"), "{changed}");
    assert_eq!(curl.backend.served(), 1);
}

#[tokio::test]
async fn curl_continues_a_download() {
    let Some(curl) = Curl::found().await else { return };
    let file = std::env::temp_dir().join(format!("equipoise-gateway-{}", std::process::id()));
    let path = file.display().to_string();
    curl.get(&[]).await;
    std::fs::write(&file, &text()[..5000]).expect("a file");
    curl.get(&["--continue-at", "-", "--output", &path]).await;
    let found = std::fs::read_to_string(&file).expect("a file");
    let _ = std::fs::remove_file(&file);
    assert!(found == text(), "{} bytes", found.len());
}

#[tokio::test]
async fn curl_gets_304_for_what_it_has() {
    let Some(curl) = Curl::found().await else { return };
    curl.get(&[]).await;
    for has in ["if-none-match: \"v1\"", "if-none-match: W/\"v1\"", "if-none-match: \"v0\", \"v1\"", "if-none-match: *"]
    {
        let head = curl.head_of(&["--header", has]).await;
        assert!(head.starts_with("http/1.1 304") && head.contains("\"v1\""), "{has}: {head}");
        assert!(!head.contains("content-type"), "{head}");
    }
    let head = curl.head_of(&["--time-cond", "Sun, 06 Nov 1994 08:49:37 GMT"]).await;
    assert!(head.starts_with("http/1.1 304"), "{head}");
    let head = curl.head_of(&["--header", "if-none-match: \"v0\""]).await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    // curl keeps the tag in a file, and asks with it.
    let file = std::env::temp_dir().join(format!("equipoise-gateway-etag-{}", std::process::id()));
    let path = file.display().to_string();
    curl.get(&["--etag-save", &path]).await;
    let head = curl.head_of(&["--etag-compare", &path]).await;
    let _ = std::fs::remove_file(&file);
    assert!(head.starts_with("http/1.1 304"), "{head}");
    assert_eq!(curl.backend.served(), 1);
}

#[tokio::test]
async fn curl_gets_the_head_of_a_stored_response() {
    let Some(curl) = Curl::found().await else { return };
    let length = curl.get(&[]).await.len();
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let head = curl.get(&["--head", version]).await.to_ascii_lowercase();
        assert!(head.contains(" 200") && head.contains(&format!("content-length: {length}\r\n")), "{head}");
        assert!(head.contains("cache-status: equipoise; hit") && head.ends_with("\r\n\r\n"), "{head}");
    }
    let age = curl.head_of(&[]).await;
    assert!(age.contains("\r\nage: "), "{age}");
    assert_eq!((curl.backend.served(), curl.cache.stats().hits), (1, 3));
}

#[tokio::test]
async fn requests_authenticates_with_a_password() {
    let Some(python) = python_with("requests") else { return };
    let users: Users = "ann:$2y$04$WtMPX68r0lf83ABL2XjVGOJy5hQY.1ESjDoa/SOVUWJNzUs5Po3oG".parse().expect("users");
    let backend =
        Backend::answering(|seen: &Seen| answer(200, &[], seen.header("x-auth-user").unwrap_or("nobody").to_owned()))
            .expect("a free port");
    let functions = Functions::new().authenticate(AuthLayer::new(Basic::new(users)));
    let gateway = Gateway::start(functions, backend.address()).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("gateway/python/basic_client.py");
    let output = run(&python, [script, format!("http://{}", gateway.address).into()]).await;
    assert_eq!(output.stdout, "done\n");
}
