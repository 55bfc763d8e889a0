//! Real clients: curl and the requests module of Python, with a server of TLS by openssl.
//! Tests whose program is not installed print `SKIPPED` and pass.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use equipoise_proxy::forward::{BasicAuth, ForwardSettings, Passwords};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::rig::{Names, Origin, Proxy, local, names};

/// Whether a program can be started.
pub(crate) async fn has(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    let status = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status().await;
    let found = status.is_ok_and(|status| status.success());
    if !found {
        println!("SKIPPED: {program} is not installed");
    }
    found
}

async fn output(program: &str, arguments: &[&str]) -> (String, Option<i32>) {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().await.expect("it can be started");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        println!("{program}: {}", String::from_utf8_lossy(&output.stderr));
    }
    (text, output.status.code())
}

/// A server of TLS that answers each request with a page.
struct Secure {
    port: u16,
    certificate: PathBuf,
    folder: PathBuf,
    _child: Child,
}

impl Secure {
    async fn start(test: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("equipoise-forward-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let (key, certificate) = (folder.join("key.pem"), folder.join("certificate.pem"));
        let text = |path: &Path| path.to_str().expect("text").to_owned();
        let made = format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=app.test \
             -addext subjectAltName=DNS:app.test -keyout {} -out {}",
            key.display(),
            certificate.display()
        );
        assert_eq!(output("openssl", &made.split(' ').collect::<Vec<_>>()).await.1, Some(0));
        let mut command = Command::new("openssl");
        command.args(["s_server", "-accept", "127.0.0.1:0", "-www", "-key", &text(&key), "-cert", &text(&certificate)]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().expect("it can be started");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let port = loop {
            let line = lines.next_line().await.expect("text").expect("it prints its address");
            if let Some(port) = line.strip_prefix("ACCEPT ").and_then(|address| address.rsplit(':').next()) {
                break port.parse().expect("a port");
            }
        };
        // So that it does not wait for a reader.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { port, certificate, folder, _child: child }
    }

    fn url(&self) -> String {
        format!("https://app.test:{}/", self.port)
    }

    fn certificate(&self) -> &str {
        self.certificate.to_str().expect("text")
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn with_password() -> ForwardSettings {
    let users = Passwords::new().user("ann", "s3cr:et");
    ForwardSettings::new().resolver(names()).authentication(BasicAuth::new("proxy", users).expect("a realm"))
}

#[tokio::test]
async fn curl_sends_requests_of_http() {
    if !has("curl", &["--version"]).await {
        return;
    }
    let origin = Origin::start().await;
    for (settings, user) in [(ForwardSettings::new().resolver(names()), None), (with_password(), Some("ann:s3cr:et"))] {
        let proxy = Proxy::start([local()], settings).await;
        let address = format!("http://{}", proxy.address);
        let (one, two) = (origin.url("/one"), origin.url("/two"));
        let mut arguments = vec!["-sS", "-x", &address, "--data", "a body", "-w", " %{http_code} %{num_connects}\n"];
        if let Some(user) = user {
            arguments.extend(["--proxy-user", user]);
        }
        let mut versions = vec!["--http1.1"];
        // Through a tunnel.
        versions.push("--proxytunnel");
        for version in versions {
            let (text, _) = output("curl", &[&arguments[..], &[version, &one, &two]].concat()).await;
            assert!(text.contains("POST /one\n") && text.contains("POST /two\n"), "{version}: {text}");
            assert!(text.contains("\n\na body 200 1\n") && text.contains("\n\na body 200 0\n"), "{version}: {text}");
        }
    }
}

#[tokio::test]
async fn curl_speaks_http_1_0() {
    if !has("curl", &["--version"]).await {
        return;
    }
    let (proxy, origin) = (Proxy::local().await, Origin::start().await);
    let address = format!("http://{}", proxy.address);
    let url = origin.url("/");
    let (text, _) = output("curl", &["-sS", "--proxy1.0", &address, "--http1.0", &url]).await;
    assert!(text.starts_with("GET /\n"), "{text}");
    let (text, _) = output("curl", &["-sS", "--proxy1.0", &address, "--proxytunnel", &url]).await;
    assert!(text.starts_with("GET /\n"), "{text}");
}

#[tokio::test]
async fn curl_opens_tunnels_for_https() {
    if !has("curl", &["--version"]).await || !has("openssl", &["version"]).await {
        return;
    }
    let secure = Secure::start("curl").await;
    for (settings, user) in [(ForwardSettings::new().resolver(names()), None), (with_password(), Some("ann:s3cr:et"))] {
        let proxy = Proxy::start([local()], settings).await;
        let (address, url) = (format!("http://{}", proxy.address), secure.url());
        let mut arguments =
            vec!["-sS", "--cacert", secure.certificate(), "-w", " %{http_connect} %{http_code}", "-x", &address];
        if let Some(user) = user {
            arguments.extend(["--proxy-user", user]);
        }
        arguments.push(&url);
        let (text, code) = output("curl", &arguments).await;
        assert!(code == Some(0) && text.ends_with(" 200 200"), "{text}");
        assert_eq!(proxy.proxy.stats().tunnels, 1);
    }
}

#[tokio::test]
async fn curl_reports_what_is_refused() {
    if !has("curl", &["--version"]).await {
        return;
    }
    let origin = Origin::start().await;
    let bad = Names::default().name("app.test", &[&["169.254.169.254"]]);
    let denies = Proxy::start([local()], ForwardSettings::new().resolver(bad)).await;
    let asks = Proxy::start([local()], with_password()).await;
    for (proxy, user, status) in [(&denies, "a:b", "403"), (&asks, "ann:wrong", "407")] {
        let address = format!("http://{}", proxy.address);
        let url = origin.url("/");
        let common = ["-sS", "-x", &*address, "--proxy-user", user];
        let (text, _) = output("curl", &[&common[..], &["-o", "/dev/null", "-w", "%{http_code}", &url]].concat()).await;
        assert_eq!(text, status);
        let tunnel = ["-o", "/dev/null", "-w", "%{http_connect}", "https://app.test/"];
        let (text, code) = output("curl", &[&common[..], &tunnel].concat()).await;
        assert_eq!((text.as_str(), code), (status, Some(56)));
    }
    assert_eq!(origin.connections(), 0);
}

const PYTHON: &str = "
import sys, requests
proxy, http, https, certificate = sys.argv[1:]
session = requests.Session()
session.trust_env = False
session.proxies = {'http': proxy, 'https': proxy}
for number in range(3):
    answer = session.post(http + str(number), data=b'x' * 100000)
    assert answer.status_code == 200 and answer.text.startswith('POST /' + str(number)), answer.text
    assert answer.text.endswith('x' * 100000)
    answer = session.get(https, verify=certificate)
    assert answer.status_code == 200 and 'Cipher' in answer.text, answer.text
print('done')
";

#[tokio::test]
async fn requests_of_python_uses_both() {
    if !has("python3", &["-c", "import requests"]).await || !has("openssl", &["version"]).await {
        return;
    }
    let (secure, origin) = (Secure::start("python").await, Origin::start().await);
    let proxy = Proxy::start([local()], with_password()).await;
    let address = format!("http://ann:s3cr%3Aet@{}", proxy.address);
    let arguments = ["-c", PYTHON, &address, &origin.url("/"), &secure.url(), secure.certificate()];
    assert_eq!(output("python3", &arguments).await, ("done\n".to_owned(), Some(0)));
    assert_eq!(origin.connections(), 1);
}
