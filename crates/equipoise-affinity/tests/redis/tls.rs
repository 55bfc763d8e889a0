//! Connections over TLS.

use std::{fs, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use equipoise_affinity::{
    Lookup, SessionStore,
    redis::{InvalidRedisStore, RedisStore},
};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ClientConfig, RootCertStore, crypto::ring};

use super::{
    builder, connected, eventually, find, id,
    server::{Directory, Server, free_port},
};

fn trusting(certificate: &rcgen::Certificate) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Returns the data in PEM format (RFC 7468).
fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[tokio::test]
async fn a_server_with_the_right_certificate_is_connected_and_one_without_is_unavailable() {
    let directory = Directory::new();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = |name: &str, text: String| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let certificate = file("certificate.pem", pem("CERTIFICATE", cert.der()));
    let key = file("key.pem", pem("PRIVATE KEY", &signing_key.serialize_der()));
    let port = free_port();
    let settings = ["--tls-port", &port.to_string(), "--tls-cert-file", &certificate, "--tls-key-file", &key];
    let Some(_server) = Server::start(&[&settings[..], &["--tls-auth-clients", "no"]].concat()).await else { return };

    let store = connected(builder(&format!("rediss://localhost:{port}")).tls(trusting(&cert))).await;
    store.bind(b"k", &id("a"), None);
    eventually("written", || store.stats().writes == 1).await;
    assert_eq!(find(&store, "k").await, Ok(Some(id("a"))));

    let (unknown, misnamed) =
        (builder(&format!("rediss://localhost:{port}")), builder(&format!("rediss://127.0.0.1:{port}")));
    for wrong in [unknown, misnamed.tls(trusting(&cert))] {
        let store = wrong.build().unwrap();
        eventually(
            "refused",
            || matches!(store.lookup(b"k"), Lookup::Now(Err(error)) if error.to_string().contains("certificate")),
        )
        .await;
    }
}

#[test]
fn a_configuration_for_tls_takes_a_url_that_asks_for_it() {
    let CertifiedKey { cert, .. } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    for (url, tls) in [("redis://h", true), ("redis+unix:///socket", true), ("rediss://a_b*c", false)] {
        let mut builder = RedisStore::builder(url);
        if tls {
            builder = builder.tls(trusting(&cert));
        }
        let error = builder.build().unwrap_err();
        assert!(matches!(error, InvalidRedisStore::Tls { .. } | InvalidRedisStore::Url { .. }), "{url}: {error:?}");
    }
}
