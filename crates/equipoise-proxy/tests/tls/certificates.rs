//! Which certificate a client gets.

use std::{sync::Arc, time::SystemTime};

use equipoise_proxy::tls::{Certificate, ClientCertificate, HandshakeFailure, TlsSettings, TlsVersion};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::{
    AlertDescription, CipherSuite, ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig,
    SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::setup::{Authority, Client, Running, start, tls_error};

/// Accepts any certificate with a signature of these kinds.
#[derive(Debug)]
struct Credulous(Vec<SignatureScheme>);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}

fn credulous(client: Client, schemes: &[SignatureScheme]) -> Client {
    let verifier = Arc::new(Credulous(schemes.to_vec()));
    client.change(|config| config.dangerous().set_certificate_verifier(verifier))
}

/// Returns the names in the certificate that a client gets for a name.
async fn names_for(server: &Running, client: &Client, name: &str) -> Vec<String> {
    let stream = client.connect(server.address, name).await.expect("a handshake");
    let chain = stream.get_ref().1.peer_certificates().expect("a certificate");
    let certificate = ClientCertificate::new([chain[0].to_vec()]).expect("a certificate");
    certificate.dns_names().map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn names_choose_certificates_exactly_by_wildcard_or_by_default() {
    let authority = Authority::new("ca");
    let settings = TlsSettings::new(authority.certificate(&["default.test"]))
        .certificate(authority.certificate(&["*.app.test", "app.test"]))
        .certificate(authority.certificate(&["api.app.test"]))
        .certificate(authority.certificate(&["old.test"]).names(["NEW.test", "*.new.test."]));
    let server = start(settings).await;
    let client = credulous(authority.trusting(), &[SignatureScheme::ECDSA_NISTP256_SHA256]);
    for (name, first) in [
        ("default.test", "default.test"),
        ("other.test", "default.test"),
        ("app.test", "*.app.test"),
        ("www.app.test", "*.app.test"),
        ("WWW.App.Test", "*.app.test"),
        ("api.app.test", "api.app.test"),
        ("a.www.app.test", "default.test"),
        ("new.test", "old.test"),
        ("a.new.test", "old.test"),
        ("old.test", "default.test"),
        // Named by no client.
        ("127.0.0.1", "default.test"),
    ] {
        assert_eq!(names_for(&server, &client, name).await[0], first, "{name}");
    }
    let certificates = server.acceptor.certificates();
    let names: Vec<_> = certificates.iter().map(|certificate| certificate.names.join(" ")).collect();
    assert_eq!(names, ["default.test", "*.app.test app.test", "api.app.test", "new.test *.new.test"]);
    assert!(certificates.iter().all(|certificate| certificate.not_after > SystemTime::now()));
    assert_eq!(
        certificates.iter().map(|certificate| certificate.is_default).collect::<Vec<_>>(),
        [true, false, false, false]
    );
}

#[tokio::test]
async fn unknown_names_are_refused_if_there_is_no_default() {
    let authority = Authority::new("ca");
    let server = start(TlsSettings::new(authority.certificate(&["app.test"])).strict_sni(true)).await;
    let client = credulous(authority.trusting(), &[SignatureScheme::ECDSA_NISTP256_SHA256]);
    assert_eq!(names_for(&server, &client, "app.test").await, ["app.test"]);
    for name in ["other.test", "127.0.0.1"] {
        let error = client.connect(server.address, name).await.expect_err("no certificate");
        assert_eq!(*tls_error(&error), Error::AlertReceived(AlertDescription::UnrecognisedName), "{name}");
    }
    assert_eq!(server.acceptor.stats().failed(HandshakeFailure::UnknownName), 2);
}

#[tokio::test]
async fn a_client_gets_the_first_certificate_with_a_kind_of_key_that_it_supports() {
    let authority = Authority::new("ca");
    let key = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    let params = CertificateParams::new(vec!["app.test".to_owned()]).expect("a name");
    let ed25519 = params.signed_by(&key, &authority.0).expect("a certificate");
    let second = Certificate::from_pem(ed25519.pem(), key.serialize_pem()).expect("valid PEM");
    let server = start(TlsSettings::new(authority.certificate(&["app.test"])).certificate(second)).await;
    let (ecdsa, eddsa) = (SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ED25519);
    for versions in [&[&rustls::version::TLS12], &[&rustls::version::TLS13]] {
        for (schemes, is_second) in [(&[ecdsa][..], false), (&[eddsa], true), (&[eddsa, ecdsa], false)] {
            let client = credulous(Client::new(&authority, None, versions), schemes);
            for name in ["app.test", "other.test", "127.0.0.1"] {
                let stream = client.connect(server.address, name).await.expect("a handshake");
                let chain = stream.get_ref().1.peer_certificates().expect("a certificate");
                assert_eq!(chain[0] == *ed25519.der(), is_second, "{name} {schemes:?}");
            }
        }
        let client = credulous(Client::new(&authority, None, versions), &[SignatureScheme::RSA_PSS_SHA256]);
        let error = client.connect(server.address, "app.test").await.expect_err("no such key");
        assert_eq!(*tls_error(&error), Error::AlertReceived(AlertDescription::HandshakeFailure));
    }
    assert_eq!(server.acceptor.stats().failed(HandshakeFailure::Incompatible), 2);
}

#[tokio::test]
async fn versions_and_protocols_are_agreed_on() {
    let authority = Authority::new("ca");
    let certificate = authority.certificate(&["app.test"]);
    let server = start(TlsSettings::new(certificate.clone())).await;
    let client = |protocols: &[&str]| {
        let protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        authority.trusting().change(|config| config.alpn_protocols = protocols)
    };
    let old = Client::new(&authority, None, &[&rustls::version::TLS12]);
    assert_eq!(old.asked(server.address, "app.test").await.expect("a response"), "app.test TLSv1.2 - full -");
    for (protocols, agreed) in [(&["http/1.1", "h2"][..], "h2"), (&["http/1.1"], "http/1.1"), (&[], "-")] {
        let mut stream = client(protocols).connect(server.address, "app.test").await.expect("a handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol().unwrap_or(b"-"), agreed.as_bytes());
        if agreed != "h2" {
            let body = crate::setup::get(&mut stream, "app.test").await.expect("a response").1;
            assert_eq!(body, format!("app.test TLSv1.3 {agreed} full -"));
        }
    }
    let error = client(&["ftp"]).connect(server.address, "app.test").await.expect_err("no common protocol");
    assert_eq!(*tls_error(&error), Error::AlertReceived(AlertDescription::NoApplicationProtocol));

    let server = start(TlsSettings::new(certificate.clone()).alpn::<&str>([]).min_version(TlsVersion::Tls13)).await;
    let answer = client(&["ftp"]).asked(server.address, "app.test").await.expect("a response");
    assert_eq!(answer, "app.test TLSv1.3 - full -");
    let error = old.connect(server.address, "app.test").await.expect_err("too old");
    assert_eq!(*tls_error(&error), Error::AlertReceived(AlertDescription::ProtocolVersion));
    assert_eq!(server.acceptor.stats().failed(HandshakeFailure::Incompatible), 1);
}

#[tokio::test]
async fn the_fastest_cipher_suite_is_selected_unless_the_client_prefers_chacha20() {
    let authority = Authority::new("ca");
    let server = start(TlsSettings::new(authority.certificate(&["app.test"]))).await;
    let (aes_128, aes_256) = (CipherSuite::TLS13_AES_128_GCM_SHA256, CipherSuite::TLS13_AES_256_GCM_SHA384);
    let chacha20 = CipherSuite::TLS13_CHACHA20_POLY1305_SHA256;
    for (offered, selected) in [
        (&[aes_256, chacha20, aes_128][..], aes_128),
        (&[aes_128, chacha20], aes_128),
        (&[chacha20, aes_128], chacha20),
        (&[aes_256, chacha20], aes_256),
        (&[aes_256], aes_256),
    ] {
        let all = ring::default_provider().cipher_suites;
        let suite = |wanted: &CipherSuite| all.iter().copied().find(|suite| suite.suite() == *wanted);
        let mut provider = ring::default_provider();
        provider.cipher_suites = offered.iter().filter_map(suite).collect();
        let mut roots = RootCertStore::empty();
        roots.add(authority.0.der().clone()).expect("a root");
        let builder = ClientConfig::builder_with_provider(Arc::new(provider));
        let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).expect("supported");
        let client = Client(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()));
        let stream = client.connect(server.address, "app.test").await.expect("a handshake");
        let suite = stream.get_ref().1.negotiated_cipher_suite().expect("a suite");
        assert_eq!(suite.suite(), selected, "{offered:?}");
    }
}

#[tokio::test]
async fn a_complete_configuration_is_used_as_it_is() {
    #[derive(Debug)]
    struct Only(Arc<CertifiedKey>);
    impl ResolvesServerCert for Only {
        fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            Some(Arc::clone(&self.0))
        }
    }
    let authority = Authority::new("ca");
    let (chain, key) = authority.issue(&["app.test"]);
    let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
    let provider = ring::default_provider();
    let key = CertifiedKey::from_der(chain, key, &provider).expect("its key");
    let builder = ServerConfig::builder_with_provider(Arc::new(provider));
    let builder = builder.with_safe_default_protocol_versions().expect("ring has them").with_no_client_auth();
    let server = start(TlsSettings::with_config(builder.with_cert_resolver(Arc::new(Only(Arc::new(key)))))).await;
    let mut stream = authority.trusting().connect(server.address, "app.test").await.expect("a handshake");
    assert_eq!(crate::setup::get(&mut stream, "app.test").await.expect("a response").0, 200);
    // Nothing is known of other names.
    assert_eq!(crate::setup::get(&mut stream, "other.test").await.expect("a response").0, 200);
    assert_eq!(server.acceptor.certificates(), []);
}
