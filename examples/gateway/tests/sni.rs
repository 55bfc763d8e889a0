//! Listeners with mode = "sni".

use std::sync::Arc;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

use crate::{
    client::soon,
    echo::{Echo, Line},
    pki::{Authority, connect},
    process::{Folder, Gateway},
    tcp::admin,
};

/// Starts a server of TLS with a certificate for a name, which sends a text. Returns its address.
async fn server(authority: &Authority, name: &str, text: &'static str) -> String {
    let issued = authority.issue(&[name]);
    let chain = vec![CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"one".to_vec(), b"two".to_vec()];
    let (acceptor, listener) = (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await?;
                stream.write_all(text.as_bytes()).await?;
                stream.shutdown().await
            });
        }
    });
    address
}

fn config(routes: &str, listener: &str, pools: &[(&str, &str)]) -> String {
    let pools: String = pools
        .iter()
        .map(|(name, address)| format!("[pool.{name}]\nendpoints = [{{ address = \"{address}\" }}]\n"))
        .collect();
    format!(
        "[[listener]]\nbind = \"127.0.0.1:0\"\nmode = \"sni\"\n{listener}\n{routes}\n{pools}\n[admin]\nbind = \"127.0.0.1:0\"\n"
    )
}

/// Connects for a name, and returns what the server sends.
async fn ask(gateway: &Gateway, authority: &Authority, name: &'static str, alpn: &[&str]) -> Option<String> {
    let mut stream = connect(&gateway.addresses[0], name, &authority.client(alpn, None)).await.ok()?;
    let mut text = String::new();
    soon(stream.read_to_string(&mut text)).await.ok()?;
    Some(text)
}

#[tokio::test]
async fn connections_go_to_the_pool_of_their_name_or_protocol() {
    let authority = Authority::new();
    let (a, b) = (server(&authority, "a.test", "a").await, server(&authority, "*.b.test", "b").await);
    let plain = Echo::start("plain").await;
    let pools = [("a", a.as_str()), ("b", b.as_str()), ("plain", &plain.address().to_string())];
    let routes =
        "[[listener.route]]\nhost = \"a.test\"\npool = \"a\"\n[[listener.route]]\nhost = \"*.b.test\"\npool = \"b\"\n";
    let folder = Folder::new();
    let mut gateway = Gateway::start(&folder, &config(routes, "", &pools)).await;
    assert_eq!(ask(&gateway, &authority, "a.test", &[]).await.as_deref(), Some("a"));
    assert_eq!(ask(&gateway, &authority, "x.b.test", &[]).await.as_deref(), Some("b"));
    let line = gateway.logs("name=x.b.test").await;
    assert!(line.contains(&format!("pool=b endpoint={b}")), "{line}");
    assert_eq!(ask(&gateway, &authority, "c.test", &[]).await, None, "no route");
    let mut stream = TcpStream::connect(&gateway.addresses[0]).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(soon(stream.read_u8()).await.is_err(), "it is not TLS");
    let listener = &admin(&gateway, "/listeners").await[0];
    let connections = &listener["connections"];
    assert_eq!(
        (&connections["hellos"], &connections["unrouted"], &connections["without_tls"]),
        (&3.into(), &2.into(), &1.into())
    );
    assert_eq!(listener["pools"]["b"]["accepted"], 1);

    // A reload changes the routes of the same socket.
    let routes = "[[listener.route]]\nhost = \"a.test\"\nalpn = \"two\"\npool = \"b\"\n[[listener.route]]\nhost = \"a.test\"\npool = \"a\"\n";
    gateway.reload(&folder, &config(routes, "pool = \"b\"\nnot_tls_pool = \"plain\"", &pools)).await;
    assert_eq!(gateway.addresses.len(), 2, "no socket was opened");
    assert_eq!(ask(&gateway, &authority, "a.test", &["one"]).await.as_deref(), Some("a"));
    assert_eq!(ask(&gateway, &authority, "y.b.test", &[]).await.as_deref(), Some("b"), "the pool of all others");
    assert_eq!(Line::begin(&gateway.addresses[0], b"?\n").await.1, "plain");
    // The server of this pool has no certificate for the name.
    assert_eq!(ask(&gateway, &authority, "a.test", &["two"]).await, None);
    assert_eq!(admin(&gateway, "/listeners").await[0]["pools"]["b"]["accepted"], 3);
}

#[tokio::test]
async fn sigterm_waits_for_connections() {
    let plain = Echo::start("plain").await;
    let folder = Folder::new();
    let pools = [("plain", &*plain.address().to_string())];
    let mut gateway = Gateway::start(&folder, &config("", "not_tls_pool = \"plain\"", &pools)).await;
    let (mut line, _) = Line::begin(&gateway.addresses[0], b"?\n").await;
    gateway.signal("-TERM").await;
    gateway.logs("finishing the requests in flight").await;
    assert!(line.echoes().await);
    line.finish().await;
    gateway.logs("closed 127.0.0.1:0; 0 connections were aborted").await;
    assert!(soon(gateway.child.wait()).await.unwrap().success());
}

#[tokio::test]
async fn the_name_places_connections_of_a_pool() {
    let authority = Authority::new();
    let mut servers = Vec::new();
    for text in ["1", "2", "3"] {
        servers.push(server(&authority, "*.a.test", text).await);
    }
    let endpoints: Vec<_> = servers.iter().map(|address| format!("{{ address = \"{address}\" }}")).collect();
    let pool =
        format!("[pool.a]\nstrategy = \"maglev\"\nhash_on = \"server-name\"\nendpoints = [{}]", endpoints.join(", "));
    let folder = Folder::new();
    let gateway =
        Gateway::start(&folder, &config("", "pool = \"a\"", &[]).replace("[admin]", &format!("{pool}\n[admin]"))).await;
    let mut answers = std::collections::BTreeSet::new();
    for name in ["a.a.test", "b.a.test", "c.a.test", "d.a.test", "e.a.test", "f.a.test", "g.a.test", "h.a.test"] {
        let first = ask(&gateway, &authority, name, &[]).await.unwrap();
        for _ in 0..3 {
            assert_eq!(ask(&gateway, &authority, name, &[]).await.unwrap(), first, "{name}");
        }
        let explained = gateway.connect(1).await.get(&format!("/explain?pool=a&name={name}")).await.body;
        let index: usize = first.parse().unwrap();
        let picked = explained.lines().find(|line| line.contains("picked")).unwrap();
        assert!(picked.contains(&servers[index - 1]), "{explained}");
        answers.insert(first);
    }
    assert!(answers.len() > 1, "not all names have the same endpoint");
}
