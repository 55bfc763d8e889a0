//! A static site, an API and maintenance.

use std::fs;

use serde_json::json;

use super::start;
use crate::{
    backend::{Backend, response},
    client::{Client, soon},
    functions::tokens::Issuer,
    process::Folder,
};

#[tokio::test]
async fn a_static_site_is_served_from_the_cache_compressed_and_while_its_servers_are_away() {
    let page = |_, _| async {
        let fields =
            "cache-control: public, max-age=0\r\netag: \"1\"\r\ncache-tag: news\r\ncontent-type: text/html\r\n";
        response(fields, &"<p>news</p>".repeat(500))
    };
    let mut backends = [Backend::responding(page), Backend::responding(page)];
    let folder = Folder::new();
    let addresses = backends.each_ref().map(|backend| backend.address().to_owned());
    let config = include_str!("../../uses/static-site.toml");
    let gateway = start(&folder, config, &addresses.each_ref().map(String::as_str)).await;
    let mut client = gateway.connect(0).await;
    let status = |answer: &crate::client::Answer| answer.header("cache-status").unwrap_or_default().to_owned();
    let first = client.request("GET /news?utm_source=x", "accept-encoding: gzip\r\n").await.unwrap();
    assert!(first.header("content-encoding") == Some("gzip") && first.body.len() < 1000);
    assert!(status(&first).contains("fwd=uri-miss") && status(&first).contains("stored"), "{}", status(&first));
    assert_eq!((first.header("x-content-type-options"), first.header("cache-tag")), (Some("nosniff"), None));
    for backend in &mut backends {
        backend.stop().await;
    }
    // The same page, without compression, as the client asks for, although its servers are away.
    let stale = client.request("GET //a/../news", "cache-control: no-cache\r\n").await.unwrap();
    assert_eq!((stale.status, stale.header("content-encoding"), stale.body.len()), (200, None, 5500));
    assert_eq!(client.get("/other").await.status, 502);
    assert_eq!(client.request("POST /news", "content-length: 0\r\n").await.unwrap().status, 405);
    let moved = client.request("GET /a", "host: www.site.test\r\n").await.unwrap();
    assert_eq!(moved.header("location"), Some("http://site.test/a"));
    let purged = gateway.connect(1).await.post("/cache/purge?tag=news").await;
    assert_eq!((purged.status, purged.body.as_str()), (200, "1 removed\n"));
    assert_eq!(client.get("/news").await.status, 502);
}

#[tokio::test]
async fn an_api_needs_tokens_and_gives_users_fair_shares() {
    let backends = [(); 2].map(|()| Backend::answering(|head| async move { head }));
    let (folder, issuer) = (Folder::new(), Issuer::new());
    fs::write(folder.path().join("issuer.pem"), issuer.pem()).unwrap();
    let addresses = backends.each_ref().map(Backend::address);
    let gateway = start(&folder, include_str!("../../uses/json-api.toml"), &addresses).await;
    let mut client = gateway.connect(0).await;
    let denied = client.get("/v1/orders").await;
    assert_eq!((denied.status, denied.header("content-type")), (401, Some("application/problem+json")));
    assert!(denied.body.contains("\"missing_credentials\""), "{}", denied.body);
    assert_eq!(client.get("/health").await.status, 200);
    assert_eq!(client.get("/v2").await.status, 401);
    let of = |user: &str| {
        let claims = json!({ "aud": "orders-api", "email": format!("{user}@app.test") });
        format!("authorization: Bearer {}\r\n", issuer.token(user, &claims))
    };
    let (ada, bob) = (of("ada"), of("bob"));
    let passed =
        client.request("GET /v1/orders", &(ada.clone() + "x-user: bob\r\nx-user-email: b@x\r\n")).await.unwrap();
    for field in ["\r\nx-user: ada\r\n", "\r\nx-user-email: ada@app.test\r\n"] {
        assert!(passed.body.contains(field), "{}", passed.body);
    }
    assert!(!passed.body.contains("bob") && passed.header("x-request-id").is_some());
    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(client.request("GET /v1/orders", &ada).await.unwrap().status);
    }
    assert!(statuses.starts_with(&[200]) && statuses.contains(&429), "{statuses:?}");
    assert_eq!(client.request("GET /v1/orders", &bob).await.unwrap().status, 200);
    let preflight = "origin: https://app.test\r\naccess-control-request-method: DELETE\r\n";
    let answer = client.request("OPTIONS /v1/orders", preflight).await.unwrap();
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some("https://app.test")));
    assert_eq!(client.get("/v1/..%2fhealth").await.status, 400);
    // A backend that decodes twice would read it as /v1/orders.
    assert_eq!(client.get("/health/%252e%252e/v1/orders").await.status, 400);
}

#[tokio::test]
async fn clients_get_a_page_while_the_file_of_the_maintenance_exists() {
    let backend = Backend::start("shop");
    let folder = Folder::new();
    fs::write(folder.path().join("maintenance.html"), include_str!("../../uses/maintenance.html")).unwrap();
    fs::write(folder.path().join("operator.secret"), "open sesame\n").unwrap();
    let mut gateway = start(&folder, include_str!("../../uses/maintenance.toml"), &[backend.address()]).await;
    let mut client = gateway.connect(0).await;
    assert_eq!(client.get("/").await.status, 200);
    fs::write(folder.path().join("maintenance.flag"), "").unwrap();
    // Of the listener and of the route.
    for _ in 0..2 {
        gateway.logs("exists=true").await;
    }
    let closed = client.request("GET /", "accept: text/html\r\n").await.unwrap();
    assert_eq!((closed.status, closed.header("retry-after")), (503, Some("600")));
    assert!(closed.body.contains("<h1>The shop is closed until noon.</h1>"), "{}", closed.body);
    for (line, headers, status) in [
        ("GET /health", "", 200),
        ("GET /", "x-operator: open sesame\r\n", 200),
        ("GET /", "x-operator: no\r\n", 503),
        ("GET /catalog", "", 200),
        ("POST /catalog", "content-length: 0\r\n", 503),
    ] {
        assert_eq!(client.request(line, headers).await.unwrap().status, status, "{line} {headers}");
    }
    fs::remove_file(folder.path().join("maintenance.flag")).unwrap();
    for _ in 0..2 {
        gateway.logs("exists=false").await;
    }
    assert_eq!(soon(Client::connect(&gateway.addresses[0])).await.get("/").await.body, "shop");
}
