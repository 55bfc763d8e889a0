//! The secrets that sign cookies.

use std::fs;

use crate::{
    backend::Backend,
    process::{Folder, Gateway},
};

const OLD: &str = "the old secret, which has 32 bytes or more";
const NEW: &str = "the new secret, which has 32 bytes or more";

fn config(backends: &[Backend]) -> String {
    let endpoints: Vec<_> =
        backends.iter().map(|backend| format!("{{ address = \"{}\" }}", backend.address())).collect();
    format!(
        r#"
        secret_file = "secret"
        [[listener]]
        bind = "127.0.0.1:0"
        pool = "web"
        [pool.web]
        strategy = "round-robin"
        affinity = "cookie(name=SRV)"
        endpoints = [{}]
        "#,
        endpoints.join(", "),
    )
}

/// Returns the body and the cookie of a response to a request with a cookie.
async fn get(gateway: &Gateway, cookie: &str) -> (String, Option<String>) {
    let answer = gateway.connect(0).await.request("GET /", &format!("cookie: {cookie}\r\n")).await.unwrap();
    let cookie = answer.header("set-cookie").and_then(|set| set.split(';').next()).map(str::to_owned);
    (answer.body, cookie)
}

#[tokio::test]
async fn cookies_of_an_old_secret_are_accepted_and_renewed() {
    let backends = ["a", "b", "c"].map(Backend::start);
    let folder = Folder::new();
    let secret = folder.path().join("secret");
    fs::write(&secret, OLD).unwrap();
    let mut gateway = Gateway::start(&folder, &config(&backends)).await;
    let (endpoint, old) = get(&gateway, "").await;
    let old = old.expect("a cookie");
    assert_eq!(get(&gateway, &old).await, (endpoint.clone(), None));

    fs::write(&secret, NEW).unwrap();
    gateway.reload(&folder, &config(&backends)).await;
    let mut cookies = Vec::new();
    for _ in 0..4 {
        let (served, new) = get(&gateway, &old).await;
        assert_eq!(served, endpoint);
        cookies.push(new.expect("a cookie that the new secret signs"));
    }
    for new in &cookies {
        assert_eq!(get(&gateway, new).await, (endpoint.clone(), None));
    }

    // Another gateway accepts both if the file has both, and only the new one otherwise.
    let other = Folder::new();
    fs::write(other.path().join("secret"), format!("{NEW}\n{OLD}\n")).unwrap();
    let gateway = Gateway::start(&other, &config(&backends)).await;
    assert_eq!(get(&gateway, &cookies[0]).await, (endpoint.clone(), None));
    assert_eq!(get(&gateway, &old).await.0, endpoint);
}
