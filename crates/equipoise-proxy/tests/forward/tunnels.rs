//! Tunnels by `CONNECT`, over HTTP/1.0, HTTP/1.1 and HTTP/2.

use std::time::Duration;

use bytes::Bytes;
use equipoise_proxy::forward::ForwardSettings;
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::rig::{Proxy, echo, echoes, ends, local, names, opened, until};

#[tokio::test]
async fn a_tunnel_carries_bytes_in_both_directions() {
    let (proxy, (port, _)) = (Proxy::local().await, echo().await);
    for target in [format!("app.test:{port}"), format!("APP.TEST.:{port}"), format!("127.0.0.1:{port}")] {
        let mut tunnel = proxy.tunnel(&target, "").await.expect("a tunnel");
        for _ in 0..3 {
            echoes(&mut tunnel, &"0123456789".repeat(10_000)).await;
        }
    }
    until(|| proxy.proxy.stats().open_tunnels == 0).await;
    let stats = proxy.proxy.stats();
    assert_eq!((stats.tunnels, stats.tunnel_bytes), (3, 3 * 3 * 2 * 100_000));
}

#[tokio::test]
async fn bytes_that_come_with_the_request_are_not_lost() {
    let (proxy, (port, _)) = (Proxy::local().await, echo().await);
    for version in ["1.0", "1.1"] {
        let mut stream = proxy.connect().await;
        let request = format!("CONNECT app.test:{port} HTTP/{version}\r\nhost: app.test:{port}\r\n\r\nearly");
        stream.write_all(request.as_bytes()).await.expect("open");
        let mut tunnel = opened(stream).await.expect("a tunnel");
        let mut bytes = [0; 5];
        tunnel.read_exact(&mut bytes).await.expect("open");
        assert_eq!(&bytes, b"early", "HTTP/{version}");
    }
}

#[tokio::test]
async fn each_direction_ends_by_itself() {
    let (proxy, (port, _)) = (Proxy::local().await, echo().await);
    let mut tunnel = proxy.tunnel(&format!("app.test:{port}"), "").await.expect("a tunnel");
    tunnel.write_all(b"last words").await.expect("open");
    tunnel.shutdown().await.expect("open");
    assert_eq!(ends(&mut tunnel).await, b"last words");
    until(|| proxy.proxy.stats().open_tunnels == 0).await;
}

#[tokio::test]
async fn an_http2_client_opens_tunnels_as_streams() {
    let (proxy, (port, _)) = (Proxy::local().await, echo().await);
    let (mut sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .handshake(TokioIo::new(proxy.connect().await))
        .await
        .expect("HTTP/2");
    tokio::spawn(connection);
    let mut ask = async |target: String| {
        let request = Request::connect(target).body(Empty::<Bytes>::new()).expect("a request");
        sender.ready().await.expect("open");
        sender.send_request(request).await.expect("a response")
    };
    let mut tunnels = Vec::new();
    for _ in 0..2 {
        let response = ask(format!("app.test:{port}")).await;
        assert_eq!(response.status(), StatusCode::OK);
        tunnels.push(TokioIo::new(hyper::upgrade::on(response).await.expect("a tunnel")));
    }
    for tunnel in &mut tunnels {
        tunnel.write_all(b"hello").await.expect("open");
        let mut bytes = [0; 5];
        tunnel.read_exact(&mut bytes).await.expect("open");
        assert_eq!(&bytes, b"hello");
    }
    assert_eq!(ask("app.test".to_owned() + ":1").await.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(ask("[::1]:443".to_owned()).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(proxy.proxy.stats().open_tunnels, 2);
    drop(tunnels);
    until(|| proxy.proxy.stats().open_tunnels == 0).await;
}

#[tokio::test]
async fn http2_requests_have_a_full_url() {
    let (proxy, origin) = (Proxy::local().await, crate::rig::Origin::start().await);
    let (mut sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .handshake(TokioIo::new(proxy.connect().await))
        .await
        .expect("HTTP/2");
    tokio::spawn(connection);
    for (url, status) in
        [(origin.url("/a"), 200), ("https://app.test/".to_owned(), 400), ("http://[::1]/".to_owned(), 403)]
    {
        let request = Request::get(url).body(Empty::<Bytes>::new()).expect("a request");
        sender.ready().await.expect("open");
        assert_eq!(sender.send_request(request).await.expect("a response").status(), status);
    }
}

#[tokio::test]
async fn a_request_for_a_tunnel_has_a_port_and_no_body() {
    let (proxy, (port, connections)) = (Proxy::local().await, echo().await);
    let target = format!("app.test:{port}");
    for (target, fields) in [
        ("app.test", ""),
        ("app.test:", ""),
        ("app.test:0", ""),
        ("u@app.test:443", ""),
        ("127.1:443", ""),
        (&*target, "content-length: 5\r\n"),
        (&*target, "transfer-encoding: chunked\r\n"),
        (&*target, "host: b\r\n"),
    ] {
        assert_eq!(proxy.refused(target, fields).await.status, 400, "{target} {fields}");
    }
    assert!(proxy.tunnel(&target, "content-length: 0\r\n").await.is_ok(), "some clients send this");
    assert_eq!(connections.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[tokio::test]
async fn tunnels_are_closed_at_a_shutdown() {
    let (proxy, (port, _)) = (Proxy::local().await, echo().await);
    let mut tunnel = proxy.tunnel(&format!("app.test:{port}"), "").await.expect("a tunnel");
    echoes(&mut tunnel, "hello").await;
    assert_eq!(proxy.proxy.tunnels().open(), 1);
    proxy.proxy.tunnels().close();
    assert_eq!(proxy.server.shutdown(Duration::from_secs(60)).await, 0);
    proxy.proxy.tunnels().closed().await;
    assert_eq!(ends(&mut tunnel).await, b"");
}

#[tokio::test]
async fn a_client_that_leaves_while_its_tunnel_is_opened_leaves_nothing_behind() {
    let settings = ForwardSettings::new().resolver(names()).connect_timeout(Duration::from_secs(600));
    let proxy = Proxy::start([local()], settings).await;
    let mut stream = proxy.connect().await;
    stream.write_all(b"CONNECT silent.test:443 HTTP/1.1\r\nhost: silent.test:443\r\n\r\n").await.expect("open");
    until(|| proxy.proxy.stats().open_tunnels == 1).await;
    drop(stream);
    until(|| proxy.proxy.stats().open_tunnels == 0).await;
}

#[tokio::test]
async fn bytes_behind_a_refused_request_are_no_request() {
    let (proxy, origin) = (Proxy::local().await, crate::rig::Origin::start().await);
    for target in ["[::1]:443", "app.test:1", "nowhere.test:443"] {
        let behind = format!("GET {} HTTP/1.1\r\nhost: x\r\n\r\n", origin.url("/"));
        let mut stream = proxy.connect().await;
        let request = format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n\r\n{behind}");
        stream.write_all(request.as_bytes()).await.expect("open");
        let answers = String::from_utf8(ends(&mut stream).await).expect("text");
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers}");
    }
    assert_eq!(origin.connections(), 0);
}
