//! Compression, decompression and filters of bodies.

use super::{echo, report, start};
use crate::{
    backend::{Backend, response},
    client::{header, soon},
    process::Folder,
};

#[tokio::test]
async fn responses_are_compressed_for_clients_that_accept_it() {
    let backend = Backend::responding(|head, _| async move {
        let fields = "etag: \"a\"\r\ncontent-type: ";
        let kind = if head.starts_with("GET /grpc") { "application/grpc" } else { "text/html" };
        response(&format!("{fields}{kind}\r\n"), &"text ".repeat(1000))
    });
    let folder = Folder::new();
    let listener = "pool = \"web\"\ncompression = { encoding = [\"br\", \"gzip\"] }";
    let gateway = start(&folder, listener, &backend).await;
    let mut client = gateway.connect(0).await;
    for (path, accepted, encoding, etag) in [
        ("/", "gzip", Some("gzip"), "W/\"a\""),
        ("/", "gzip, br", Some("br"), "W/\"a\""),
        ("/", "zstd", None, "\"a\""),
        ("/grpc", "gzip", None, "\"a\""),
    ] {
        let headers = format!("accept-encoding: {accepted}\r\n");
        let answer = client.request(&format!("GET {path}"), &headers).await.unwrap();
        assert_eq!((answer.header("content-encoding"), answer.header("etag")), (encoding, Some(etag)), "{accepted}");
        assert_eq!(answer.header("vary"), (path == "/").then_some("accept-encoding"));
        assert!(encoding.is_none() || answer.body.len() < 1000);
    }
    let report = report(&gateway, "127.0.0.1:0 compression").await;
    assert_eq!([&report["gzip"]["messages"], &report["br"]["messages"]], [1, 1]);
    assert_eq!(report["not_accepted"], 1);
}

#[tokio::test]
async fn the_texts_of_bodies_are_replaced_or_refused() {
    let backend = Backend::responding(|head, body| async move {
        let body = format!("{} {}", header(&head, "accept-encoding").unwrap_or("-"), String::from_utf8_lossy(&body));
        response("content-type: text/html; charset=utf-8\r\netag: \"a\"\r\n", &body)
    });
    let folder = Folder::new();
    let listener = r#"
        pool = "web"
        request_body = { reject = ["<script"] }
        response_body = { replace = [{ find = "http://inner/", with = "https://app.test/" }], content_type = ["text/html"] }
    "#;
    let mut gateway = start(&folder, listener, &backend).await;
    let mut client = gateway.connect(0).await;
    let answer = client.request_with_body("POST /", "accept-encoding: gzip\r\n", "a http://inner/b").await;
    assert_eq!((answer.body.as_str(), answer.header("etag")), ("- a https://app.test/b", Some("W/\"a\"")));
    assert_eq!(client.request_with_body("POST /", "", "a <SCRIPT>").await.status, 403);
    assert_eq!(report(&gateway, "127.0.0.1:0 request_body").await["rejected"], 1);
    gateway.logs("status=403").await;
}

/// The text `a secret`: `gzip.compress(b"a secret", mtime=0)` of Python.
const COMPRESSED: &[u8] = &[
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0x4b, 0x54, 0x28, 0x4e, 0x4d, 0x2e, 0x4a, 0x2d, 0x01,
    0x00, 0x96, 0x0f, 0xbe, 0x5b, 0x08, 0x00, 0x00, 0x00,
];

#[tokio::test]
async fn the_texts_of_requests_are_replaced_also_in_compressed_ones_that_are_decompressed() {
    let backend = Backend::responding(|head, body| async move {
        let body = format!("{} {}", header(&head, "content-length").unwrap_or("-"), String::from_utf8_lossy(&body));
        response("", &body)
    });
    let folder = Folder::new();
    let replace = r#"request_body = { replace = [{ find = "SECRET", with = "***" }], ignore_case = true }"#;
    let gateway = start(&folder, &format!("pool = \"web\"\n{replace}"), &backend).await;
    let answer = gateway.connect(0).await.request_with_body("POST /", "", "a secret").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "- a ***"));
    let encoded = "content-encoding: gzip\r\n";
    let answer = gateway.connect(0).await.request_with_body("POST /", encoded, COMPRESSED).await;
    assert_eq!((answer.status, answer.header("accept-encoding"), backend.served()), (415, Some("identity"), 1));
    assert!(answer.body.contains("\"code\":\"unsupported_content_encoding\""), "{}", answer.body);
    assert_eq!(report(&gateway, "127.0.0.1:0 request_body").await["rejected"], 1);

    let both = format!("pool = \"web\"\n{replace}\ndecompression = {{ encoding = [\"gzip\"] }}");
    let gateway = start(&folder, &both, &backend).await;
    let answer = gateway.connect(0).await.request_with_body("POST /", encoded, COMPRESSED).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "- a ***"));
}

#[tokio::test]
async fn few_bodies_are_decompressed_at_the_same_time() {
    let backend = Backend::responding(|_, body| async move { response("", &String::from_utf8_lossy(&body)) });
    let folder = Folder::new();
    let listener = "pool = \"web\"\ndecompression = { max_concurrent = 1, max_bytes = 8 }";
    let gateway = start(&folder, listener, &backend).await;
    let mut slow = gateway.connect(0).await;
    let head = format!("content-encoding: gzip\r\ncontent-length: {}\r\n", COMPRESSED.len());
    slow.send_with_body("POST /", &head, &COMPRESSED[..10]).await.unwrap();
    soon(async { while report(&gateway, "127.0.0.1:0 decompression").await["concurrent"] != 1 {} }).await;
    let answer = gateway.connect(0).await.request_with_body("POST /", "content-encoding: gzip\r\n", COMPRESSED).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    slow.send_more(&COMPRESSED[10..]).await.unwrap();
    let answer = slow.answer().await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "a secret"));
    assert_eq!(report(&gateway, "127.0.0.1:0 decompression").await["busy"], 1);
}

#[tokio::test]
async fn a_compressed_request_of_a_wrong_kind_is_refused() {
    let (backend, folder) = (echo(), Folder::new());
    let gateway = start(&folder, "pool = \"web\"\ndecompression = { encoding = [\"gzip\"] }", &backend).await;
    for (encoding, body, status) in [("identity", "text", 200), ("br", "text", 415), ("gzip", "text", 400)] {
        let fields = format!("content-encoding: {encoding}\r\n");
        let answer = gateway.connect(0).await.request_with_body("POST /", &fields, body).await;
        assert_eq!(answer.status, status, "{encoding}");
    }
    let report = report(&gateway, "127.0.0.1:0 decompression").await;
    assert_eq!([&report["unsupported"], &report["malformed"]], [1, 1]);
}
