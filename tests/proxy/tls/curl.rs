//! curl over https.

use std::path::PathBuf;

use equipoise::proxy::{
    ReverseProxyLayer,
    headers::{FieldAction, ForwardingFields},
    tls::TlsSettings,
};
use equipoise_tests::{program, run};

use super::setup::{Authority, TlsProxy};
use crate::app::{self, LARGE};

/// The options that select a version of HTTP, and the version that curl reports.
const VERSIONS: [(&str, &str); 2] = [("--http1.1", "1.1"), ("--http2", "2")];

struct Curl<'a> {
    program: PathBuf,
    authority: &'a Authority,
    proxy: &'a TlsProxy,
}

impl Curl<'_> {
    /// Asks for a path at a host. Returns the body and what `--write-out` adds.
    async fn get(&self, host: &str, path: &str, options: &[&str]) -> String {
        let url = format!("https://{host}{path}");
        let to = format!("{host}:443:{}", self.proxy.address);
        let ca = self.authority.text("ca.pem");
        let common = ["--silent", "--show-error", "--cacert", &ca, "--connect-to", &to, &url];
        run(&self.program, common.iter().chain(options)).await.stdout
    }
}

#[tokio::test]
async fn curl_selects_the_version_by_alpn() {
    let Some(program) = program("curl", "curl") else { return };
    let authority = Authority::new("ca");
    let settings = TlsSettings::new(authority.certificate("app.test", 1));
    let proxy = TlsProxy::start(&settings, &ReverseProxyLayer::new(), app::start().await).await;
    let curl = Curl { program, authority: &authority, proxy: &proxy };
    for (option, version) in VERSIONS {
        let written = ["--write-out", " %{http_version} %{ssl_verify_result} %{http_code}", option];
        assert_eq!(curl.get("app.test", "/hello", &written).await, format!("hello {version} 0 200"));
        assert_eq!(curl.get("app.test", "/large", &[option]).await.len(), LARGE);
        let data = "0123456789abcdef".repeat(20_000);
        let file = authority.path("data");
        std::fs::write(&file, &data).expect("a file");
        let file = format!("@{}", file.display());
        assert!(curl.get("app.test", "/echo", &["--data-binary", &file, option]).await == data);
    }
    let stats = proxy.acceptor.stats();
    assert_eq!((stats.tls13, stats.in_progress), (6, 0), "{stats:?}");
}

#[tokio::test]
async fn curl_gets_421_for_the_host_of_another_certificate() {
    let Some(program) = program("curl", "curl") else { return };
    let authority = Authority::new("ca");
    let settings = TlsSettings::new(authority.certificate("app.test", 1))
        .certificate(authority.certificate("other.test", 2))
        .certificate(authority.certificate("*.wild.test", 3));
    let proxy = TlsProxy::start(&settings, &ReverseProxyLayer::new(), app::start().await).await;
    let curl = Curl { program, authority: &authority, proxy: &proxy };
    for (option, _) in VERSIONS {
        for (connected, asked, status) in [
            ("app.test", "app.test", 200),
            ("app.test", "other.test", 421),
            ("other.test", "app.test", 421),
            ("a.wild.test", "b.wild.test", 200),
            ("a.wild.test", "wild.test", 421),
            ("app.test", "unknown.test", 200),
        ] {
            let host = format!("host: {asked}");
            let options = ["--header", &host, "--output", "/dev/null", "--write-out", "%{http_code}", option];
            let answer = curl.get(connected, "/hello", &options).await;
            assert_eq!(answer, status.to_string(), "{connected} {asked} {option}");
        }
    }
}

#[tokio::test]
async fn endpoints_learn_of_the_certificate_of_curl_and_of_no_forged_one() {
    let Some(program) = program("curl", "curl") else { return };
    let authority = Authority::new("ca");
    authority.issue("client.test", 7);
    let settings = TlsSettings::new(authority.certificate("app.test", 1));
    let settings = settings.client_auth(authority.client_auth().optional());
    let fields =
        ForwardingFields::new().client_cert_chain(FieldAction::Append).x_forwarded_client_cert(FieldAction::Append);
    let proxy = TlsProxy::telling(&settings, &ReverseProxyLayer::new().forwarding(fields)).await;
    let curl = Curl { program, authority: &authority, proxy: &proxy };
    let forged =
        ["client-cert: :AAAA:", "Client-Cert-Chain: :AAAA:", "x-forwarded-client-cert: Hash=0", "client_cert: :AAAA:"];
    let forged: Vec<_> = forged.iter().flat_map(|field| ["--header", *field]).collect();
    let files = ["client.test.pem", "client.test.key"].map(|name| authority.text(name));
    for (option, _) in VERSIONS {
        let answer = curl.get("app.test", "/", &[&forged[..], &[option]].concat()).await;
        assert_eq!(answer, "x-forwarded-proto: https\n");
        let own = ["--cert", &files[0], "--key", &files[1], option];
        let answer = curl.get("app.test", "/", &[&forged[..], &own].concat()).await;
        let pem = std::fs::read_to_string(&files[0]).expect("a file");
        let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let lines: Vec<_> = answer.lines().collect();
        // curl sends the certificate of the authority too.
        assert!(lines[0].starts_with("client-cert-chain: :MII") && lines[0].ends_with(':'), "{answer}");
        assert_eq!(lines[1], format!("client-cert: :{base64}:"));
        assert!(lines[2].starts_with("x-forwarded-client-cert: Hash="), "{answer}");
        assert!(lines[2].ends_with(";Subject=\"CN=client.test\";DNS=client.test"), "{answer}");
        assert_eq!(lines[3..], ["x-forwarded-proto: https"]);
    }
}
