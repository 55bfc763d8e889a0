//! curl and openssl through a router by server name, to nginx with TLS. Nothing between them has a certificate.

use equipoise::proxy::{
    listen::{Established, Prefixed},
    sni::{SniRouter, SniTarget},
};
use equipoise_tests::{Output, program, run};
use tokio::net::{TcpListener, TcpStream};

use crate::{certificates::Authority, folder::Folder, process::Process};

/// A router in front of nginx, which has one server for each name.
struct Rig {
    router: SniRouter<TcpStream>,
    port: u16,
    authority: Authority,
    _servers: Vec<Process>,
}

/// Copies bytes to a server and back.
fn to(address: String) -> impl SniTarget<TcpStream> {
    move |mut connection: Established<Prefixed<TcpStream>>| {
        let address = address.clone();
        async move {
            let mut server = TcpStream::connect(address).await.expect("it listens");
            let _ = tokio::io::copy_bidirectional(&mut connection.io, &mut server).await;
        }
    }
}

impl Rig {
    /// `None` if nginx is not installed.
    async fn start() -> Option<Self> {
        let authority = Authority::new();
        let (mut router, mut servers) = (SniRouter::new(), Vec::new());
        for (name, pattern) in [("shop.test", "shop.test"), ("en.wiki.test", "*.wiki.test")] {
            let certificate = authority.issue(name).display().to_string();
            let directives = format!(
                "ssl_certificate {certificate}; ssl_certificate_key {certificate};
                ssl_protocols TLSv1.2 TLSv1.3;
                location / {{ return 200 '{name} $ssl_server_name $ssl_protocol $server_protocol'; }}"
            );
            let server = Process::nginx_listening("ssl http2", &directives, Folder::new()).await?;
            router = router.host(pattern, to(server.address.clone())).expect("a valid name");
            servers.push(server);
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        tokio::spawn(router.clone().serve(listener));
        Some(Self { router, port, authority, _servers: servers })
    }

    async fn curl(&self, name: &str, options: &[&str]) -> Option<String> {
        let curl = program("curl", "curl")?;
        let (resolve, url) = (format!("{name}:{}:127.0.0.1", self.port), format!("https://{name}:{}/", self.port));
        let ca = self.authority.path("ca.pem").display().to_string();
        let all = ["--silent", "--show-error", "--resolve", &resolve, "--cacert", &ca];
        Some(run(&curl, all.iter().chain(options).copied().chain([&*url])).await.stdout)
    }

    async fn openssl(&self, options: &[&str]) -> Option<Output> {
        let openssl = program("openssl", "openssl")?;
        let (address, ca) = (format!("127.0.0.1:{}", self.port), self.authority.path("ca.pem").display().to_string());
        let all = ["s_client", "-connect", &address, "-CAfile", &ca, "-verify_return_error", "-brief"];
        Some(run(&openssl, all.iter().chain(options)).await)
    }
}

#[tokio::test]
async fn curl_reaches_the_server_of_each_name() {
    let Some(rig) = Rig::start().await else { return };
    let mut hellos = 0;
    for (option, version) in [("1.2", "TLSv1.2"), ("1.3", "TLSv1.3")] {
        for (http, protocol) in [("--http1.1", "HTTP/1.1"), ("--http2", "HTTP/2.0")] {
            for name in ["shop.test", "en.wiki.test"] {
                let options = [&format!("--tlsv{option}"), "--tls-max", option, http];
                let Some(answer) = rig.curl(name, &options).await else { return };
                assert_eq!(answer, format!("{name} {name} {version} {protocol}"));
                hellos += 1;
            }
        }
    }
    assert_eq!((rig.router.stats().hellos, rig.router.stats().unrouted), (hellos, 0));
}

#[tokio::test]
async fn openssl_completes_its_handshake_with_the_server_of_the_name() {
    let Some(rig) = Rig::start().await else { return };
    for (name, version) in [("shop.test", "-tls1_2"), ("en.wiki.test", "-tls1_3")] {
        // The certificate is checked to be that of the name.
        let options = ["-servername", name, "-verify_hostname", name, "-alpn", "h2,http/1.1", version];
        let Some(output) = rig.openssl(&options).await else { return };
        assert!(output.stderr.contains("Verification: OK"), "{output:?}");
        assert!(output.stderr.contains(&format!("CN = {name}")), "{output:?}");
    }
    assert_eq!(rig.router.stats().hellos, 2);
}
