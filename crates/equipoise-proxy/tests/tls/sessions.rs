//! The resumption of sessions.

use std::time::{Duration, SystemTime};

use equipoise_proxy::tls::{HandshakeFailure, TicketSecret, TlsSettings};

use crate::setup::{Authority, Client, start};

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
async fn a_session_ends_with_the_certificate_of_the_client() {
    let (authority, clients) = (Authority::new("ca"), Authority::new("clients"));
    let settings = TlsSettings::new(authority.certificate(&["app.test"])).client_auth(clients.client_auth());
    let server = start(settings).await;
    let expires = SystemTime::now() + Duration::from_secs(5);
    let own = clients.issue_with(&[], |params| params.not_after = expires.into());
    let versions = [&rustls::version::TLS12, &rustls::version::TLS13];
    let clients = versions.map(|version| Client::new(&authority, Some(&own), &[version]));
    for client in &clients {
        assert!(!is_resumed(client, &server).await);
        assert!(is_resumed(client, &server).await);
    }
    // Only time ends a certificate, in whole seconds.
    let end = expires + Duration::from_secs(1);
    tokio::time::sleep(end.duration_since(SystemTime::now()).unwrap_or_default()).await;
    for client in &clients {
        client.asked(server.address, "app.test").await.expect_err("expired");
    }
    assert_eq!(server.acceptor.stats().failed(HandshakeFailure::ClientCertificate), 2);
}

#[tokio::test]
async fn a_resumed_session_has_the_certificate_of_the_client() {
    let (authority, clients) = (Authority::new("ca"), Authority::new("clients"));
    let settings = TlsSettings::new(authority.certificate(&["app.test"])).client_auth(clients.client_auth());
    let server = start(settings.ticket_lifetime(Duration::from_secs(3600))).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = Client::new(&authority, Some(&clients.client("orders")), &[version]);
        for kind in ["full", "resumed"] {
            let answer = client.asked(server.address, "app.test").await.expect("a response");
            assert!(answer.ends_with(&format!(" {kind} CN=orders")), "{answer}");
        }
    }
}
