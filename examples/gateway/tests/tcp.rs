//! Listeners with mode = "tcp".

use std::sync::Arc;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use crate::{
    backend::Backend,
    client::{Client, soon},
    echo::{Echo, Line},
    process::{Folder, Gateway},
};

/// Returns a configuration of a listener and a pool with more lines of both.
fn config(listener: &str, pool: &str, endpoints: &[&Echo]) -> String {
    let endpoints: Vec<_> = endpoints.iter().map(|echo| format!("{{ address = \"{}\" }}", echo.address())).collect();
    format!(
        r#"
        shutdown_timeout = "60s"
        [[listener]]
        bind = "127.0.0.1:0"
        mode = "tcp"
        pool = "echo"
        {listener}
        [pool.echo]
        strategy = "round-robin"
        endpoints = [{}]
        {pool}
        [admin]
        bind = "127.0.0.1:0"
        changes = true
        "#,
        endpoints.join(", "),
    )
}

/// Returns an answer of the admin interface.
pub(crate) async fn admin(gateway: &Gateway, path: &str) -> Value {
    serde_json::from_str(&gateway.connect(1).await.get(path).await.body).unwrap()
}

#[tokio::test]
async fn connections_go_to_the_endpoints_and_are_logged_at_their_end() {
    let (a, b) = (Echo::start("a").await, Echo::start("b").await);
    let folder = Folder::new();
    let mut gateway = Gateway::start(&folder, &config("", "", &[&a, &b])).await;
    let mut names = Vec::new();
    for _ in 0..2 {
        let (mut line, name) = Line::open(&gateway.addresses[0]).await;
        assert!(line.echoes().await);
        names.push(name);
        // The end of one direction is passed on, and the other one stays open.
        assert_eq!(line.finish().await, "");
        let logged = gateway.logs("end=complete").await;
        let endpoint = if names.last().is_some_and(|name| name == "a") { &a } else { &b };
        for part in [
            "listener=127.0.0.1:0 client=127.0.0.1:",
            "pool=echo",
            &format!("endpoint={}", endpoint.address()),
            // A name with a line break, and the line that came back.
            "sent=2 received=4",
        ] {
            assert!(logged.contains(part), "{part}: {logged}");
        }
    }
    names.sort();
    assert_eq!(names, ["a", "b"]);
    let endpoints = admin(&gateway, "/endpoints").await;
    let bytes = |at: usize, key: &str| endpoints[at]["status"][key].as_u64().unwrap();
    assert_eq!((bytes(0, "bytes_sent"), bytes(0, "bytes_received")), (2, 4), "{endpoints}");
    let listener = &admin(&gateway, "/listeners").await[0];
    assert_eq!((&listener["mode"], &listener["connections"]["accepted"]), (&"tcp".into(), &2.into()));
}

#[tokio::test]
async fn a_connection_without_an_endpoint_is_closed_and_the_cause_logged() {
    let folder = Folder::new();
    // No program listens on this port.
    let config = config("", "", &[]).replace("endpoints = []", "endpoints = [{ address = \"127.0.0.1:1\" }]");
    let mut gateway = Gateway::start(&folder, &config).await;
    let (_line, name) = Line::open(&gateway.addresses[0]).await;
    assert_eq!(name, "");
    let line = gateway.logs("a connection has failed").await;
    assert!(line.contains("WARN") && line.contains("127.0.0.1:1"), "{line}");
    gateway.logs("end=connect").await;
}

#[tokio::test]
async fn a_reload_keeps_open_connections_and_changes_the_pool_of_later_ones() {
    let (a, b) = (Echo::start("a").await, Echo::start("b").await);
    let folder = Folder::new();
    let mut gateway = Gateway::start(&folder, &config("", "", &[&a])).await;
    let (mut first, name) = Line::open(&gateway.addresses[0]).await;
    assert_eq!(name, "a");
    // Another strategy needs another pool.
    gateway.reload(&folder, &config("", "", &[&a]).replace("round-robin", "least-connections")).await;
    assert!(first.echoes().await);
    let (_second, name) = Line::open(&gateway.addresses[0]).await;
    assert_eq!(name, "a");
    gateway.reload(&folder, &config("limits = { max_connections = 3 }", "", &[&b])).await;
    let (mut third, name) = Line::open(&gateway.addresses[0]).await;
    assert_eq!(name, "b");
    assert!(third.echoes().await);
    assert_eq!(gateway.addresses.len(), 2, "no socket was opened");
}

