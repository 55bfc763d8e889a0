//! CORS, protection against cross-site requests, and ids of requests.

use std::fs;

use super::{echo, start};
use crate::process::Folder;

#[tokio::test]
async fn a_preflight_is_answered_before_authentication() {
    let (backend, folder) = (echo(), Folder::new());
    let key = "ada:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\n";
    fs::write(folder.path().join("keys"), key).unwrap();
    let listener = r#"
        pool = "web"
        auth = { api_key = { keys_file = "keys" } }
        cors = { origin = ["https://app.test"], method = ["PUT"], header = ["x-api-key"], max_age = "10m" }
    "#;
    let gateway = start(&folder, listener, &backend).await;
    let mut client = gateway.connect(0).await;
    let preflight = "access-control-request-method: PUT\r\naccess-control-request-headers: x-api-key\r\n";
    let answer = client.request("OPTIONS /", &format!("origin: https://app.test\r\n{preflight}")).await.unwrap();
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some("https://app.test")));
    assert_eq!(answer.header("access-control-max-age"), Some("600"));
    let answer = client.request("OPTIONS /", &format!("origin: https://evil.test\r\n{preflight}")).await.unwrap();
    assert_eq!((answer.header("access-control-allow-origin"), backend.served()), (None, 0));
    // The response to a request without the key can be read by the page, which then knows why.
    let answer = client.request("GET /", "origin: https://app.test\r\n").await.unwrap();
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (401, Some("https://app.test")));
    assert_eq!(client.request("OPTIONS /", "").await.unwrap().status, 401);
}

#[tokio::test]
async fn requests_that_other_sites_cause_are_denied() {
    let (backend, folder) = (echo(), Folder::new());
    let listener = "pool = \"web\"\n[listener.csrf]\ntrusted_origin = [\"https://login.test\"]\nexcept = [\"/hook\"]";
    let gateway = start(&folder, listener, &backend).await;
    for (line, headers, status) in [
        ("POST /", "sec-fetch-site: same-origin\r\n", 200),
        ("POST /", "sec-fetch-site: cross-site\r\n", 403),
        ("POST /", "origin: https://evil.test\r\n", 403),
        ("POST /", "origin: https://login.test\r\nsec-fetch-site: cross-site\r\n", 200),
        ("POST /", "", 200),
        ("POST /hook", "origin: https://evil.test\r\n", 200),
        ("GET /", "sec-fetch-site: cross-site\r\n", 200),
    ] {
        let answer = gateway.connect(0).await.request(line, &format!("{headers}content-length: 0\r\n")).await.unwrap();
        assert_eq!(answer.status, status, "{line} {headers}");
    }
}

#[tokio::test]
async fn a_request_has_an_id_of_its_own_or_that_of_a_trusted_proxy() {
    let (backend, folder) = (echo(), Folder::new());
    for (trusted, kept) in [("", false), ("trusted_proxies = [\"loopback\"]", true)] {
        let listener = format!("pool = \"web\"\nrequest_id = true\n{trusted}");
        let mut gateway = start(&folder, &listener, &backend).await;
        let answer = gateway.connect(0).await.request("GET /", "x-request-id: abc\r\n").await.unwrap();
        let id = answer.header("x-request-id").unwrap();
        assert_eq!(id == "abc", kept);
        assert!(kept || id.len() == 32);
        assert!(answer.body.contains(&format!("x-request-id: {id}\r\n")), "{}", answer.body);
        gateway.logs(&format!("request_id=\"{id}\"")).await;
    }
}
