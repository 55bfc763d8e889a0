//! Requests for the host of another certificate.

use equipoise_proxy::tls::TlsSettings;

use crate::setup::{Authority, Client, get, start};

#[tokio::test]
async fn requests_for_the_host_of_another_certificate_are_misdirected() {
    let authority = Authority::new("ca");
    // A wildcard for which the certificate is valid, but another one is chosen.
    let settings = TlsSettings::new(authority.certificate(&["default.test"]))
        .certificate(authority.certificate(&["*.app.test", "app.test"]))
        .certificate(authority.certificate(&["api.app.test"]));
    for check in [true, false] {
        let server = start(settings.clone().check_authority(check)).await;
        let mut stream = authority.trusting().connect(server.address, "www.app.test").await.expect("a handshake");
        for (host, is_served) in [
            ("www.app.test", true),
            ("WWW.app.test:8443", true),
            ("app.test", true),
            ("other.app.test.", true),
            ("api.app.test", false),
            ("api.app.test:443", false),
            ("default.test", false),
            ("unknown.test", false),
            ("192.0.2.1", false),
            ("[2001:db8::1]:443", false),
            // A connection stays usable.
            ("www.app.test", true),
        ] {
            let status = get(&mut stream, host).await.expect("a response").0;
            assert_eq!(status, if is_served || !check { 200 } else { 421 }, "{host} {check}");
        }
    }
}

#[tokio::test]
async fn clients_that_name_no_server_get_all_hosts_with_the_same_client_certificates() {
    let (authority, clients) = (Authority::new("ca"), Authority::new("clients"));
    let settings = TlsSettings::new(authority.certificate(&["default.test", "127.0.0.1"]))
        .certificate(authority.certificate(&["app.test"]))
        .certificate(authority.certificate(&["closed.test"]).client_auth(clients.client_auth().optional()));
    let server = start(settings.check_authority(true)).await;
    let client = Client::new(&authority, Some(&clients.client("a")), rustls::ALL_VERSIONS);
    let mut stream = client.connect(server.address, "127.0.0.1").await.expect("a handshake");
    for (host, status) in [("default.test", 200), ("app.test", 200), ("unknown.test", 200), ("closed.test", 421)] {
        assert_eq!(get(&mut stream, host).await.expect("a response").0, status, "{host}");
    }
}

#[tokio::test]
async fn names_deep_below_a_protected_wildcard_are_not_served_with_the_default() {
    let (authority, clients) = (Authority::new("ca"), Authority::new("clients"));
    let settings = TlsSettings::new(authority.certificate(&["open.test", "a.b.closed.test", "a.b.free.test"]))
        .certificate(authority.certificate(&["*.free.test"]))
        .certificate(authority.certificate(&["*.closed.test"]).client_auth(clients.client_auth()));
    let server = start(settings).await;
    let client = authority.trusting();
    // It has a certificate of its own.
    assert!(client.asked(server.address, "a.b.closed.test").await.is_ok());
    let mut stream = client.connect(server.address, "open.test").await.expect("a handshake");
    for (host, status) in [("open.test", 200), ("other.b.free.test", 200), ("other.b.closed.test", 421)] {
        assert_eq!(get(&mut stream, host).await.expect("a response").0, status, "{host}");
    }
    for host in ["x@closed.test", "closed.test:x", "a b"] {
        assert_eq!(get(&mut stream, host).await.expect("a response").0, 421, "{host}");
    }
    let error = client.connect(server.address, "other.b.closed.test").await.expect_err("refused");
    let expected = rustls::Error::AlertReceived(rustls::AlertDescription::UnrecognisedName);
    assert_eq!(*crate::setup::tls_error(&error), expected);
}

#[tokio::test]
async fn hosts_without_certificate_are_served_if_no_authority_is_checked() {
    let (authority, clients) = (Authority::new("ca"), Authority::new("clients"));
    let settings = TlsSettings::new(authority.certificate(&["app.test"])).strict_sni(true);
    let closed = authority.certificate(&["closed.test"]).client_auth(clients.client_auth());
    for (settings, status) in [
        (settings.clone().check_authority(false), 200),
        (settings.clone(), 421),
        // A route for all hosts could otherwise be reached under a name that asks for less.
        (settings.clone().certificate(closed).check_authority(false), 421),
    ] {
        let server = start(settings).await;
        let mut stream = authority.trusting().connect(server.address, "app.test").await.expect("a handshake");
        for (host, status) in [("app.test", 200), ("unknown.test", status), ("192.0.2.1", status)] {
            assert_eq!(get(&mut stream, host).await.expect("a response").0, status, "{host}");
        }
        authority.trusting().connect(server.address, "unknown.test").await.expect_err("strict");
    }
}

#[tokio::test]
async fn hosts_that_need_other_client_certificates_are_never_served() {
    let (authority, clients) = (Authority::new("ca"), Authority::new("clients"));
    let settings = TlsSettings::new(authority.certificate(&["open.test"]))
        .certificate(authority.certificate(&["closed.test"]).client_auth(clients.client_auth()));
    let server = start(settings.check_authority(false)).await;
    let client = Client::new(&authority, Some(&clients.client("a")), rustls::ALL_VERSIONS);
    for (name, other) in [("open.test", "closed.test"), ("closed.test", "open.test")] {
        let mut stream = client.connect(server.address, name).await.expect("a handshake");
        assert_eq!(get(&mut stream, name).await.expect("a response").0, 200);
        assert_eq!(get(&mut stream, other).await.expect("a response").0, 421);
    }
}
