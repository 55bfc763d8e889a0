//! Versions of TLS and application protocols.

use equipoise::proxy::{
    ReverseProxyLayer,
    tls::{HandshakeFailure, TlsSettings, TlsVersion},
};
use equipoise_tests::program;

use super::setup::{Authority, GET, TlsProxy, s_client};
use crate::app;

#[tokio::test]
async fn openssl_gets_responses_with_both_versions() {
    let Some(openssl) = program("openssl", "openssl") else { return };
    let authority = Authority::new("ca");
    let settings = TlsSettings::new(authority.certificate("app.test", 1));
    let proxy = TlsProxy::start(&settings, &ReverseProxyLayer::new(), app::start().await).await;
    let ca = authority.text("ca.pem");
    for (version, shown) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let options = [version, "-CAfile", &ca, "-verify_hostname", "app.test", "-servername", "app.test"];
        let options = [&options[..], &["-alpn", "http/1.1"]].concat();
        let told = s_client(&openssl, proxy.address, &options, GET).await;
        let expected = [&*format!("New, {shown}, Cipher is"), "Verify return code: 0 (ok)", "ALPN protocol: http/1.1"];
        for text in expected.into_iter().chain(["HTTP/1.1 200", "hello"]) {
            assert!(told.out.contains(text), "{text}: {}\n{}", told.out, told.errors);
        }
        // The server has closed the connection with close_notify.
        assert!(!told.errors.contains("unexpected eof"), "{}", told.errors);
        // Without one, and without a name.
        let told = s_client(&openssl, proxy.address, &[version, "-noservername"], GET).await;
        assert!(told.out.contains("No ALPN negotiated") && told.out.contains("hello"), "{}", told.out);
    }
    let stats = proxy.acceptor.stats();
    assert_eq!((stats.tls12, stats.tls13, stats.resumed), (2, 2, 0));
}

#[tokio::test]
async fn openssl_is_refused_with_old_versions_and_unknown_protocols() {
    let Some(openssl) = program("openssl", "openssl") else { return };
    let authority = Authority::new("ca");
    let settings = TlsSettings::new(authority.certificate("app.test", 1));
    let layer = ReverseProxyLayer::new();
    let proxy = TlsProxy::start(&settings, &layer, app::start().await).await;
    let strict = TlsProxy::start(&settings.min_version(TlsVersion::Tls13), &layer, app::start().await).await;
    for (address, options, alert) in [
        (proxy.address, &["-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0"][..], "alert handshake failure"),
        (strict.address, &["-tls1_2"], "alert protocol version"),
        (proxy.address, &["-alpn", "ftp"], "alert no application protocol"),
        // Without forward secrecy.
        (proxy.address, &["-tls1_2", "-cipher", "AES128-SHA256:AES256-GCM-SHA384"], "alert handshake failure"),
    ] {
        let told = s_client(&openssl, address, options, GET).await;
        assert!(told.errors.contains(alert), "{options:?}: {}", told.errors);
    }
    assert_eq!(proxy.acceptor.stats().failed(HandshakeFailure::Incompatible), 3);
}
