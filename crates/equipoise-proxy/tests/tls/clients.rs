//! Client certificates.

use equipoise_affinity::source::PeerAddr;
use equipoise_proxy::{
    headers::{ConnectionInfo, FieldAction, ForwardingFields, ReportedField},
    tls::{ClientCertificate, HandshakeFailure, TlsSession, TlsSettings},
};
use http::Request;
use rcgen::{CertificateRevocationListParams, CustomExtension, KeyIdMethod, RevokedCertParams, SerialNumber};
use rustls::{
    AlertDescription, Error,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::io::AsyncReadExt;

use crate::setup::{Authority, Client, start, tls_error};

/// The version of a client, and whether it learns in the handshake that its certificate was refused.
const VERSIONS: [&rustls::SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

#[tokio::test]
async fn required_certificates_are_verified() {
    let (authority, clients, others) = (Authority::new("ca"), Authority::new("clients"), Authority::new("others"));
    let settings = TlsSettings::new(authority.certificate(&["app.test"])).client_auth(clients.client_auth());
    let server = start(settings).await;
    for version in VERSIONS {
        let ask = async |own: Option<&(String, String)>| {
            Client::new(&authority, own, &[version]).asked(server.address, "app.test").await
        };
        let known = ask(Some(&clients.client("orders"))).await.expect("a response");
        assert!(known.ends_with(" full CN=orders"), "{known}");
        let alert = |error: std::io::Error| match tls_error(&error) {
            Error::AlertReceived(alert) => *alert,
            error => panic!("{error}"),
        };
        let missing = alert(ask(None).await.expect_err("no certificate"));
        assert!(matches!(missing, AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure));
        let unknown = alert(ask(Some(&others.client("orders"))).await.expect_err("another authority"));
        assert_eq!(unknown, AlertDescription::UnknownCA);
        let expired = clients.issue_with(&[], |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
        let expired = alert(ask(Some(&expired)).await.expect_err("expired"));
        assert_eq!(expired, AlertDescription::CertificateExpired);
    }
    assert_eq!(server.acceptor.stats().failed(HandshakeFailure::ClientCertificate), 6);
}

#[tokio::test]
async fn optional_certificates_may_be_missing_but_not_wrong() {
    let (authority, clients) = (Authority::new("ca"), Authority::new("clients"));
    let settings = TlsSettings::new(authority.certificate(&["app.test"])).client_auth(clients.client_auth().optional());
    let server = start(settings).await;
    for (own, is_accepted) in [(None, true), (Some(clients.client("a")), true), (Some(authority.client("a")), false)] {
        let client = Client::new(&authority, own.as_ref(), rustls::ALL_VERSIONS);
        assert_eq!(client.asked(server.address, "app.test").await.is_ok(), is_accepted, "{own:?}");
    }
}

#[tokio::test]
async fn names_may_need_different_certificates() {
    let (authority, clients) = (Authority::new("ca"), Authority::new("clients"));
    let settings = TlsSettings::new(authority.certificate(&["open.test"]))
        .certificate(authority.certificate(&["closed.test"]).client_auth(clients.client_auth()));
    let server = start(settings).await;
    let client = authority.trusting();
    assert!(client.asked(server.address, "open.test").await.is_ok());
    assert!(client.asked(server.address, "closed.test").await.is_err());
    let client = Client::new(&authority, Some(&clients.client("a")), rustls::ALL_VERSIONS);
    assert!(client.asked(server.address, "open.test").await.expect("a response").ends_with(" -"));
    assert!(client.asked(server.address, "closed.test").await.expect("a response").ends_with(" CN=a"));
}

#[tokio::test]
async fn certificates_that_are_revoked_by_a_reload_are_refused() {
    let (authority, clients) = (Authority::new("ca"), Authority::new("clients"));
    let numbered =
        |number: u8| clients.issue_with(&[], |params| params.serial_number = Some(SerialNumber::from_slice(&[number])));
    let list = |revoked: &[u8]| {
        let time = rcgen::date_time_ymd(2024, 1, 1);
        let revoked = revoked.iter().map(|number| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&[*number]),
            revocation_time: time,
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: time,
            next_update: rcgen::date_time_ymd(2024, 2, 1),
            crl_number: SerialNumber::from_slice(&[1]),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&clients.0).expect("a list").pem().expect("PEM")
    };
    let certificate = authority.certificate(&["app.test"]);
    let settings = |revoked: &[u8]| {
        let client_auth = clients.client_auth().revocation_lists(list(revoked)).expect("valid PEM");
        TlsSettings::new(certificate.clone()).client_auth(client_auth)
    };
    let server = start(settings(&[1])).await;
    let (first, second) = (numbered(1), numbered(2));
    let client = |own| Client::new(&authority, Some(own), rustls::ALL_VERSIONS);
    assert!(client(&first).asked(server.address, "app.test").await.is_err());
    let client = client(&second);
    client.asked(server.address, "app.test").await.expect("not revoked");
    server.acceptor.replace(&settings(&[1, 2])).expect("valid settings");
    let error = client.asked(server.address, "app.test").await.expect_err("revoked");
    assert_eq!(*tls_error(&error), Error::AlertReceived(AlertDescription::CertificateRevoked));
}

#[tokio::test]
async fn a_client_whose_certificate_cannot_be_told_is_refused() {
    let (authority, clients) = (Authority::new("ca"), Authority::new("clients"));
    let settings = TlsSettings::new(authority.certificate(&["app.test"])).client_auth(clients.client_auth().optional());
    let server = start(settings).await;
    // A list of alternative names with one that is cut off. rustls does not read those of clients.
    let names = CustomExtension::from_oid_content(&[2, 5, 29, 17], vec![0x30, 2, 0x82, 5]);
    let own = clients.issue_with(&[], |params| params.custom_extensions.push(names));
    for (version, refused) in VERSIONS.into_iter().zip(1..) {
        let client = Client::new(&authority, Some(&own), &[version]);
        // It is valid for rustls.
        let mut stream = client.connect(server.address, "app.test").await.expect("a handshake");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("close_notify");
        assert!(answer.is_empty(), "{answer:?}");
        assert_eq!(server.acceptor.stats().failed(HandshakeFailure::ClientCertificate), refused);
    }
}

/// The fields about client certificates of a request after the rules were applied.
fn applied(
    fields: &ForwardingFields,
    peer: &str,
    has_certificate: bool,
    sent: &[(&str, &str)],
) -> Vec<(String, String)> {
    let authority = Authority::new("clients");
    let mut session = TlsSession::new();
    if has_certificate {
        let (pem, _) = authority.client("orders");
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate").to_vec();
        let certificate = ClientCertificate::new([der, vec![0]]).expect("a certificate");
        session = session.with_client_certificate(certificate);
    }
    let mut request = Request::get("/").header("host", "app.test");
    for (name, value) in sent {
        request = request.header(*name, *value);
    }
    let mut request = request.body(()).expect("a request");
    request.extensions_mut().insert(PeerAddr(format!("{peer}:4711").parse().expect("an address")));
    request.extensions_mut().insert(ConnectionInfo::new().session(session));
    fields.apply(&mut request);
    let fields = request.headers().iter().filter(|(name, _)| name.as_str().contains("client-cert"));
    let mut fields: Vec<_> = fields
        .map(|(name, value)| (name.to_string(), value.to_str().expect("ASCII").chars().take(4).collect()))
        .collect();
    fields.sort();
    fields
}

const FORGED: [(&str, &str); 3] =
    [("client-cert", ":AAA=:"), ("client-cert-chain", ":BBB=:"), ("x-forwarded-client-cert", "Uri=a")];

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn endpoints_learn_of_certificates_that_were_verified_here() {
    let (default, all) = (ForwardingFields::new(), ForwardingFields::new().all(FieldAction::Append));
    let all_fields =
        pairs(&[("client-cert", ":MII"), ("client-cert-chain", ":AA="), ("x-forwarded-client-cert", "Hash")]);
    for sent in [&FORGED[..], &[]] {
        assert_eq!(applied(&default, "203.0.113.9", false, sent), []);
        assert_eq!(applied(&default, "203.0.113.9", true, sent), pairs(&[("client-cert", ":MII")]));
        assert_eq!(applied(&all, "203.0.113.9", false, sent), []);
        assert_eq!(applied(&all, "203.0.113.9", true, sent), all_fields);
        let none = ForwardingFields::new().all(FieldAction::Remove);
        assert_eq!(applied(&none, "203.0.113.9", true, sent), []);
    }
}

#[test]
fn what_a_trusted_proxy_reports_is_not_replaced_by_its_own_certificate() {
    let fields = ForwardingFields::behind("10.0.0.0/8".parse().expect("networks")).all(FieldAction::Append);
    // It may have passed on what a client has sent.
    assert_eq!(applied(&fields, "10.0.0.1", false, &FORGED), []);
    let fields = fields.written_by_proxies([ReportedField::ClientCert, ReportedField::XForwardedClientCert]);
    let reported =
        pairs(&[("client-cert", ":AAA"), ("client-cert-chain", ":BBB"), ("x-forwarded-client-cert", "Uri=")]);
    for has_certificate in [false, true] {
        assert_eq!(applied(&fields, "10.0.0.1", has_certificate, &FORGED), reported);
        assert_eq!(applied(&fields, "10.0.0.1", has_certificate, &FORGED[..1]).first(), reported.first());
    }
    assert_eq!(applied(&fields, "10.0.0.1", false, &[]), []);
    // In the format of Envoy, an element tells of each hop.
    assert_eq!(applied(&fields, "10.0.0.1", true, &[]), pairs(&[("x-forwarded-client-cert", "Hash")]));
    assert_eq!(applied(&fields, "203.0.113.9", false, &FORGED), []);
}
