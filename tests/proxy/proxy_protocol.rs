//! HAProxy and nginx as senders and receivers of the PROXY protocol.

use std::{convert::Infallible, net::SocketAddr};

use equipoise::{
    EndpointSpec, Pool,
    affinity::source::{PeerAddr, TrustedProxies},
    http::{HttpClient, Settings, Tls, Upstream},
    proxy::{
        ReverseProxyLayer,
        headers::{ConnectionInfo, FieldAction, ForwardingFields},
        proxy_protocol::{ProxyAcceptor, ProxyHeader, ProxyProtocol, Version, kind, request_header},
        server::Server,
    },
};
use equipoise_tests::{program, run, soon};
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::{Layer, service_fn};

use crate::{certificates::Authority, folder::Folder, process::Process};

/// Starts a server behind a listener for the PROXY protocol, which answers with what it knows of the connection. Returns
/// its address.
async fn receiver(acceptor: &ProxyAcceptor) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let listener = ProxyProtocol::with_acceptor(listener, acceptor.clone());
    let service = service_fn(async |request: Request<Incoming>| {
        let peer = request.extensions().get::<PeerAddr>().expect("a peer").0;
        let info = request.extensions().get::<ConnectionInfo>().expect("always there");
        let local = info.local_addr().expect("a local address");
        let header = info.proxy_header().expect("a header");
        let text = |value: Option<&[u8]>| value.map(|value| String::from_utf8_lossy(value).into_owned());
        let tls = header.ssl().map(|ssl| {
            let algorithms = (ssl.signature_algorithm().is_some(), ssl.key_algorithm().map(str::to_owned));
            format!(
                "{:?} {:?} {:?} {algorithms:?} {}",
                ssl.version(),
                ssl.common_name(),
                ssl.cipher(),
                ssl.is_verified()
            )
        });
        let id = text(header.unique_id());
        let has_checksum = header.value(kind::CRC32C).is_some();
        let lines = [
            format!("peer {peer}"),
            format!("local {local}"),
            format!("name {:?}", info.server_name()),
            format!("alpn {:?}", text(header.alpn())),
            format!("id {id:?}"),
            format!("checksum {has_checksum}"),
            format!("tls {tls:?}"),
        ];
        Ok::<_, Infallible>(Response::new(lines.join("\n")))
    });
    tokio::spawn(Server::new(service).serve(listener));
    address
}

fn trusting() -> ProxyAcceptor {
    ProxyAcceptor::new(TrustedProxies::loopback())
}

/// Runs curl. Returns what it got, and the port from which it has connected.
async fn curl(arguments: &[&str], url: &str) -> Option<(String, u16)> {
    let curl = program("curl", "curl")?;
    let all = ["--silent", "--show-error", "--write-out", "\n%{local_port}"].iter().chain(arguments).copied();
    let output = run(&curl, all.chain([url])).await.stdout;
    let (body, port) = output.rsplit_once('\n').expect("two lines");
    Some((body.to_owned(), port.parse().expect("a port")))
}

#[tokio::test]
async fn clients_of_haproxy_and_nginx_are_known() {
    let acceptor = trusting();
    let address = receiver(&acceptor).await;
    let haproxy = async |options: &str| {
        Process::haproxy(&format!("bind {{bind}}\nserver s {address} {options}"), Folder::new()).await
    };
    let nginx = Process::nginx_stream(&format!("proxy_pass {address}; proxy_protocol on;")).await;
    let senders = [haproxy("send-proxy").await, haproxy("send-proxy-v2").await, nginx];
    let mut requests = 0;
    for sender in senders.into_iter().flatten() {
        let Some((known, port)) = curl(&[], &format!("http://{}/", sender.address)).await else { return };
        let expected = format!(
            "peer 127.0.0.1:{port}\nlocal {}\nname None\nalpn None\nid None\nchecksum false\ntls None",
            sender.address
        );
        assert_eq!(known, expected);
        requests += 1;
    }
    assert!(acceptor.stats().accepted >= requests && acceptor.stats().malformed == 0, "{:?}", acceptor.stats());
}

#[tokio::test]
async fn haproxy_tells_of_the_clients_tls() {
    let address = receiver(&trusting()).await;
    let authority = Authority::new();
    let (server, client, ca) = (authority.issue("shop.test"), authority.issue("alice"), authority.path("ca.pem"));
    let options = "send-proxy-v2 proxy-v2-options ssl,cert-cn,ssl-cipher,cert-sig,cert-key,crc32c,unique-id,authority";
    let section = format!(
        "bind {{bind}} ssl crt {} ca-file {} verify optional alpn http/1.1
        unique-id-format %{{+X}}o%ci:%cp
        server s {address} {options}",
        server.display(),
        ca.display(),
    );
    let Some(haproxy) = Process::haproxy(&section, Folder::new()).await else { return };
    let port = haproxy.address.rsplit_once(':').expect("a port").1;
    let (resolve, url) = (format!("shop.test:{port}:127.0.0.1"), format!("https://shop.test:{port}/"));
    let (client, ca) = (client.display().to_string(), ca.display().to_string());
    for (version, name, cipher) in
        [("1.2", "TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256"), ("1.3", "TLSv1.3", "TLS_AES_256_GCM_SHA384")]
    {
        let tls = [&*format!("--tlsv{version}"), "--tls-max", version, "--ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256"];
        for (certificate, common_name, is_verified) in
            [(None, "None", false), (Some(&*client), "Some(\"alice\")", true)]
        {
            let certificate: &[&str] = match certificate {
                Some(certificate) => &["--cert", certificate],
                None => &[],
            };
            let arguments = [&["--resolve", &resolve, "--cacert", &ca][..], &tls, certificate].concat();
            let Some((known, port)) = curl(&arguments, &url).await else { return };
            let id = format!("7F000001:{port:04X}");
            let expected = format!(
                "peer 127.0.0.1:{port}\nlocal {}\nname Some(\"shop.test\")\nalpn Some(\"http/1.1\")\nid Some({id:?})\n\
                 checksum true\ntls Some(\"Some(\\\"{name}\\\") {} Some(\\\"{cipher}\\\") (true, Some(\\\"EC256\\\")) {is_verified}\")",
                haproxy.address,
                common_name.replace('"', "\\\""),
            );
            assert_eq!(known, expected);
        }
    }
}

