//! Listeners with TLS.

use std::{fs, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
};
use tokio_rustls::{
    client::TlsStream,
    rustls::pki_types::{CertificateDer, pem::PemObject},
};

use crate::{
    backend::Backend,
    client::soon,
    echo::Echo,
    pki::{Authority, connect},
    process::{Folder, Gateway},
    tcp::admin,
};

fn config(tls: &str, address: &str) -> String {
    format!(
        r#"
        [[listener]]
        bind = "127.0.0.1:0"
        pool = "web"
        tls = {tls}
        [pool.web]
        endpoints = [{{ address = "{address}" }}]
        [admin]
        bind = "127.0.0.1:0"
        "#
    )
}

const ONE: &str = r#"{ certificate = "a.pem", key = "a.key" }"#;

/// Sends a request of HTTP/1.1, and returns the response.
pub(crate) async fn get(stream: &mut TlsStream<TcpStream>, host: &str, field: &str) -> String {
    stream
        .write_all(format!("GET / HTTP/1.1\r\nhost: {host}\r\n{field}connection: close\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut response = String::new();
    soon(stream.read_to_string(&mut response)).await.unwrap();
    response
}

/// Returns the certificate of the server in DER.
fn certificate(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn der(file: &std::path::Path) -> Vec<u8> {
    CertificateDer::from_pem_slice(&fs::read(file).unwrap()).unwrap().to_vec()
}

#[tokio::test]
async fn the_name_that_the_client_asks_for_chooses_the_certificate() {
    let (backend, folder, authority) = (Backend::start("web"), Folder::new(), Authority::new());
    authority.write(folder.path(), "a", &["a.test"]);
    authority.write(folder.path(), "b", &["*.b.test", "b.test"]);
    let tls = r#"[
        { certificate = "a.pem", key = "a.key", min_version = "1.3" },
        { certificate = "b.pem", key = "b.key", names = ["*.b.test"] },
    ]"#;
    let gateway = Gateway::start(&folder, &config(tls, backend.address())).await;
    let client = authority.client(&["h2", "http/1.1"], None);
    for (name, file) in [("a.test", "a.pem"), ("x.b.test", "b.pem")] {
        let stream = connect(&gateway.addresses[0], name, &client).await.unwrap();
        assert_eq!(certificate(&stream), der(&folder.path().join(file)), "{name}");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    }
    let http1 = authority.client(&["http/1.1"], None);
    let mut stream = connect(&gateway.addresses[0], "a.test", &http1).await.unwrap();
    assert!(get(&mut stream, "a.test", "").await.ends_with("\r\n\r\nweb"));
    // A host of the other certificate belongs on another connection.
    let mut stream = connect(&gateway.addresses[0], "a.test", &http1).await.unwrap();
    assert!(get(&mut stream, "x.b.test", "").await.starts_with("HTTP/1.1 421 "));

    let listener = &admin(&gateway, "/listeners").await[0];
    let certificates = listener["tls"]["certificates"].as_array().unwrap();
    assert_eq!(certificates.len(), 2);
    assert_eq!(certificates[1]["names"], serde_json::json!(["*.b.test"]));
    assert!(certificates[0]["remaining_seconds"].as_u64() > Some(0), "{listener}");
    assert_eq!(listener["tls"]["handshakes"]["tls13"], 4);
}

#[tokio::test]
async fn a_reload_replaces_the_certificate_under_load_and_keeps_connections() {
    let (backend, folder, authority) = (Backend::start("web"), Folder::new(), Authority::new());
    authority.write(folder.path(), "a", &["a.test"]);
    let mut gateway = Gateway::start(&folder, &config(ONE, backend.address())).await;
    let (client, address) = (authority.client(&["http/1.1"], None), gateway.addresses[0].clone());
    let mut old = connect(&address, "a.test", &client).await.unwrap();
    let old_certificate = certificate(&old);

    // Handshakes and requests all the time: none fails.
    let stop = Arc::new(Notify::new());
    let (stopped, connecting, config_of_load) = (Arc::clone(&stop), address.clone(), Arc::clone(&client));
    let load = tokio::spawn(async move {
        let mut requests = 0;
        let mut stopped = std::pin::pin!(stopped.notified());
        loop {
            let request = async {
                let mut stream = connect(&connecting, "a.test", &config_of_load).await.unwrap();
                assert!(get(&mut stream, "a.test", "").await.ends_with("\r\n\r\nweb"));
            };
            tokio::select! {
                biased;
                () = &mut stopped => return requests,
                () = request => requests += 1,
            }
        }
    });
    for _ in 0..3 {
        authority.write(folder.path(), "a", &["a.test"]);
        gateway.reload(&folder, &config(ONE, backend.address())).await;
        // Without a session of before, which has its certificate.
        let client = authority.client(&["http/1.1"], None);
        let new = connect(&address, "a.test", &client).await.unwrap();
        assert_eq!(certificate(&new), der(&folder.path().join("a.pem")));
        assert_ne!(certificate(&new), old_certificate);
    }
    // Files that do not belong together are refused, and the old certificate stays.
    let used = der(&folder.path().join("a.pem"));
    fs::write(folder.path().join("a.pem"), authority.issue(&["a.test"]).certificate).unwrap();
    gateway.signal("-HUP").await;
    let line = gateway.logs("the old configuration stays").await;
    assert!(line.contains("gateway.toml:5: the private key in a.key is not that of the first certificate"), "{line}");
    let fresh = authority.client(&["http/1.1"], None);
    assert_eq!(certificate(&connect(&address, "a.test", &fresh).await.unwrap()), used);

    stop.notify_one();
    assert!(soon(load).await.unwrap() > 0);
    assert!(get(&mut old, "a.test", "").await.ends_with("\r\n\r\nweb"), "the connection of before is served");
    assert_eq!(gateway.addresses.len(), 2, "no socket was opened");
}

#[tokio::test]
async fn a_start_and_a_reload_each_warn_once_of_a_certificate_that_has_expired() {
    let (backend, folder, authority) = (Backend::start("web"), Folder::new(), Authority::new());
    authority.write_expired(folder.path(), "a", &["a.test"]);
    let config = config(ONE, backend.address());
    let mut gateway = Gateway::start(&folder, &config).await;
    gateway.reload(&folder, &config).await;
    gateway.signal("-TERM").await;
    let lines = gateway.rest().await;
    let warnings = lines.iter().filter(|line| line.contains("a certificate has expired")).count();
    assert_eq!(warnings, 2, "{lines:#?}");
}

#[tokio::test]
async fn endpoints_get_the_certificate_of_the_client_and_no_other_one() {
    let backend = Backend::answering(|head| async move {
        let field = |name: &str| head.lines().filter(|line| line.starts_with(name)).collect::<Vec<_>>().join("|");
        format!("{};{}", field("client-cert:"), field("x-forwarded-client-cert:"))
    });
    let (folder, authority) = (Folder::new(), Authority::new());
    authority.write(folder.path(), "a", &["a.test"]);
    fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
    let tls = r#"{ certificate = "a.pem", key = "a.key", client_ca = "ca.pem", client_auth = "optional" }"#;
    let fields = "client_certificate_fields = [\"x-forwarded-client-cert\"]\n        tls =";
    let gateway = Gateway::start(&folder, &config(tls, backend.address()).replace("tls =", fields)).await;
    let identity = authority.issue(&["client.test"]);
    let mut stream = connect(&gateway.addresses[0], "a.test", &authority.client(&[], Some(&identity))).await.unwrap();
    let body = get(&mut stream, "a.test", "client-cert: forged\r\nx-forwarded-client-cert: forged\r\n").await;
    assert!(!body.contains("forged") && body.contains(";x-forwarded-client-cert: Hash="), "{body}");
    assert!(body.contains("DNS=client.test"), "{body}");
    // A client without a certificate is served too, and cannot claim to have one.
    let mut stream = connect(&gateway.addresses[0], "a.test", &authority.client(&[], None)).await.unwrap();
    let body = get(&mut stream, "a.test", "x-forwarded-client-cert: forged\r\n").await;
    assert!(body.ends_with("\r\n\r\n;"), "{body}");
}

#[tokio::test]
async fn connections_of_tcp_can_be_decrypted() {
    let (a, folder, authority) = (Echo::start("a").await, Folder::new(), Authority::new());
    authority.write(folder.path(), "a", &["a.test"]);
    let tls = r#"{ certificate = "a.pem", key = "a.key", alpn = ["echo"] }"#;
    let config = config(tls, &a.address().to_string()).replace("pool = \"web\"", "pool = \"web\"\nmode = \"tcp\"");
    let mut gateway = Gateway::start(&folder, &config).await;
    let mut stream = connect(&gateway.addresses[0], "a.test", &authority.client(&["echo"], None)).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"echo"[..]));
    stream.write_all(b"?").await.unwrap();
    let mut read = [0; 3];
    soon(stream.read_exact(&mut read)).await.unwrap();
    assert_eq!(&read, b"a\n?");
    stream.shutdown().await.unwrap();
    assert_eq!(soon(stream.read(&mut read)).await.unwrap(), 0);
    let line = gateway.logs("end=complete").await;
    assert!(line.contains("name=a.test"), "{line}");
}

