//! The secrets that sign cookies.

use std::fs;

use crate::{
    backend::Backend,
    process::{Folder, Gateway, program},
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
async fn cookies_of_an_old_secret_are_renewed_until_the_secret_leaves_the_file() {
    let backends = ["a", "b", "c"].map(Backend::start);
    let folder = Folder::new();
    let secret = folder.path().join("secret");
    fs::write(&secret, OLD).unwrap();
    let mut gateway = Gateway::start(&folder, &config(&backends)).await;
    let (endpoint, old) = get(&gateway, "").await;
    let old = old.expect("a cookie");
    assert_eq!(get(&gateway, &old).await, (endpoint.clone(), None));

    fs::write(&secret, format!("{NEW}\n{OLD}\n")).unwrap();
    gateway.reload(&folder, &config(&backends)).await;
    let mut cookies = Vec::new();
    for _ in 0..4 {
        let (served, new) = get(&gateway, &old).await;
        assert_eq!(served, endpoint);
        cookies.push(new.expect("a cookie that the new secret signs"));
    }

    fs::write(&secret, NEW).unwrap();
    gateway.reload(&folder, &config(&backends)).await;
    for new in &cookies {
        assert_eq!(get(&gateway, new).await, (endpoint.clone(), None));
    }
    // Each request begins a session of its own, at the next endpoint.
    let mut served = Vec::new();
    for _ in 0..3 {
        let (endpoint, cookie) = get(&gateway, &old).await;
        assert!(cookie.is_some());
        served.push(endpoint);
    }
    served.sort();
    assert_eq!(served, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_secret_that_an_affinity_needs_cannot_be_removed() {
    let backends = ["a", "b", "c"].map(Backend::start);
    let folder = Folder::new();
    fs::write(folder.path().join("secret"), OLD).unwrap();
    let mut gateway = Gateway::start(&folder, &config(&backends)).await;
    folder.write(&config(&backends).replace("secret_file = \"secret\"", ""));
    gateway.signal("-HUP").await;
    let line = gateway.logs("the old configuration stays").await;
    assert!(line.contains("cookie needs a secret for its tokens"), "{line}");
}

#[tokio::test]
async fn a_relative_path_begins_at_the_folder_of_the_configuration() {
    let backends = [Backend::start("a")];
    let folder = Folder::new();
    fs::write(folder.path().join("secret"), OLD).unwrap();
    folder.write(&config(&backends));
    let file = folder.path().join("gateway.toml");
    let output = program().arg("--check").arg("--config").arg(file).current_dir("/").output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
}
