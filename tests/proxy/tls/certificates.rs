//! Certificates by name, client certificates and OCSP.

use std::fs;

use equipoise::proxy::{
    ReverseProxyLayer,
    tls::{HandshakeFailure, TlsSettings},
};
use equipoise_tests::{program, run};

use super::setup::{Authority, GET, TlsProxy, s_client};

#[tokio::test]
async fn openssl_gets_the_certificate_of_the_name_it_asks_for() {
    let Some(openssl) = program("openssl", "openssl") else { return };
    let authority = Authority::new("ca");
    let settings = TlsSettings::new(authority.certificate("app.test", 1))
        .certificate(authority.certificate("*.wild.test", 2))
        .certificate(authority.certificate("a.wild.test", 3));
    let layer = ReverseProxyLayer::new();
    let proxy = TlsProxy::telling(&settings, &layer).await;
    let strict = TlsProxy::telling(&settings.strict_sni(true), &layer).await;
    for (name, subject) in [
        ("app.test", "app.test"),
        ("a.wild.test", "a.wild.test"),
        ("b.wild.test", "*.wild.test"),
        ("other.test", "app.test"),
    ] {
        let told = s_client(&openssl, proxy.address, &["-servername", name], GET).await;
        assert!(told.out.contains(&format!("subject=CN = {subject}\n")), "{name}: {}", told.out);
    }
    for options in [&["-servername", "other.test"][..], &["-noservername"]] {
        let told = s_client(&openssl, strict.address, options, GET).await;
        assert!(told.errors.contains("unrecognized name"), "{}", told.errors);
    }
    assert_eq!(strict.acceptor.stats().failed(HandshakeFailure::UnknownName), 2);
}

#[tokio::test]
async fn openssl_needs_a_certificate_of_the_right_authority() {
    let Some(openssl) = program("openssl", "openssl") else { return };
    let (authority, other) = (Authority::new("ca"), Authority::new("other"));
    authority.issue("client.test", 7);
    other.issue("client.test", 7);
    let settings = TlsSettings::new(authority.certificate("app.test", 1)).client_auth(authority.client_auth());
    let proxy = TlsProxy::telling(&settings, &ReverseProxyLayer::new()).await;
    for version in ["-tls1_2", "-tls1_3"] {
        let ask = async |of: &Authority| {
            let (certificate, key) = (of.text("client.test.pem"), of.text("client.test.key"));
            s_client(&openssl, proxy.address, &[version, "-cert", &certificate, "-key", &key], GET).await
        };
        let told = ask(&authority).await;
        assert!(told.out.contains("client-cert: :MII"), "{}\n{}", told.out, told.errors);
        assert!(told.out.contains("Acceptable client certificate CA names\nCN = ca\n"), "{}", told.out);
        let told = ask(&other).await;
        assert!(told.errors.contains("alert unknown ca"), "{}", told.errors);
        let told = s_client(&openssl, proxy.address, &[version], GET).await;
        let refused = ["alert certificate required", "alert handshake failure"];
        assert!(refused.iter().any(|alert| told.errors.contains(alert)), "{}", told.errors);
    }
    let stats = proxy.acceptor.stats();
    assert_eq!((stats.tls12, stats.tls13, stats.failed(HandshakeFailure::ClientCertificate)), (1, 1, 4));
}

#[tokio::test]
async fn openssl_gets_a_stapled_ocsp_response() {
    let Some(openssl) = program("openssl", "openssl") else { return };
    let authority = Authority::new("ca");
    let certificate = authority.certificate("app.test", 1);
    // The database of a responder: valid, expires, serial number, subject.
    fs::write(authority.path("index"), "V\t491231235959Z\t\t01\tunknown\t/CN=app.test\n").expect("a file");
    let files = ["ca.pem", "ca.key", "index", "app.test.pem", "app.ocsp"].map(|name| authority.text(name));
    let [ca, ca_key, index, app, response] = files.each_ref().map(String::as_str);
    let signs = ["ocsp", "-index", index, "-rsigner", ca, "-rkey", ca_key, "-CA", ca, "-ndays", "7"];
    run(&openssl, signs.iter().chain(&["-issuer", ca, "-cert", app, "-respout", response])).await;
    let settings = TlsSettings::new(certificate.ocsp_file(response).expect("a response"));
    let proxy = TlsProxy::telling(&settings, &ReverseProxyLayer::new()).await;
    for version in ["-tls1_2", "-tls1_3"] {
        let told = s_client(&openssl, proxy.address, &[version, "-status", "-CAfile", ca], GET).await;
        for text in ["OCSP Response Status: successful (0x0)", "Cert Status: good", "Verify return code: 0 (ok)"] {
            assert!(told.out.contains(text), "{text}: {}", told.out);
        }
        let told = s_client(&openssl, proxy.address, &[version], GET).await;
        assert!(!told.out.contains("OCSP Response Status"), "{}", told.out);
    }
}
