//! Listeners with mode = "forward".

use std::fs;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    backend::{Backend, head},
    client::soon,
    echo::Echo,
    pki::{Authority, connect},
    process::{Folder, Gateway},
    tcp::admin,
};

/// `printf %s open-sesame | sha256sum`
const SHA256: &str = "d7ecdf25eaf3deba0f2628771dbdd22d4138ab6cf38f91ed02a2ca0dec7c8ab7";

/// `ann:open-sesame` in base64.
const ANN: &str = "proxy-authorization: Basic YW5uOm9wZW4tc2VzYW1l\r\n";

fn config(listener: &str, rules: &str) -> String {
    format!(
        "shutdown_timeout = \"60s\"\n[[listener]]\nbind = \"127.0.0.1:0\"\nmode = \"forward\"\n{listener}\n{rules}\n\
         [admin]\nbind = \"127.0.0.1:0\"\n"
    )
}

/// A rule for a server of this machine.
fn allow(port: u16, more: &str) -> String {
    format!("[[listener.rule]]\naction = \"allow\"\nport = [{port}]\nnetwork = [\"127.0.0.0/8\"]\n{more}\n")
}

/// Asks for a tunnel. Returns the connection and the head of the response.
async fn tunnel(gateway: &Gateway, destination: &str, fields: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(&gateway.addresses[0]).await.unwrap();
    let request = format!("CONNECT {destination} HTTP/1.1\r\nhost: {destination}\r\n{fields}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let head = soon(head(&mut stream)).await.unwrap();
    (stream, head)
}

async fn line(stream: &mut TcpStream) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        line.push(soon(stream.read_u8()).await.unwrap());
    }
    String::from_utf8(line).unwrap()
}

#[tokio::test]
async fn users_reach_what_the_rules_allow() {
    let (echo, web) = (Echo::start("echo").await, Backend::start("web"));
    let folder = Folder::new();
    fs::write(folder.path().join("users"), format!("# who may use it\n\nann:{SHA256}\n")).unwrap();
    let web_port = web.address().rsplit_once(':').unwrap().1.parse().unwrap();
    let deny = "[[listener.rule]]\naction = \"deny\"\nname = \"secrets\"\nhost = [\"*.secret.test\"]\n";
    let rules = format!("{deny}{}{}", allow(echo.address().port(), "user = [\"ann\"]"), allow(web_port, ""));
    let mut gateway = Gateway::start(&folder, &config("users_file = \"users\"", &rules)).await;
    let destination = echo.address().to_string();

    let (_, head) = tunnel(&gateway, &destination, "").await;
    assert!(head.starts_with("HTTP/1.1 407 "), "{head}");
    let (_, head) = tunnel(&gateway, &destination, &ANN.replace("YW1l", "YW1m")).await;
    assert!(head.starts_with("HTTP/1.1 407 "), "{head}");
    let (_, head) = tunnel(&gateway, "a.secret.test:443", ANN).await;
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    let logged = gateway.logs("a request has failed").await;
    assert!(logged.contains("client=127.0.0.1"), "{logged}");
    let (_, head) = tunnel(&gateway, "127.0.0.1:1", ANN).await;
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");

    let (mut stream, head) = tunnel(&gateway, &destination, ANN).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(line(&mut stream).await, "echo\n");
    let listener = &admin(&gateway, "/listeners").await[0];
    assert_eq!((&listener["mode"], &listener["tunnels"]["open"]), (&"forward".into(), &1.into()));
    assert_eq!((&listener["requests"]["denied"], &listener["requests"]["unauthenticated"]), (&2.into(), &2.into()));
    stream.shutdown().await.unwrap();
    assert_eq!(soon(stream.read(&mut [0; 8])).await.unwrap(), 0);
    let logged = gateway.logs("end=complete").await;
    for part in ["access", "client=127.0.0.1:", "user=ann", &format!("destination={destination}"), "sent=0 received=5"]
    {
        assert!(logged.contains(part), "{part}: {logged}");
    }

    let mut stream = TcpStream::connect(&gateway.addresses[0]).await.unwrap();
    let request = format!("GET http://{0}/ HTTP/1.1\r\nhost: {0}\r\n{ANN}connection: close\r\n\r\n", web.address());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    soon(stream.read_to_string(&mut response)).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 200 ") && response.ends_with("\r\n\r\nweb"), "{response}");
    let logged = gateway.logs("method=GET").await;
    assert!(logged.contains("user=ann") && logged.contains("status=200"), "{logged}");
}

#[tokio::test]
async fn a_reload_changes_the_rules_and_keeps_tunnels_and_counters() {
    let echo = Echo::start("echo").await;
    let (folder, destination) = (Folder::new(), echo.address().to_string());
    let mut gateway = Gateway::start(&folder, &config("", &allow(echo.address().port(), ""))).await;
    let (mut stream, head) = tunnel(&gateway, &destination, "").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(line(&mut stream).await, "echo\n");
    gateway.reload(&folder, &config("", "[[listener.rule]]\naction = \"allow\"\n")).await;
    stream.write_all(b"?\n").await.unwrap();
    assert_eq!(line(&mut stream).await, "?\n");
    let (_, head) = tunnel(&gateway, &destination, "").await;
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    let tunnels = &admin(&gateway, "/listeners").await[0]["tunnels"];
    assert_eq!((&tunnels["open"], &tunnels["opened"]), (&1.into(), &1.into()));

    // A shutdown waits for the tunnel.
    gateway.signal("-TERM").await;
    gateway.logs("finishing the requests in flight").await;
    stream.write_all(b"!\n").await.unwrap();
    assert_eq!(line(&mut stream).await, "!\n");
    drop(stream);
    assert!(soon(gateway.child.wait()).await.unwrap().success());
}