#[tokio::test]
async fn sigterm_waits_for_connections() {
    let a = Echo::start("a").await;
    let folder = Folder::new();
    let mut gateway = Gateway::start(&folder, &config("", "", &[&a])).await;
    let (mut line, _) = Line::open(&gateway.addresses[0]).await;
    gateway.signal("-TERM").await;
    gateway.logs("finishing the requests in flight").await;
    assert!(line.echoes().await);
    assert_eq!(line.finish().await, "");
    gateway.logs("closed 127.0.0.1:0; 0 connections were aborted").await;
    assert!(soon(gateway.child.wait()).await.unwrap().success());
}

#[tokio::test]
async fn connections_are_aborted_at_the_deadline() {
    let a = Echo::start("a").await;
    let folder = Folder::new();
    let config = config("", "", &[&a]).replace("\"60s\"", "\"10ms\"");
    let mut gateway = Gateway::start(&folder, &config).await;
    let (line, _) = Line::open(&gateway.addresses[0]).await;
    gateway.signal("-TERM").await;
    gateway.logs("closed 127.0.0.1:0; 1 connections were aborted").await;
    gateway.logs("end=aborted").await;
    line.ended().await;
    assert!(soon(gateway.child.wait()).await.unwrap().success());
}

#[tokio::test]
async fn a_command_drains_an_endpoint() {
    let (a, b) = (Echo::start("a").await, Echo::start("b").await);
    let folder = Folder::new();
    let gateway = Gateway::start(&folder, &config("", "", &[&a, &b])).await;
    gateway.connect(1).await.post(&format!("/endpoints/{}/drain", a.address())).await;
    for _ in 0..3 {
        assert_eq!(Line::open(&gateway.addresses[0]).await.1, "b");
    }
}

#[tokio::test]
async fn a_listener_changes_its_mode_without_a_refused_connection() {
    let (a, web) = (Echo::start("a").await, Backend::start("web"));
    let folder = Folder::new();
    // Chosen by the system, and free again.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let pool = format!("[pool.web]\nendpoints = [{{ address = \"{}\" }}]", web.address());
    // Without the access log: so many lines that some are dropped could hide those that the test waits for.
    let tcp = config("", &pool, &[&a]).replacen("127.0.0.1:0", &address, 1);
    let tcp = format!("log.access = false\n{tcp}");
    let http = tcp.replace("mode = \"tcp\"\n        pool = \"echo\"", "mode = \"http\"\n        pool = \"web\"");
    let mut gateway = Gateway::start(&folder, &tcp).await;
    let (mut line, _) = Line::open(&address).await;
    // Connections are opened all the time.
    let (stop, connecting) = (Arc::new(Notify::new()), address.clone());
    let stopped = Arc::clone(&stop);
    let opening = tokio::spawn(async move {
        let mut opened = 0;
        let mut stopped = std::pin::pin!(stopped.notified());
        loop {
            tokio::select! {
                biased;
                () = &mut stopped => return opened,
                stream = TcpStream::connect(&connecting) => drop(stream.unwrap()),
            }
            opened += 1;
        }
    });
    gateway.reload(&folder, &http).await;
    assert_eq!(Client::connect(&address).await.get("/").await.body, "web");
    assert!(line.echoes().await, "the connection goes on");
    gateway.reload(&folder, &tcp).await;
    assert_eq!(Line::open(&address).await.1, "a");
    stop.notify_one();
    assert!(soon(opening).await.unwrap() > 0);
    assert_eq!(line.finish().await, "");
    gateway.logs(&format!("closed {address}; 0 connections were aborted")).await;
}

