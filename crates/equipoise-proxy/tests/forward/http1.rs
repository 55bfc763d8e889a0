//! Requests of HTTP with a full URL.

use equipoise_proxy::{forward::ForwardSettings, headers::Via};
use tokio::io::AsyncWriteExt;

use crate::rig::{Names, Origin, Proxy, Reply, local, names};

fn lines(reply: &Reply) -> Vec<&str> {
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.body.lines().collect()
}

#[tokio::test]
async fn a_server_gets_a_path_and_the_host_of_the_url() {
    let (proxy, origin) = (Proxy::local().await, Origin::start().await);
    let fields = "proxy-connection: keep-alive\r\nproxy-x: 1\r\nkeep-alive: 5\r\nx-forwarded-for: 6.6.6.6\r\n\
                  upgrade: x\r\nx-own: 1\r\n";
    let reply = proxy.get(&origin.url("/a?b=c"), fields).await;
    let got = lines(&reply);
    assert_eq!(got[0], "GET /a?b=c");
    assert!(got.contains(&&*format!("host: app.test:{}", origin.address.port())), "{got:?}");
    assert!(got.contains(&"x-forwarded-for: 6.6.6.6") && got.contains(&"x-own: 1"), "{got:?}");
    assert!(got.iter().any(|line| line.starts_with("via: 1.1 equipoise-")), "{got:?}");
    assert!(reply.field("via").is_some_and(|via| via.starts_with("1.1 equipoise-")));
    for name in ["proxy", "keep-alive", "upgrade", "connection", "forwarded", "x-real-ip"] {
        assert!(!got.iter().any(|line| line.starts_with(name)), "{name}: {got:?}");
    }
}

#[tokio::test]
async fn no_field_about_the_client_is_added() {
    let (proxy, origin) = (Proxy::local().await, Origin::start().await);
    let reply = proxy.get(&origin.url("/"), "").await;
    assert!(!reply.body.contains("forwarded") && !reply.body.contains("127.0.0.1"), "{reply:?}");
}

#[tokio::test]
async fn a_client_of_http_1_0_needs_no_host() {
    let (proxy, origin) = (Proxy::local().await, Origin::start().await);
    let reply = proxy.send(&format!("GET {} HTTP/1.0\r\n\r\n", origin.url("/"))).await;
    assert_eq!(lines(&reply)[0], "GET /");
}

#[tokio::test]
async fn bodies_pass_in_both_directions() {
    let (proxy, origin) = (Proxy::local().await, Origin::start().await);
    let (length, chunk) = (1 << 20, "0123456789abcdef".repeat(1 << 10));
    let mut stream = proxy.connect().await;
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n",
        origin.url("/")
    );
    let sending = async {
        let (mut read, mut write) = stream.split();
        let send = async {
            write.write_all(head.as_bytes()).await.expect("open");
            for _ in 0..length / chunk.len() {
                write.write_all(format!("{:x}\r\n{chunk}\r\n", chunk.len()).as_bytes()).await.expect("open");
            }
            write.write_all(b"0\r\n\r\n").await.expect("open");
        };
        let mut bytes = Vec::new();
        let receive = tokio::io::copy(&mut read, &mut bytes);
        let ((), received) = tokio::join!(send, receive);
        received.expect("a response");
        bytes
    };
    let text = String::from_utf8(sending.await).expect("text");
    assert_eq!(text.matches("0123456789abcdef").count(), length / 16);
}

