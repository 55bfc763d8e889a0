//! Clients that connect to the proxy with TLS.

use std::{path::PathBuf, process::Stdio};

use equipoise_proxy::{
    forward::{ForwardProxy, ForwardSettings},
    server::{Server, ServerLimits},
    tls::{Certificate, ClientAuth, Tls, TlsSettings},
};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::{net::TcpListener, process::Command};

use crate::{
    clients::has,
    rig::{Origin, local, names},
};

fn issue(name: &str) -> (String, Certificate) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    let certificate = Certificate::from_pem(cert.pem(), signing_key.serialize_pem()).expect("valid PEM");
    (cert.pem(), certificate)
}

/// Starts a proxy whose certificates have the names of destinations, too.
async fn start(any_authority: bool) -> (u16, String) {
    let (pem, own) = issue("proxy.test");
    let (_, other) = issue("app.test");
    let (ca, protected) = issue("other.test");
    let protected = protected.client_auth(ClientAuth::from_pem(ca).expect("valid PEM"));
    let settings = TlsSettings::new(own).certificate(other).certificate(protected).strict_sni(true);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let proxy = ForwardProxy::with_settings([local()], ForwardSettings::new().resolver(names()));
    let server = Server::with_limits(proxy, ServerLimits::new().any_authority(any_authority));
    tokio::spawn(server.serve(Tls::with_settings(listener, &settings).expect("valid settings")));
    (port, pem)
}

/// A file that is removed.
struct File(PathBuf);

impl File {
    fn new(text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("equipoise-forward-tls-{}.pem", std::process::id()));
        std::fs::write(&path, text).expect("a file");
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn curl_gets_hosts_of_which_the_proxy_has_other_certificates_or_none() {
    if !has("curl", &["--version"]).await {
        return;
    }
    let origin = Origin::start().await;
    for any_authority in [true, false] {
        let (port, pem) = start(any_authority).await;
        let (file, resolve) = (File::new(&pem), format!("proxy.test:{port}:127.0.0.1"));
        let get = async |host: &str, more: &[&str]| {
            let mut curl = Command::new("curl");
            curl.args(["-sS", "--proxy", &format!("https://proxy.test:{port}"), "--resolve", &resolve]);
            curl.arg("--proxy-cacert").arg(&file.0).args(more).args(["-o", "/dev/null", "-w", "%{http_code}"]);
            curl.arg(format!("http://{host}:{}/", origin.address.port())).stdin(Stdio::null());
            let output = curl.output().await.expect("it can be started");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).expect("text")
        };
        for host in ["127.0.0.1", "app.test", "other.test"] {
            assert_eq!(get(host, &[]).await, if any_authority { "200" } else { "421" }, "{host}");
            assert_eq!(get(host, &["--proxytunnel"]).await, "200", "{host}");
        }
    }
}
