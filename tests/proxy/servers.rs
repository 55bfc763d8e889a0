//! nginx and the HTTP server of Python as the endpoint of the proxy.

use std::fs;

use equipoise_tests::{program, soon};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::{
    folder::Folder,
    process::{Process, script},
    setup::{Body, Proxy, Version, data, frames},
};

const CLIENTS: [Version; 2] = [Version::Http1, Version::Http2];

fn get(path: &str, name: &'static str, value: &str) -> Request<Body> {
    Request::get(path).header(name, value).body(frames([])).expect("a request")
}

fn header<'r>(response: &'r Response<Incoming>, name: &str) -> &'r str {
    response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

async fn body(response: Response<Incoming>) -> String {
    let bytes = soon(response.into_body().collect()).await.expect("a body").to_bytes();
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// A folder with the file `text.txt`.
fn files() -> Folder {
    let files = Folder::new();
    fs::write(files.path().join("text.txt"), "0123456789".repeat(1000)).expect("a file");
    files
}

#[tokio::test]
async fn files_of_nginx_are_sent_whole_in_parts_or_not_at_all() {
    let directives = "gzip on; gzip_types *; gzip_min_length 1; gzip_http_version 1.0;";
    let Some(nginx) = Process::nginx(directives, files()).await else { return };
    let proxy = Proxy::start(nginx.address.clone(), Version::Http1).await;
    for client in CLIENTS {
        let whole = proxy.send(client, get("/text.txt", "accept", "*/*")).await;
        assert_eq!((whole.status(), header(&whole, "content-length")), (StatusCode::OK, "10000"));
        let etag = header(&whole, "etag").to_owned();
        assert_eq!(body(whole).await.len(), 10_000);

        let unchanged = proxy.send(client, get("/text.txt", "if-none-match", &etag)).await;
        assert_eq!((unchanged.status(), header(&unchanged, "etag")), (StatusCode::NOT_MODIFIED, &*etag));
        assert_eq!(body(unchanged).await, "");

        let part = proxy.send(client, get("/text.txt", "range", "bytes=5-14")).await;
        assert_eq!((part.status(), header(&part, "content-range")), (StatusCode::PARTIAL_CONTENT, "bytes 5-14/10000"));
        assert_eq!(body(part).await, "5678901234");

        let parts = proxy.send(client, get("/text.txt", "range", "bytes=0-1,5-6")).await;
        assert!(header(&parts, "content-type").starts_with("multipart/byteranges"), "{parts:?}");
        assert!(body(parts).await.contains("Content-Range: bytes 5-6/10000"));

        let head = Request::head("/text.txt").body(frames([])).expect("a request");
        let head = proxy.send(client, head).await;
        assert_eq!((head.status(), header(&head, "content-length")), (StatusCode::OK, "10000"));
        assert_eq!(body(head).await, "");

        // The length of a compressed response is not known.
        let small = proxy.send(client, get("/text.txt", "accept-encoding", "gzip")).await;
        assert_eq!((header(&small, "content-encoding"), header(&small, "content-length")), ("gzip", ""));
        let bytes = soon(small.into_body().collect()).await.expect("a body").to_bytes();
        assert!(bytes.starts_with(&[0x1f, 0x8b]) && bytes.len() < 1000, "{} bytes", bytes.len());
    }
    assert_eq!(proxy.counts().await, (12, 0));
}

#[tokio::test]
async fn connections_that_nginx_closes_after_some_requests_cost_no_request() {
    let directives = "keepalive_requests 7; location /post { return 200 $request_method; }";
    let Some(nginx) = Process::nginx(directives, files()).await else { return };
    let proxy = Proxy::start(nginx.address.clone(), Version::Http1).await;
    let sends = (0..8).map(|_| async {
        for _ in 0..25 {
            assert_eq!(body(proxy.send(Version::Http1, get("/text.txt", "accept", "*/*")).await).await.len(), 10_000);
            let post = Request::post("/post").body(frames([data("hello")])).expect("a request");
            let response = proxy.send(Version::Http2, post).await;
            assert_eq!((response.status(), &*body(response).await), (StatusCode::OK, "POST"));
        }
    });
    futures::future::join_all(sends).await;
    assert_eq!(proxy.counts().await, (400, 0));
}

#[tokio::test]
async fn the_client_gets_a_refusal_of_nginx_while_its_body_is_on_the_way() {
    let Some(nginx) = Process::nginx("client_max_body_size 10k;", files()).await else { return };
    let proxy = Proxy::start(nginx.address.clone(), Version::Http1).await;
    let part: &'static str = Box::leak("0123456789abcdef".repeat(4096).into_boxed_str());
    for client in CLIENTS {
        // With a length, nginx refuses the body by its length, and otherwise the method.
        for (length, status) in
            [(Some(256 * part.len()), StatusCode::PAYLOAD_TOO_LARGE), (None, StatusCode::METHOD_NOT_ALLOWED)]
        {
            let upload = Request::post("/text.txt");
            let upload = match length {
                Some(length) => upload.header("content-length", length),
                None => upload,
            };
            let upload = upload.body(frames((0..256).map(|_| data(part)))).expect("a request");
            let response = soon(proxy.send(client, upload)).await;
            assert_eq!(response.status(), status, "{client:?} {length:?}");
            assert!(body(response).await.contains("nginx"), "the body of nginx");
        }
    }
    assert_eq!(proxy.counts().await, (4, 0));
}

#[tokio::test]
async fn answers_in_http_1_0_pass_to_both_versions() {
    let Some(python) = program("python3", "python3") else { return };
    let server = Process::python(&python, &["-m", "http.server", "--bind", "127.0.0.1", "0"], files()).await;
    let proxy = Proxy::start(server.address.clone(), Version::Http1).await;
    for client in CLIENTS {
        for _ in 0..3 {
            let file = proxy.send(client, get("/text.txt", "accept", "*/*")).await;
            assert_eq!((file.status(), header(&file, "content-length")), (StatusCode::OK, "10000"));
            assert!(header(&file, "server").contains("SimpleHTTP"), "{file:?}");
            assert_eq!(body(file).await.len(), 10_000);
        }
        let list = proxy.send(client, get("/", "accept", "*/*")).await;
        assert!(body(list).await.contains("text.txt"));
        let none = proxy.send(client, get("/none", "accept", "*/*")).await;
        assert_eq!(none.status(), StatusCode::NOT_FOUND);
        assert!(body(none).await.contains("File not found"));
        let head = Request::head("/text.txt").body(frames([])).expect("a request");
        let head = proxy.send(client, head).await;
        assert_eq!(header(&head, "content-length"), "10000");
        assert_eq!(body(head).await, "");
    }
    assert_eq!(proxy.counts().await, (12, 0));
}

#[tokio::test]
async fn bodies_that_end_with_the_connection_pass_whole() {
    let Some(python) = program("python3", "python3") else { return };
    let path = script("http10_server.py").display().to_string();
    let server = Process::python(&python, &[&path], Folder::new()).await;
    let proxy = Proxy::start(server.address.clone(), Version::Http1).await;
    for client in CLIENTS {
        for _ in 0..3 {
            let response = proxy.send(client, get("/", "accept", "*/*")).await;
            assert_eq!((header(&response, "content-length"), header(&response, "x-version")), ("", "HTTP/1.1"));
            assert_eq!(body(response).await.len(), 1_000_000, "{client:?}");

            let post = Request::post("/").header("content-length", 5).body(frames([data("hello")]));
            assert_eq!(body(proxy.send(client, post.expect("a request")).await).await, "hello");
        }
        let head = Request::head("/").body(frames([])).expect("a request");
        assert_eq!(body(proxy.send(client, head).await).await, "");
    }
    assert_eq!(proxy.counts().await, (14, 0));
}
