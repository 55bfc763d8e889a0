//! SIGTERM with requests and tunnels, and a second process that takes the port over.

use std::{process::Stdio, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use crate::{
    backend::{Backend, head},
    client::{Client, soon},
    process::{Folder, Gateway, command},
};

fn config(bind: &str, backend: &str, timeout: &str) -> String {
    format!(
        r#"
        shutdown_timeout = "{timeout}"
        [[listener]]
        bind = "{bind}"
        pool = "web"
        [pool.web]
        endpoints = [{{ address = "{backend}" }}]
        "#
    )
}

/// A backend that has got a request when `begun` has a permit, and answers when `may_answer` has one.
pub(crate) struct Held {
    pub(crate) backend: Backend,
    pub(crate) begun: Arc<Semaphore>,
    pub(crate) may_answer: Arc<Semaphore>,
}

impl Held {
    pub(crate) fn start() -> Self {
        let (begun, may_answer) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (tell, wait) = (Arc::clone(&begun), Arc::clone(&may_answer));
        let backend = Backend::answering(move |_| {
            let (tell, wait) = (Arc::clone(&tell), Arc::clone(&wait));
            async move {
                tell.add_permits(1);
                wait.acquire().await.unwrap().forget();
                "done".to_owned()
            }
        });
        Self { backend, begun, may_answer }
    }
}

/// Starts a gateway with a client whose request the backend has got and not answered yet.
async fn with_request(folder: &Folder, timeout: &str) -> (Gateway, Client, Held) {
    let held = Held::start();
    let gateway = Gateway::start(folder, &config("127.0.0.1:0", held.backend.address(), timeout)).await;
    let mut client = gateway.connect(0).await;
    client.send("GET /", "").await.unwrap();
    soon(held.begun.acquire()).await.unwrap().forget();
    (gateway, client, held)
}

#[tokio::test]
async fn sigterm_finishes_the_requests_in_flight() {
    let folder = Folder::new();
    let (mut gateway, mut client, held) = with_request(&folder, "60s").await;
    gateway.signal("-TERM").await;
    gateway.logs("finishing the requests in flight").await;
    held.may_answer.add_permits(1);
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "done"));
    gateway.logs("0 connections were aborted").await;
    assert!(soon(gateway.child.wait()).await.unwrap().success());
}

#[tokio::test]
async fn sigterm_finishes_the_requests_of_removed_listeners() {
    let folder = Folder::new();
    let (mut gateway, mut client, held) = with_request(&folder, "60s").await;
    gateway.reload(&folder, &config("127.0.0.2:0", held.backend.address(), "60s")).await;
    gateway.signal("-TERM").await;
    gateway.logs("closed 127.0.0.2:0").await;
    held.may_answer.add_permits(1);
    assert_eq!(client.answer().await.unwrap().body, "done");
    gateway.logs("closed 127.0.0.1:0; 0 connections were aborted").await;
    assert!(soon(gateway.child.wait()).await.unwrap().success());
}

#[tokio::test]
async fn requests_that_do_not_end_are_aborted_at_the_deadline() {
    let folder = Folder::new();
    let (mut gateway, mut client, _held) = with_request(&folder, "10ms").await;
    gateway.signal("-TERM").await;
    gateway.logs("1 connections were aborted").await;
    assert!(soon(gateway.child.wait()).await.unwrap().success());
    assert!(client.answer().await.is_err());
}

/// Starts a backend that switches protocols, and then sends back what it gets. Returns its address.
pub(crate) async fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        head(&mut stream).await.unwrap();
        let switched = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
        stream.write_all(switched).await.unwrap();
        let (mut read, mut write) = stream.split();
        // Its errors are those of a tunnel that the gateway closes.
        let _ = tokio::io::copy(&mut read, &mut write).await;
    });
    address
}

/// Opens a tunnel to the backend of `echo`.
pub(crate) async fn tunnel(gateway: &Gateway) -> TcpStream {
    let mut stream = TcpStream::connect(&gateway.addresses[0]).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: app.test\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    stream.write_all(request).await.unwrap();
    assert!(soon(head(&mut stream)).await.unwrap().starts_with("HTTP/1.1 101 "));
    stream
}