#[tokio::test]
async fn tunnels_are_not_logged_without_an_access_log() {
    let echo = Echo::start("echo").await;
    let (folder, destination) = (Folder::new(), echo.address().to_string());
    for access in [true, false] {
        let listener = config("", &allow(echo.address().port(), ""));
        let gateway = Gateway::start(&folder, &format!("{listener}[log]\naccess = {access}\n")).await;
        let (mut stream, head) = tunnel(&gateway, &destination, "").await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        stream.shutdown().await.unwrap();
        let mut text = String::new();
        soon(stream.read_to_string(&mut text)).await.unwrap();
        assert_eq!(text, "echo\n");
        while admin(&gateway, "/listeners").await[0]["tunnels"]["open"] != 0 {
            tokio::task::yield_now().await;
        }
        gateway.signal("-TERM").await;
        let lines = gateway.rest().await;
        let has_line = lines.iter().any(|line| line.contains("end=complete"));
        assert_eq!(has_line, access, "{lines:?}");
        assert_eq!(lines.iter().any(|line| line.contains(&destination)), access, "{lines:?}");
    }
}

#[tokio::test]
async fn clients_may_connect_with_tls() {
    let (echo, web) = (Echo::start("echo").await, Backend::start("web"));
    let (folder, authority) = (Folder::new(), Authority::new());
    authority.write(folder.path(), "a", &["proxy.test"]);
    authority.write(folder.path(), "b", &["127.0.0.1", "other.test"]);
    let web_port = web.address().rsplit_once(':').unwrap().1.parse().unwrap();
    let tls = r#"tls = [{ certificate = "a.pem", key = "a.key", strict_names = true }, { certificate = "b.pem", key = "b.key" }]"#;
    let rules = format!("{}{}", allow(echo.address().port(), ""), allow(web_port, ""));
    let gateway = Gateway::start(&folder, &config(tls, &rules)).await;
    let client = authority.client(&[], None);
    let mut stream = connect(&gateway.addresses[0], "proxy.test", &client).await.unwrap();
    // Its server is one for which the proxy itself has another certificate.
    let request = format!("GET http://{0}/ HTTP/1.1\r\nhost: {0}\r\nconnection: close\r\n\r\n", web.address());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    soon(stream.read_to_string(&mut response)).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 200 ") && response.ends_with("\r\n\r\nweb"), "{response}");
    let mut stream = connect(&gateway.addresses[0], "proxy.test", &client).await.unwrap();
    let request = format!("CONNECT {0} HTTP/1.1\r\nhost: {0}\r\n\r\n", echo.address());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = Vec::new();
    while !response.ends_with(b"echo\n") {
        response.push(soon(stream.read_u8()).await.unwrap());
    }
    assert!(response.starts_with(b"HTTP/1.1 200 "));
}

#[tokio::test]
async fn everything_can_be_sent_through_another_proxy() {
    let echo = Echo::start("echo").await;
    let (first, second) = (Folder::new(), Folder::new());
    fs::write(second.path().join("users"), format!("ann:{SHA256}\n")).unwrap();
    let rules = allow(echo.address().port(), "");
    let upstream = Gateway::start(&second, &config("users_file = \"users\"", &rules)).await;
    fs::write(first.path().join("credentials"), "ann:open-sesame\n").unwrap();
    let chained = "pool = \"proxies\"\ncredentials_file = \"credentials\"";
    let pool = format!("[pool.proxies]\nendpoints = [{{ address = \"{}\" }}]\n", upstream.addresses[0]);
    let gateway = Gateway::start(&first, &config(chained, &format!("{rules}{pool}"))).await;
    let (mut stream, head) = tunnel(&gateway, &echo.address().to_string(), "").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(line(&mut stream).await, "echo\n");
    assert_eq!(admin(&upstream, "/listeners").await[0]["tunnels"]["open"], 1);
    let endpoints = admin(&gateway, "/endpoints").await;
    assert_eq!(endpoints[0]["status"]["in_flight"], 1, "{endpoints}");
}

#[tokio::test]
async fn wrong_files_of_users_are_refused() {
    let folder = Folder::new();
    for (users, error) in [
        ("ann\n", "users:1: a line has the form NAME:HEX"),
        ("# nobody\n", "users:1: a line has the form NAME:HEX"),
        ("\nann:0123\n", "users:2: a line has the form NAME:HEX"),
        (&format!(":{SHA256}\n"), "users:1: a line has the form NAME:HEX"),
        (&format!("a:b:{SHA256}\n"), "users:1: a line has the form NAME:HEX"),
    ] {
        fs::write(folder.path().join("users"), users).unwrap();
        folder.write(&config("users_file = \"users\"", "[[listener.rule]]\naction = \"allow\"\n"));
        let output = crate::process::command(&folder).arg("--check").output().await.unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.starts_with(&format!("error: gateway.toml:5: {error}")), "{users}: {text}");
    }
}
