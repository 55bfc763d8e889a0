//! Maintenance pages.

use std::fs;

use super::{config, echo, report, start};
use crate::process::Folder;

#[tokio::test]
async fn clients_get_the_page_until_a_reload_ends_the_maintenance() {
    let (backend, folder) = (echo(), Folder::new());
    fs::write(folder.path().join("page.html"), "<h1>Back soon</h1>").unwrap();
    fs::write(folder.path().join("secret"), "letmein\n").unwrap();
    let listener = |active: bool| {
        format!(
            r#"
            pool = "web"
            [listener.maintenance]
            active = {active}
            message = "back soon"
            page_file = "page.html"
            retry_after = "10m"
            allow = {{ path = ["/health"], header = "x-operator", secret_file = "secret" }}
            "#
        )
    };
    let mut gateway = start(&folder, &listener(true), &backend).await;
    let mut client = gateway.connect(0).await;
    for (headers, body) in [("accept: text/html\r\n", "<h1>Back soon</h1>"), ("accept: text/plain\r\n", "back soon")] {
        let answer = client.request("GET /", headers).await.unwrap();
        assert_eq!((answer.status, answer.body.trim_end()), (503, body));
        assert_eq!(answer.header("retry-after"), Some("600"));
    }
    assert_eq!(client.get("/health").await.status, 200);
    assert_eq!(client.request("GET /", "x-operator: letmein\r\n").await.unwrap().status, 200);
    assert_eq!(client.request("GET /", "x-operator: no\r\n").await.unwrap().status, 503);
    gateway.reload(&folder, &config(&listener(false), &backend)).await;
    assert_eq!(client.get("/").await.status, 200);
    let report = report(&gateway, "127.0.0.1:0 maintenance").await;
    assert_eq!((&report["active"], &report["answered"]), (&false.into(), &3.into()));
}

#[tokio::test]
async fn maintenance_lasts_while_its_file_exists() {
    let (backend, folder) = (echo(), Folder::new());
    let flag = folder.path().join("flag");
    fs::write(&flag, "").unwrap();
    let mut gateway = start(&folder, "pool = \"web\"\nmaintenance = { file = \"flag\" }", &backend).await;
    let mut client = gateway.connect(0).await;
    let line = gateway.logs("exists=true").await;
    assert!(line.contains("127.0.0.1:0"), "{line}");
    assert_eq!(client.get("/").await.status, 503);
    fs::remove_file(&flag).unwrap();
    gateway.logs("exists=false").await;
    assert_eq!(client.get("/").await.status, 200);
}
