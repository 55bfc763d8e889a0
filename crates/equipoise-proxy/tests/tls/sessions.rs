//! The resumption of sessions.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use equipoise_proxy::tls::{HandshakeFailure, TicketSecret, TlsSettings};
use parking_lot::Mutex;
use rustls::{
    AlertDescription, Error, SignatureScheme,
    client::ResolvesClientCert,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};

use crate::setup::{Authority, Client, start, tls_error};

fn secret(byte: u8) -> TicketSecret {
    TicketSecret::new([byte; 32]).expect("long enough")
}

async fn is_resumed(client: &Client, server: &crate::setup::Running) -> bool {
    client.asked(server.address, "app.test").await.expect("a response").contains(" resumed ")
}

#[tokio::test]
async fn sessions_are_resumed_with_both_versions() {
    let authority = Authority::new("ca");
    let settings = TlsSettings::new(authority.certificate(&["app.test", "other.test"]));
    let (with, without) = (start(settings.clone()).await, start(settings.resumption(false)).await);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for (server, resumes) in [(&with, true), (&without, false)] {
            let client = Client::new(&authority, None, &[version]);
            assert!(!is_resumed(&client, server).await);
            for _ in 0..3 {
                assert_eq!(is_resumed(&client, server).await, resumes);
            }
        }
    }
    assert_eq!(with.acceptor.stats().resumed, 6);
}

#[tokio::test]
async fn servers_with_one_secret_resume_each_others_sessions() {
    let authority = Authority::new("ca");
    let settings = || TlsSettings::new(authority.certificate(&["app.test"]));
    let first = start(settings().ticket_secrets([secret(1)])).await;
    let second = start(settings().ticket_secrets([secret(2), secret(1)])).await;
    let stranger = start(settings()).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = Client::new(&authority, None, &[version]);
        assert!(!is_resumed(&client, &first).await);
        assert!(is_resumed(&client, &second).await);
        // The second one has encrypted its tickets with a secret that the first one does not know.
        let client = Client::new(&authority, None, &[version]);
        assert!(!is_resumed(&client, &second).await);
        assert!(!is_resumed(&client, &first).await);
        assert!(!is_resumed(&client, &stranger).await);
    }
}

#[tokio::test]
async fn sessions_end_if_other_client_certificates_are_asked_for() {
    let (authority, clients) = (Authority::new("ca"), Authority::new("clients"));
    let certificate = authority.certificate(&["app.test"]);
    let settings = |secrets: Vec<_>| TlsSettings::new(certificate.clone()).ticket_secrets(secrets);
    for secrets in [vec![], vec![secret(1)]] {
        let server = start(settings(secrets.clone())).await;
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            server.acceptor.replace(&settings(secrets.clone())).expect("valid settings");
            let client = Client::new(&authority, None, &[version]);
            assert!(!is_resumed(&client, &server).await);
            assert!(is_resumed(&client, &server).await);
            let closed = settings(secrets.clone()).client_auth(clients.client_auth());
            server.acceptor.replace(&closed).expect("valid settings");
            client.asked(server.address, "app.test").await.expect_err("a certificate is required");
        }
    }
}

#[tokio::test]
async fn names_that_ask_for_client_certificates_resume_no_sessions() {
    let (authority, clients) = (Authority::new("ca"), Authority::new("clients"));
    let (required, optional) = (clients.client_auth(), clients.client_auth().optional());
    let settings = TlsSettings::new(authority.certificate(&["open.test"]))
        .certificate(authority.certificate(&["required.test"]).client_auth(required))
        .certificate(authority.certificate(&["optional.test"]).client_auth(optional))
        .ticket_secrets([secret(1)]);
    let server = start(settings).await;
    let own = clients.client("orders");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let (named, unnamed) =
            (Client::new(&authority, Some(&own), &[version]), Client::new(&authority, None, &[version]));
        for (client, name, shown) in [
            (&named, "required.test", "CN=orders"),
            (&named, "optional.test", "CN=orders"),
            (&unnamed, "optional.test", "-"),
        ] {
            for _ in 0..3 {
                let answer = client.asked(server.address, name).await.expect("a response");
                assert!(answer.ends_with(&format!(" full {shown}")), "{name}: {answer}");
            }
        }
        for kind in ["full", "resumed"] {
            let answer = named.asked(server.address, "open.test").await.expect("a response");
            assert!(answer.ends_with(&format!(" {kind} -")), "{answer}");
        }
    }
}

/// The certificate of a client, which can be renewed. The client keeps its sessions.
#[derive(Debug)]
struct Renewed(Mutex<Arc<CertifiedKey>>);

impl ResolvesClientCert for Renewed {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.lock()))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn certified((chain, key): &(String, String)) -> Arc<CertifiedKey> {
    let chain = CertificateDer::from_pem_slice(chain.as_bytes()).expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
    Arc::new(CertifiedKey::from_der(vec![chain], key, &ring::default_provider()).expect("its key"))
}

#[tokio::test]
async fn a_client_comes_back_with_a_new_certificate_after_the_old_one_was_refused() {
    let (authority, issuer) = (Authority::new("ca"), Authority::new("clients"));
    let settings = TlsSettings::new(authority.certificate(&["app.test"])).client_auth(issuer.client_auth());
    let server = start(settings).await;
    let expires = SystemTime::now() + Duration::from_secs(5);
    let old = certified(&issuer.issue_with(&[], |params| params.not_after = expires.into()));
    let clients = [&rustls::version::TLS12, &rustls::version::TLS13].map(|version| {
        let own = Arc::new(Renewed(Mutex::new(Arc::clone(&old))));
        let resolver = Arc::clone(&own);
        let client = Client::new(&authority, None, &[version]);
        (client.change(|config| config.client_auth_cert_resolver = resolver), own)
    });
    for (client, _) in &clients {
        for _ in 0..2 {
            client.asked(server.address, "app.test").await.expect("valid");
        }
    }
    // Only time ends a certificate, in whole seconds.
    let end = expires + Duration::from_secs(1);
    tokio::time::sleep(end.duration_since(SystemTime::now()).unwrap_or_default()).await;
    for (client, own) in &clients {
        let error = client.asked(server.address, "app.test").await.expect_err("expired");
        assert_eq!(*tls_error(&error), Error::AlertReceived(AlertDescription::CertificateExpired));
        *own.0.lock() = certified(&issuer.client("renewed"));
        let answer = client.asked(server.address, "app.test").await.expect("a new certificate");
        assert!(answer.ends_with(" CN=renewed"), "{answer}");
    }
    assert_eq!(server.acceptor.stats().failed(HandshakeFailure::ClientCertificate), 2);
}
