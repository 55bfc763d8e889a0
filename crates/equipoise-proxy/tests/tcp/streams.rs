//! Endpoints that are not plain TCP sockets.

use std::sync::Arc;

use equipoise_core::{EndpointSpec, Pool, RoundRobin};
use equipoise_http::Tls;
use equipoise_proxy::tcp::TcpSettings;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, split},
    net::{TcpStream, UnixListener},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::rig::*;

/// Starts an endpoint with TLS, and a proxy for it.
async fn secure<F>(serve: impl Fn(TlsStream<TcpStream>) -> F + Clone + Send + Sync + 'static) -> Rig
where
    F: Future<Output = ()> + Send + 'static,
{
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let (chain, key) = (own.cert.pem(), own.signing_key.serialize_pem());
    let chain_der = CertificateDer::from_pem_slice(chain.as_bytes()).expect("PEM");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("known versions")
        .with_no_client_auth()
        .with_single_cert(vec![chain_der], PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM"))
        .expect("a key for the certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let address = endpoint(move |stream| {
        let (acceptor, serve) = (acceptor.clone(), serve.clone());
        async move { serve(acceptor.accept(stream).await.expect("a handshake")).await }
    })
    .await;
    let tls = Tls::with_roots(chain.as_bytes()).expect("a certificate");
    start(&[address], TcpSettings::new().tls(tls)).await
}

#[tokio::test]
async fn bytes_pass_through_tls_and_each_direction_ends_by_itself() {
    let mut rig = secure(async |stream| {
        let (mut reader, mut writer) = split(stream);
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
        let _ = writer.shutdown().await;
    })
    .await;
    let mut client = rig.connect().await;
    exchange(&mut client, b"hello").await;
    client.write_all(b"last words").await.expect("open");
    client.shutdown().await.expect("open");
    assert_eq!(rest(&mut client).await, b"last words");
    assert_eq!(rig.ended().await.end, "complete");
    assert_eq!(rig.in_flight(), 0);
}

#[tokio::test]
async fn an_endpoint_that_ends_without_close_notify_loses_no_byte() {
    const LENGTH: usize = 4 << 20;
    let mut rig = secure(async |mut stream| {
        stream.read_exact(&mut [0; 8]).await.expect("a question");
        stream.write_all(&vec![7; LENGTH]).await.expect("open");
        stream.flush().await.expect("open");
        // Without its end in TLS.
        drop(stream);
    })
    .await;
    let mut client = rig.connect().await;
    client.write_all(b"question").await.expect("open");
    let (mut received, mut step) = (0, [0; 4096]);
    loop {
        match client.read(&mut step).await.expect("no reset") {
            0 => break,
            read => received += read,
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(received, LENGTH);
    drop(client);
    let ended = rig.ended().await;
    assert_eq!((ended.end, ended.received), ("endpoint", LENGTH as u64));
    let requests = &rig.pool.endpoints()[0].requests;
    assert_eq!((requests.success, requests.total), (1, 1));
}

#[tokio::test]
async fn an_endpoint_may_be_a_unix_socket() {
    let path = std::env::temp_dir().join(format!("equipoise-tcp-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).expect("a free path");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = split(stream);
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
                let _ = writer.shutdown().await;
            });
        }
    });
    let pool = Pool::new(RoundRobin::new());
    pool.add(EndpointSpec::new(format!("unix:{}", path.display())), ()).expect("valid");
    let mut rig = over(pool, TcpSettings::new()).await;
    let mut client = rig.connect().await;
    exchange(&mut client, b"hello").await;
    client.shutdown().await.expect("open");
    assert_eq!(rest(&mut client).await, b"");
    assert_eq!(rig.ended().await.end, "complete");
    std::fs::remove_file(&path).expect("it is there");
}
