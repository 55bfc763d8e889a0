//! An external service that decides about requests.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{config, echo, report};
use crate::{
    backend::{Backend, response},
    client::header,
    process::{Folder, Gateway},
};

/// Returns a configuration with the service as the pool `auth`.
fn with_service(listener: &str, service: &Backend, backend: &Backend) -> String {
    format!("[pool.auth]\nendpoints = [{{ address = \"{}\" }}]\n{}", service.address(), config(listener, backend))
}

#[tokio::test]
async fn a_service_in_a_pool_decides_about_requests() {
    let backend = echo();
    let service = Backend::responding(|head, _| async move {
        match header(&head, "authorization") {
            Some("token 1") if head.contains("x-original-uri: /a?b\r\n") => response("x-auth-user: ada\r\n", ""),
            _ => "HTTP/1.1 302 Found\r\nlocation: /login\r\ncontent-length: 0\r\n\r\n".to_owned(),
        }
    });
    let listener = "pool = \"web\"\nauth = { external = { pool = \"auth\", uri = \"/check\" } }";
    let folder = Folder::new();
    let mut gateway = Gateway::start(&folder, &with_service(listener, &service, &backend)).await;
    let mut client = gateway.connect(0).await;
    let passed = client.request("GET /a?b", "authorization: token 1\r\nx-auth-user: root\r\n").await.unwrap();
    assert!(passed.status == 200 && passed.body.contains("x-auth-user: ada\r\n"), "{}", passed.body);
    let denied = client.request("GET /a?b", "authorization: token 2\r\n").await.unwrap();
    assert_eq!((denied.status, denied.header("location"), backend.served()), (302, Some("/login"), 1));
    // A reload that replaces the endpoint of the pool.
    let pool = "[pool.auth]\nendpoints = [{ address = \"127.0.0.1:1\" }]\n".to_owned();
    gateway.reload(&folder, &(pool + &config(listener, &backend))).await;
    let denied = client.request("GET /a?b", "authorization: token 1\r\n").await.unwrap();
    assert_eq!((denied.status, backend.served()), (503, 1));
    assert_eq!(report(&gateway, "127.0.0.1:0 auth").await["external"]["failures"], 1);
}

#[tokio::test]
async fn the_service_the_backend_and_the_client_get_the_named_fields() {
    let (backend, folder) = (echo(), Folder::new());
    let asked = Arc::new(Mutex::new(String::new()));
    let seen = Arc::clone(&asked);
    let service = Backend::responding(move |head, _| {
        let answer = match header(&head, "x-key") {
            Some("good") => {
                response("x-name: ada\r\nx-team: b\r\nx-token: t\r\nx-session: 1\r\nset-cookie: s=1\r\n", "")
            }
            Some(_) => {
                "HTTP/1.1 403 Forbidden\r\nx-reason: old\r\nset-cookie: s=1\r\ncontent-length: 0\r\n\r\n".to_owned()
            }
            None => "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n".to_owned(),
        };
        *seen.lock() = head;
        async move { answer }
    });
    let listener = r#"
        pool = "web"
        [listener.auth]
        identity_headers = { x-user = "name", x-of = "attribute:team" }
        [listener.auth.external]
        pool = "auth"
        uri = "/check"
        with_method = true
        with_path = true
        send_headers = ["x-key"]
        name_header = "x-name"
        attribute_headers = { team = "x-team" }
        forward_headers = ["x-token"]
        response_headers = ["x-session"]
        denial_headers = ["x-reason"]
        challenge = "Key"
        timeout = "30s"
        max_requests = 9
    "#;
    let gateway = Gateway::start(&folder, &with_service(listener, &service, &backend)).await;
    let mut client = gateway.connect(0).await;
    let request = async |client: &mut crate::client::Client, key: &str| {
        client
            .request("PUT /a?b", &format!("{key}x-token: forged\r\ncookie: c=1\r\ncontent-length: 0\r\n"))
            .await
            .unwrap()
    };
    let passed = request(&mut client, "x-key: good\r\n").await;
    for field in ["\r\nx-user: ada\r\n", "\r\nx-of: b\r\n", "\r\nx-token: t\r\n"] {
        assert!(passed.body.contains(field) && !passed.body.contains("forged"), "{}", passed.body);
    }
    assert_eq!((passed.status, passed.header("x-session"), passed.header("set-cookie")), (200, Some("1"), None));
    let head = asked.lock().clone();
    assert!(head.starts_with("PUT /check/a?b HTTP/1.1\r\n") && !head.contains("cookie"), "{head}");
    let denied = request(&mut client, "x-key: bad\r\n").await;
    assert_eq!((denied.status, denied.header("x-reason"), denied.header("set-cookie")), (403, Some("old"), None));
    let denied = request(&mut client, "").await;
    assert_eq!((denied.status, denied.header("www-authenticate"), backend.served()), (401, Some("Key"), 1));
}

#[tokio::test]
async fn a_service_that_fails_passes_requests_only_if_the_configuration_says_so() {
    let (backend, folder) = (echo(), Folder::new());
    let mut service = Backend::answering(|head| async move { head });
    let listener = r#"
        pool = "web"
        [listener.auth.external]
        pool = "auth"
        uri = "/check"
        fail_open = true
        [[listener.route]]
        path_prefix = "/closed"
        pool = "web"
        auth = { external = { pool = "auth", uri = "/check" } }
    "#;
    let gateway = Gateway::start(&folder, &with_service(listener, &service, &backend)).await;
    let mut client = gateway.connect(0).await;
    assert_eq!(client.get("/closed").await.status, 200);
    service.stop().await;
    for (path, status) in [("/open", 200), ("/closed", 503)] {
        let answer = client.request(&format!("GET {path}"), "x-auth-user: root\r\n").await.unwrap();
        assert!(answer.status == status && !answer.body.contains("root"), "{path} {}", answer.body);
    }
    assert_eq!(report(&gateway, "127.0.0.1:0 auth").await["external"]["fail_open"], 1);
}

#[tokio::test]
async fn the_service_gets_all_fields_and_its_decisions_are_used_again() {
    let (backend, folder) = (echo(), Folder::new());
    let asked = Arc::new(Mutex::new(String::new()));
    let seen = Arc::clone(&asked);
    let service = Backend::responding(move |head, _| {
        *seen.lock() = head;
        async { response("", "") }
    });
    let listener = r#"
        pool = "web"
        auth = { external = { pool = "auth", uri = "/check", send_all_headers = true, cache = { time = "1h" } } }
        [[listener.route]]
        path_prefix = "/by"
        pool = "web"
        [listener.route.auth.external]
        pool = "auth"
        uri = "/check"
        cache = { time = "1h", by_headers = ["authorization"], max_bytes = 100000 }
    "#;
    let gateway = Gateway::start(&folder, &with_service(listener, &service, &backend)).await;
    let mut client = gateway.connect(0).await;
    for (path, token, count) in
        [("/a", "1", 1), ("/a", "1", 1), ("/b", "1", 2), ("/by/a", "1", 3), ("/by/b", "1", 3), ("/by/b", "2", 4)]
    {
        let fields = format!("authorization: {token}\r\nx-any: 1\r\nconnection: x-hop\r\nx-hop: 1\r\n");
        let answer = client.request(&format!("GET {path}"), &fields).await.unwrap();
        assert_eq!((answer.status, service.served()), (200, count), "{path} {token}");
        let head = asked.lock().clone();
        assert_eq!(head.contains("\r\nx-any: 1\r\n"), count < 3, "{path} {head}");
        assert!(!head.contains("x-hop"), "{head}");
    }
}
