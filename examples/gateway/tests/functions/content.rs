//! Compression, decompression and filters of bodies.

use super::{echo, report, start};
use crate::{
    backend::{Backend, response},
    client::header,
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