#[tokio::test]
async fn a_pick_is_explained() {
    let (a, b) = (Echo::start("a").await, Echo::start("b").await);
    let folder = Folder::new();
    let config = config("", "hash_on = \"source\"", &[&a, &b]).replace("round-robin", "maglev");
    let gateway = Gateway::start(&folder, &config).await;
    let mut admin = gateway.connect(1).await;
    let explained = admin.get("/explain?pool=echo&client=127.0.0.1").await.body;
    let picked = explained.lines().find(|line| line.contains("picked")).unwrap();
    let (_line, name) = Line::open(&gateway.addresses[0]).await;
    let endpoint = if name == "a" { &a } else { &b };
    assert!(picked.contains(&endpoint.address().to_string()), "{explained}");
    let refused = admin.get("/explain?listener=127.0.0.1:0").await;
    assert_eq!(refused.status, 400);
    assert!(refused.body.starts_with("127.0.0.1:0 has no requests: name the pool"), "{}", refused.body);
}

/// A server that returns the first line of a connection, without its line break.
async fn first_line() -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let line = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(soon(stream.read_u8()).await.unwrap());
        }
        String::from_utf8(line).unwrap().trim_end().to_owned()
    });
    (address, line)
}

#[tokio::test]
async fn the_address_of_the_client_passes_through_two_proxies() {
    let (address, line) = first_line().await;
    let folder = Folder::new();
    let listener = "proxy_protocol = \"accept\"\ntrusted_proxies = [\"127.0.0.1\"]";
    let pool = "proxy_protocol = \"v1\"";
    let config =
        config(listener, pool, &[]).replace("endpoints = []", &format!("endpoints = [{{ address = \"{address}\" }}]"));
    let mut gateway = Gateway::start(&folder, &config).await;
    let mut stream = TcpStream::connect(&gateway.addresses[0]).await.unwrap();
    stream.write_all(b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 5432\r\n").await.unwrap();
    assert_eq!(soon(line).await.unwrap(), "PROXY TCP4 192.0.2.7 192.0.2.1 4711 5432");
    drop(stream);
    gateway.logs("client=192.0.2.7:4711").await;

    // A connection without a header is closed.
    let mut stream = TcpStream::connect(&gateway.addresses[0]).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(soon(stream.read_u8()).await.is_err());
    let headers = &admin(&gateway, "/listeners").await[0]["proxy_protocol"];
    assert_eq!((&headers["accepted"], &headers["malformed"]), (&1.into(), &1.into()));

    // And so are those of other peers, after a reload.
    let others = config.replace("[\"127.0.0.1\"]", "[\"192.0.2.1\"]");
    gateway.reload(&folder, &others).await;
    let mut stream = TcpStream::connect(&gateway.addresses[0]).await.unwrap();
    assert!(soon(stream.read_u8()).await.is_err());
    assert_eq!(admin(&gateway, "/listeners").await[0]["proxy_protocol"]["untrusted"], 1);
}

#[tokio::test]
async fn a_second_process_takes_the_port_over_and_the_first_one_finishes_its_connections() {
    let (old, new) = (Echo::start("old").await, Echo::start("new").await);
    let (first, second) = (Folder::new(), Folder::new());
    let mut one = Gateway::start_with(&first, &config("", "", &[&old]), &["--takeover"]).await;
    let address = one.addresses[0].clone();
    let (mut line, name) = Line::open(&address).await;
    assert_eq!(name, "old");
    let config = config("", "", &[&new]).replacen("127.0.0.1:0", &address, 1);
    let _two = Gateway::start_with(&second, &config, &["--takeover"]).await;
    one.signal("-TERM").await;
    one.logs("finishing the requests in flight").await;
    assert!(line.echoes().await);
    assert_eq!(line.finish().await, "");
    assert!(soon(one.child.wait()).await.unwrap().success());
    assert_eq!(Line::open(&address).await.1, "new");
}

#[tokio::test]
async fn connections_for_requests_begin_with_the_address_of_their_client() {
    let (address, line) = first_line().await;
    let folder = Folder::new();
    let config = config("", "proxy_protocol = \"v1\"", &[])
        .replace("mode = \"tcp\"", "mode = \"http\"")
        .replace("endpoints = []", &format!("endpoints = [{{ address = \"{address}\" }}]"));
    let gateway = Gateway::start(&folder, &config).await;
    let mut stream = TcpStream::connect(&gateway.addresses[0]).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: app.test\r\n\r\n").await.unwrap();
    let (client, asked) = (stream.local_addr().unwrap().port(), stream.peer_addr().unwrap().port());
    assert_eq!(soon(line).await.unwrap(), format!("PROXY TCP4 127.0.0.1 127.0.0.1 {client} {asked}"));
}