/// Starts a reverse proxy behind a listener for the PROXY protocol, in front of an endpoint that gets the header too.
async fn forwarding(endpoint: &str, settings: Settings) -> SocketAddr {
    let pool = Pool::default();
    let upstream = |spec: &EndpointSpec| Upstream::with_settings(spec.address(), &settings);
    pool.try_update([EndpointSpec::new(endpoint)], upstream).expect("a valid address");
    let forwarding = ForwardingFields::new().x_real_ip(FieldAction::Append);
    let layer = ReverseProxyLayer::new().forwarding(forwarding);
    let server = Server::new(layer.layer(HttpClient::new(pool)));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(server.serve(ProxyProtocol::new(listener, TrustedProxies::loopback())));
    address
}

/// The header of a client with this port.
fn client(port: u16) -> ProxyHeader {
    let header = ProxyHeader::proxied(([203, 0, 113, 9], port).into(), ([192, 0, 2, 1], 443).into());
    let named = header.tlv(kind::AUTHORITY, b"shop.test");
    named.and_then(|header| header.tlv(kind::UNIQUE_ID, format!("id-{port}").as_bytes())).expect("short")
}

/// A connection whose first bytes are a header.
struct Client {
    stream: TcpStream,
    port: u16,
}

impl Client {
    async fn connect(proxy: SocketAddr, port: u16) -> Self {
        let mut stream = TcpStream::connect(proxy).await.expect("it listens");
        stream.write_all(&client(port).encode(Version::V2)).await.expect("open");
        Self { stream, port }
    }

    /// Sends a request, and returns the body of its response, which ends with a semicolon.
    async fn get(&mut self) -> String {
        self.stream.write_all(b"GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n").await.expect("open");
        let mut read = Vec::new();
        while !read.ends_with(b";") {
            let count = soon(self.stream.read_buf(&mut read)).await.expect("open");
            assert!(count > 0, "the connection was closed: {}", String::from_utf8_lossy(&read));
        }
        let response = String::from_utf8(read).expect("text");
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
        response.split_once("\r\n\r\n").expect("a head").1.to_owned()
    }
}

/// Sends requests of three clients, mixed, and compares what the endpoint says of each with `expected`.
async fn check(proxy: SocketAddr, expected: impl Fn(u16) -> String) {
    let mut clients = Vec::new();
    for port in [1001, 1002, 1003] {
        clients.push(Client::connect(proxy, port).await);
    }
    for _ in 0..3 {
        for client in &mut clients {
            assert_eq!(client.get().await, expected(client.port));
        }
    }
    let all = clients.iter_mut().map(|client| async {
        let port = client.port;
        (client.get().await, port)
    });
    for (known, port) in futures::future::join_all(all).await {
        assert_eq!(known, expected(port));
    }
}

#[tokio::test]
async fn haproxy_knows_the_clients_of_http_requests() {
    for (version, protocol) in [(Version::V1, ""), (Version::V2, ""), (Version::V2, "proto h2")] {
        let section = format!(
            "bind {{bind}} accept-proxy {protocol}
            http-request return status 200 content-type text/plain lf-string \
            \"%[src] %[src_port] %[dst] %[dst_port] %[fc_pp_authority] %[fc_pp_unique_id] %[req.hdr(x-forwarded-for)];\""
        );
        let Some(haproxy) = Process::haproxy(&section, Folder::new()).await else { return };
        let mut settings = Settings::new().proxy_protocol(version, request_header);
        if !protocol.is_empty() {
            settings = settings.version(equipoise::http::Version::Http2);
        }
        let proxy = forwarding(&haproxy.address, settings).await;
        check(proxy, |port| {
            let tlvs = if version == Version::V2 { format!("shop.test id-{port}") } else { " ".to_owned() };
            format!("203.0.113.9 {port} 192.0.2.1 443 {tlvs} 203.0.113.9;")
        })
        .await;
    }
}

#[tokio::test]
async fn nginx_knows_the_clients_of_http_requests() {
    let authority = Authority::new();
    let certificate = authority.issue("shop.test");
    let directives = format!(
        "ssl_certificate {0}; ssl_certificate_key {0};
        location / {{
            return 200 '$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr $proxy_protocol_server_port \
            $http_x_real_ip;';
        }}",
        certificate.display()
    );
    let ca = std::fs::read(authority.path("ca.pem")).expect("a file");
    let tls = Tls::with_roots(&ca).and_then(|tls| tls.server_name("shop.test")).expect("valid");
    for (parameters, scheme) in [("proxy_protocol", "http"), ("ssl proxy_protocol", "https")] {
        let Some(nginx) = Process::nginx_listening(parameters, &directives, Folder::new()).await else { return };
        for version in [Version::V1, Version::V2] {
            let settings = Settings::new().tls(tls.clone()).proxy_protocol(version, request_header);
            let proxy = forwarding(&format!("{scheme}://{}", nginx.address), settings).await;
            check(proxy, |port| format!("203.0.113.9 {port} 192.0.2.1 443 203.0.113.9;")).await;
        }
    }
}