#[tokio::test]
async fn requests_that_are_not_for_a_forward_proxy_are_refused() {
    let (proxy, origin) = (Proxy::local().await, Origin::start().await);
    for (target, message) in [
        ("/", "full URL"),
        ("*", "full URL"),
        ("https://app.test/", "CONNECT"),
        ("ftp://app.test/", "scheme"),
        ("http://user@app.test/", "not valid"),
        ("http://127.1/", "not valid"),
        ("http://0x7f000001/", "not valid"),
        ("http://2130706433/", "not valid"),
        ("http://0177.0.0.1/", "not valid"),
        ("http://%6c%6f/", ""),
        ("http://[fe80::1%25lo]/", ""),
        ("http://a..b/", "not valid"),
        ("http://app.test:0/", "not valid"),
    ] {
        let method = if target == "*" { "OPTIONS" } else { "GET" };
        let reply = proxy.send(&format!("{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await;
        assert!(reply.status == 400 && reply.body.contains(message), "{target}: {reply:?}");
    }
    let url = origin.url("/");
    for fields in ["", "host: a\r\nhost: a\r\n"] {
        let reply = proxy.send(&format!("GET {url} HTTP/1.1\r\nconnection: close\r\n{fields}\r\n")).await;
        assert!(reply.status == 400 && reply.body.contains("Host"), "{reply:?}");
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn a_connection_is_kept_for_the_same_host() {
    let (origin, names) = (Origin::start().await, names());
    let proxy = Proxy::start([local()], ForwardSettings::new().resolver(names.clone())).await;
    for _ in 0..3 {
        proxy.get(&origin.url("/"), "").await;
    }
    assert_eq!((origin.connections(), names.asked()), (1, 1));
    let url = format!("http://other.test:{}/", origin.address.port());
    assert_eq!(proxy.get(&url, "").await.status, 200);
    assert_eq!((origin.connections(), names.asked()), (2, 2), "other hosts have their own connections");
}

#[tokio::test]
async fn a_connection_that_the_server_has_closed_is_replaced() {
    let (proxy, origin) = (Proxy::local().await, Origin::start().await);
    for round in 1..=3 {
        assert_eq!(proxy.get(&origin.url("/"), "").await.status, 200);
        assert_eq!(origin.connections(), round);
        origin.close.send_replace(());
        // Until the proxy has noticed, its connection may take a request that then fails.
        let closed = origin.close.clone();
        crate::rig::until(move || closed.receiver_count() == 0).await;
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn no_connection_is_kept_if_the_settings_say_so() {
    let origin = Origin::start().await;
    let settings = ForwardSettings::new().resolver(names()).max_idle_connections(0);
    let proxy = Proxy::start([local()], settings).await;
    for _ in 0..2 {
        proxy.get(&origin.url("/"), "").await;
    }
    assert_eq!(origin.connections(), 2);
}

#[tokio::test]
async fn a_connection_is_kept_for_a_time() {
    let origin = Origin::start().await;
    let settings = ForwardSettings::new().resolver(names());
    let proxy = Proxy::start([local()], settings.idle_connection_timeout(std::time::Duration::from_millis(50))).await;
    for _ in 0..2 {
        assert_eq!(proxy.get(&origin.url("/"), "").await.status, 200);
        // Each open connection of the server waits for it.
        let close = origin.close.clone();
        crate::rig::until(move || close.receiver_count() == 0).await;
    }
    assert_eq!(origin.connections(), 2);
}

#[tokio::test]
async fn requests_that_come_back_are_refused() {
    let own = Names::default().name("own.test", &[&["127.0.0.1"]]);
    let via = Via::new("edge-1").expect("a token");
    let proxy = Proxy::start([local()], ForwardSettings::new().resolver(own).via(via)).await;
    let port = proxy.address.port();
    for host in ["own.test", "127.0.0.1"] {
        assert_eq!(proxy.get(&format!("http://{host}:{port}/"), "").await.status, 508);
        assert_eq!(proxy.refused(&format!("{host}:{port}"), "").await.status, 508);
    }
    let origin = Origin::start().await;
    let fields = "via: 1.1 a, 1.1 edge-1\r\n";
    let url = format!("http://own.test:{}/", origin.address.port());
    assert_eq!(proxy.get(&url, fields).await.status, 508);
    assert_eq!(proxy.refused("own.test:443", fields).await.status, 508);
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn failures_to_connect_have_a_status() {
    let settings = ForwardSettings::new().resolver(names()).connect_timeout(std::time::Duration::from_millis(50));
    let proxy = Proxy::start([local(), equipoise_proxy::forward::Rule::allow()], settings).await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port();
    let reply = proxy.get(&format!("http://app.test:{closed}/"), "").await;
    assert_eq!((reply.status, reply.body.as_str()), (502, "the host does not accept a connection\n"));
    assert_eq!(proxy.refused(&format!("app.test:{closed}"), "").await.status, 502);
    for (host, status) in [("nowhere.test", 502), ("silent.test", 504)] {
        assert_eq!(proxy.get(&format!("http://{host}/"), "").await.status, status);
        assert_eq!(proxy.refused(&format!("{host}:443"), "").await.status, status);
    }
    let stats = proxy.proxy.stats();
    assert_eq!((stats.failed_tunnels, stats.tunnels, stats.open_tunnels), (3, 0, 0));
}