#[tokio::test]
async fn a_header_of_the_proxy_protocol_comes_before_the_handshake() {
    let backend = Backend::answering(|head| async move {
        crate::client::header(&head, "x-forwarded-for").unwrap_or_default().to_owned()
    });
    let (folder, authority) = (Folder::new(), Authority::new());
    authority.write(folder.path(), "a", &["a.test"]);
    let accept = "proxy_protocol = \"accept\"\ntrusted_proxies = [\"loopback\"]\n        tls =";
    let gateway = Gateway::start(&folder, &config(ONE, backend.address()).replace("tls =", accept)).await;
    let mut stream = TcpStream::connect(&gateway.addresses[0]).await.unwrap();
    stream.write_all(b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n").await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(authority.client(&[], None));
    let mut stream = soon(connector.connect("a.test".try_into().unwrap(), stream)).await.unwrap();
    let response = get(&mut stream, "a.test", "").await;
    assert!(response.ends_with("\r\n\r\n192.0.2.7"), "{response}");
}

#[tokio::test]
async fn a_check_finds_certificates_that_cannot_be_used() {
    let (folder, authority) = (Folder::new(), Authority::new());
    authority.write(folder.path(), "a", &["a.test"]);
    authority.write(folder.path(), "b", &["b.test"]);
    fs::write(folder.path().join("empty.pem"), "").unwrap();
    fs::write(folder.path().join("short"), "too short\n").unwrap();
    for (tls, error) in [
        (r#"{ certificate = "nowhere.pem", key = "a.key" }"#, "nowhere.pem cannot be read"),
        (r#"{ certificate = "a.pem", key = "nowhere.key" }"#, "nowhere.key cannot be read"),
        (r#"{ certificate = "empty.pem", key = "a.key" }"#, "empty.pem has no certificate"),
        (r#"{ certificate = "a.pem", key = "a.pem" }"#, "a.pem has no private key"),
        (
            r#"{ certificate = "a.pem", key = "b.key" }"#,
            "the private key in b.key is not that of the first certificate in a.pem",
        ),
        (r#"{ certificate = "a.pem", key = "a.key", names = ["a b"] }"#, "\"a b\" is no name for a.pem"),
        (
            r#"{ certificate = "a.pem", key = "a.key", ocsp = "empty.pem" }"#,
            "empty.pem is not a successful OCSP response",
        ),
        (r#"{ certificate = "a.pem", key = "a.key", client_ca = "empty.pem" }"#, "empty.pem has no certificate"),
        (
            r#"{ certificate = "a.pem", key = "a.key", ticket_secret_file = "short" }"#,
            "a secret for session tickets cannot have 9 bytes",
        ),
        (
            r#"{ certificate = "a.pem", key = "a.key", ticket_secret_file = "empty.pem" }"#,
            "empty.pem: there is no secret",
        ),
    ] {
        folder.write(&config(tls, "127.0.0.1:1"));
        let output = crate::process::command(&folder).arg("--check").output().await.unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && text.starts_with(&format!("error: gateway.toml:5: {error}")), "{text}");
    }
}
