//! Which responses have the fields that functions add, and in which form errors are explained.

use super::{echo, start};
use crate::{client::Answer, process::Folder};

const ORIGIN: &str = "origin: https://app.test\r\n";

/// Asserts that a response has the fields of all functions, and the code.
fn assert_complete(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{code} {}", answer.body);
    assert!(answer.body.contains(&format!("\"code\":\"{code}\"")), "{code}: {}", answer.body);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{code}");
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.test"), "{code}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{code}");
    assert_eq!(answer.header("x-request-id").map(str::len), Some(32), "{code}");
}

#[tokio::test]
async fn responses_of_the_proxy_itself_have_the_fields_of_functions() {
    let (backend, folder) = (echo(), Folder::new());
    let listener = r#"
        pool = "web"
        request_id = true
        security_headers = true
        cors = { origin = ["https://app.test"] }
        limits = { max_body_bytes = 4 }
    "#;
    let gateway = start(&folder, listener, &backend).await;
    for (line, fields, status, code) in [
        ("TRACE /", "", 405, "trace"),
        ("GET /a%", "", 400, "target"),
        ("get /", "", 400, "method"),
        ("GET /", "expect: more\r\n", 417, "expectation"),
        ("POST /", "content-length: 5\r\n", 413, "body_too_large"),
    ] {
        let answer = gateway.connect(0).await.request(line, &format!("{fields}{ORIGIN}")).await.unwrap();
        assert_complete(&answer, status, code);
    }
    assert_eq!(backend.served(), 0);
    // These requests have reached the backend, or are on their way to it.
    let mut client = gateway.connect(0).await;
    let chunked = format!("transfer-encoding: chunked\r\n{ORIGIN}");
    client.send_with_body("POST /", &chunked, "3\r\nabc\r\n3\r\nabc\r\n0\r\n\r\n").await.unwrap();
    assert_complete(&client.answer().await.unwrap(), 413, "body_too_large");
}

#[tokio::test]
async fn functions_of_a_route_complete_a_response_after_a_timeout() {
    let (backend, folder) = (echo(), Folder::new());
    let listener = r#"
        timeouts = { idle = "300ms" }
        request_id = true
        [[listener.route]]
        path_prefix = "/api"
        pool = "web"
        security_headers = true
        cors = { origin = ["https://app.test"] }
    "#;
    let gateway = start(&folder, listener, &backend).await;
    let mut client = gateway.connect(0).await;
    // The rest of the body does not come.
    client.send_with_body("POST /api", &format!("content-length: 4\r\n{ORIGIN}"), "ab").await.unwrap();
    assert_complete(&client.answer().await.unwrap(), 408, "body_idle");
}

#[tokio::test]
async fn failures_behind_functions_have_the_form_and_the_texts_of_the_listener() {
    let (mut backend, folder) = (echo(), Folder::new());
    backend.stop().await;
    let route = "[[listener.route]]\npath_prefix = \"/api\"\npool = \"web\"\nsecurity_headers = true\n";
    for (errors, accept, kind, body) in [
        ("{}", "", "application/problem+json", "\"code\":\"backend_failed\""),
        ("{}", "accept: text/html, */*;q=0.8\r\n", "text/plain; charset=utf-8", "the backend could not be reached"),
        ("{ format = \"text\" }", "accept: application/json\r\n", "text/plain; charset=utf-8", "the backend could not"),
        ("{ format = \"json\" }", "accept: text/html\r\n", "application/problem+json", "\"code\":\"backend_failed\""),
        ("{ text = { 502 = \"Sorry.\" } }", "accept: text/html\r\n", "text/plain; charset=utf-8", "Sorry.\n"),
        ("{ text = { 502 = \"Sorry.\" } }", "accept: */*\r\n", "application/problem+json", "\"detail\":\"Sorry.\""),
    ] {
        let gateway = start(&folder, &format!("errors = {errors}\n{route}"), &backend).await;
        let answer = gateway.connect(0).await.request("GET /api", accept).await.unwrap();
        assert_eq!((answer.status, answer.header("content-type")), (502, Some(kind)), "{errors} {accept}");
        assert!(answer.body.contains(body), "{errors} {accept}: {}", answer.body);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let missing = gateway.connect(0).await.get("/other").await;
        assert_eq!(missing.status, 404);
    }
}
