//! The resumption of sessions by openssl.

use equipoise::proxy::{
    ReverseProxyLayer,
    tls::{TicketSecret, TlsSettings},
};
use equipoise_tests::program;

use super::setup::{Authority, GET, TlsProxy, s_client};

#[tokio::test]
async fn openssl_resumes_sessions_also_at_another_server_with_the_same_secret() {
    let Some(openssl) = program("openssl", "openssl") else { return };
    let authority = Authority::new("ca");
    let certificate = authority.certificate("app.test", 1);
    let start = async |secrets: &[u8]| {
        let secrets = secrets.iter().map(|byte| TicketSecret::new([*byte; 32]).expect("long enough"));
        let settings = TlsSettings::new(certificate.clone()).ticket_secrets(secrets);
        TlsProxy::telling(&settings, &ReverseProxyLayer::new()).await
    };
    let (first, second, stranger) = (start(&[1]).await, start(&[2, 1]).await, start(&[]).await);
    for version in ["-tls1_2", "-tls1_3"] {
        let session = authority.text(version);
        let connect = async |proxy: &TlsProxy, option: &str| {
            let options = [version, "-servername", "app.test", option, &session];
            s_client(&openssl, proxy.address, &options, GET).await.out
        };
        for server in [&first, &stranger] {
            let told = connect(server, "-sess_out").await;
            assert!(told.contains("New, TLSv1."), "{told}");
            for (at, is_resumed) in [(&first, true), (&second, true), (&stranger, false)] {
                // The ticket of the stranger is good there only.
                let is_resumed = is_resumed == std::ptr::eq(server, &raw const first);
                let told = connect(at, "-sess_in").await;
                assert_eq!(told.contains("Reused, TLSv1."), is_resumed, "{version}: {told}");
                assert!(told.contains("HTTP/1.1 200"), "{told}");
            }
        }
        // Session names are bound to the name of the server.
        connect(&first, "-sess_out").await;
        let options = [version, "-servername", "other.test", "-sess_in", &session];
        let told = s_client(&openssl, first.address, &options, GET).await.out;
        assert!(told.contains("New, TLSv1."), "{told}");
    }
}
