//! A forward proxy behind a proxy that sends the PROXY protocol.

use equipoise_affinity::source::TrustedProxies;
use equipoise_proxy::{
    forward::{ForwardProxy, ForwardSettings},
    proxy_protocol::ProxyProtocol,
    server::Server,
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};

use crate::rig::{echo, echoes, local, names, opened};

#[tokio::test]
async fn its_own_port_is_known_and_that_of_the_proxy_in_front() {
    let (echo, _) = echo().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let proxy = ForwardProxy::with_settings([local()], ForwardSettings::new().resolver(names()));
    let trusted: TrustedProxies = "127.0.0.1".parse().expect("a network");
    tokio::spawn(Server::new(proxy.clone()).serve(ProxyProtocol::new(listener, trusted)));
    // A port at which nothing listens.
    let front = TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("bound").port();
    let open = async |port: u16| {
        let mut stream = TcpStream::connect(address).await.expect("the proxy listens");
        let header = format!("PROXY TCP4 192.0.2.1 127.0.0.1 4711 {front}\r\n");
        let request = format!("CONNECT app.test:{port} HTTP/1.1\r\nhost: app.test:{port}\r\n\r\n");
        stream.write_all((header + &request).as_bytes()).await.expect("open");
        opened(stream).await
    };
    for port in [address.port(), front] {
        assert_eq!(open(port).await.expect_err("a loop").status, 508);
    }
    echoes(&mut open(echo).await.expect("another port"), "hello").await;
    assert_eq!(proxy.stats().tunnels, 1);
}