#[tokio::test]
async fn sigterm_waits_for_tunnels() {
    let folder = Folder::new();
    let mut gateway = Gateway::start(&folder, &config("127.0.0.1:0", &echo().await, "60s")).await;
    let mut tunnel = tunnel(&gateway).await;
    gateway.signal("-TERM").await;
    gateway.logs("closed 127.0.0.1:0").await;
    tunnel.write_all(b"?").await.unwrap();
    assert_eq!(soon(tunnel.read_u8()).await.unwrap(), b'?');
    drop(tunnel);
    assert!(soon(gateway.child.wait()).await.unwrap().success());
}

#[tokio::test]
async fn tunnels_are_closed_at_the_deadline() {
    let folder = Folder::new();
    let mut gateway = Gateway::start(&folder, &config("127.0.0.1:0", &echo().await, "10ms")).await;
    let mut tunnel = tunnel(&gateway).await;
    gateway.signal("-TERM").await;
    assert_eq!(soon(tunnel.read_to_end(&mut Vec::new())).await.unwrap(), 0);
    drop(tunnel);
    assert!(soon(gateway.child.wait()).await.unwrap().success());
}

#[tokio::test]
async fn after_sigterm_a_reload_is_refused_and_a_second_signal_ends_the_process() {
    let folder = Folder::new();
    let (mut gateway, _client, _held) = with_request(&folder, "1h").await;
    gateway.signal("-TERM").await;
    gateway.logs("finishing the requests in flight").await;
    gateway.signal("-HUP").await;
    gateway.logs("the configuration is not read again").await;
    gateway.signal("-TERM").await;
    gateway.logs("ended by a second signal").await;
    soon(gateway.child.wait()).await.unwrap();
}

#[tokio::test]
async fn a_second_process_takes_the_port_over_without_a_refused_connection() {
    let [old, new] = ["old", "new"].map(Backend::start);
    let (first, second) = (Folder::new(), Folder::new());
    let mut one = Gateway::start_with(&first, &config("127.0.0.1:0", old.address(), "60s"), &["--takeover"]).await;
    let address = one.addresses[0].clone();
    let two = Gateway::start_with(&second, &config(&address, new.address(), "60s"), &["--takeover"]).await;

    one.signal("-TERM").await;
    // While the first process ends, and after it, no new connection is refused.
    let mut ended = std::pin::pin!(one.child.wait());
    // The system may reset a connection that arrives while the first process closes its socket.
    let (mut status, mut after, mut resets) = (None, 0, 0);
    while after < 20 {
        if status.is_none() {
            status = futures::future::poll_immediate(ended.as_mut()).await;
        }
        after += usize::from(status.is_some());
        match Client::connect(&address).await.request("GET /", "").await {
            Ok(answer) => assert!(answer.status == 200 && ["old", "new"].contains(&answer.body.as_str())),
            Err(_) => resets += 1,
        }
    }
    assert!(resets <= 1, "{resets}");
    assert!(status.unwrap().unwrap().success());
    assert_eq!(two.connect(0).await.get("/").await.body, "new");
}

/// Checks that a gateway does not start because another program has its port.
async fn cannot_start(address: &str, arguments: &[&str]) {
    let folder = Folder::new();
    folder.write(&config(address, "127.0.0.1:1", "1s"));
    let output = soon(command(&folder).args(arguments).stderr(Stdio::piped()).output()).await.unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    let expected = format!("error: gateway.toml:4: cannot listen on {address}: Address already in use (os error 98)\n");
    assert_eq!(error, expected);
}

#[tokio::test]
async fn a_port_of_another_program_is_an_error_at_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    cannot_start(&address, &[]).await;
    cannot_start(&address, &["--takeover"]).await;
}

#[tokio::test]
async fn a_port_of_another_gateway_is_an_error_unless_both_have_the_flag() {
    let folder = Folder::new();
    let config = config("127.0.0.1:0", "127.0.0.1:1", "1s");
    let one = Gateway::start(&folder, &config).await;
    cannot_start(&one.addresses[0], &[]).await;
    cannot_start(&one.addresses[0], &["--takeover"]).await;
    let two = Gateway::start_with(&folder, &config, &["--takeover"]).await;
    cannot_start(&two.addresses[0], &[]).await;
}
