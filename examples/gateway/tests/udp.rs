//! Listeners with mode = "udp".

use crate::{
    client::soon,
    echo::{Datagrams, ask, socket_to},
    process::{Folder, Gateway},
    tcp::admin,
};

fn config(bind: &str, listener: &str, strategy: &str, endpoints: &[&Datagrams]) -> String {
    let endpoints: Vec<_> =
        endpoints.iter().map(|server| format!("{{ address = \"{}\" }}", server.address())).collect();
    format!(
        r#"
        shutdown_timeout = "60s"
        [[listener]]
        bind = "{bind}"
        mode = "udp"
        pool = "names"
        {listener}
        [pool.names]
        strategy = "{strategy}"
        endpoints = [{}]
        [admin]
        bind = "127.0.0.1:0"
        "#,
        endpoints.join(", "),
    )
}

#[tokio::test]
async fn a_client_stays_with_its_endpoint_until_its_session_has_its_replies() {
    let (a, b) = (Datagrams::start("a").await, Datagrams::start("b").await);
    let folder = Folder::new();
    let mut gateway = Gateway::start(&folder, &config("127.0.0.1:0", "", "round-robin", &[&a, &b])).await;
    let socket = socket_to(&gateway.addresses[0]).await;
    let first = ask(&socket).await;
    for _ in 0..3 {
        assert_eq!(ask(&socket).await, first);
    }
    let listener = &admin(&gateway, "/listeners").await[0];
    assert_eq!((&listener["mode"], &listener["sessions"]["open"]), (&"udp".into(), &1.into()));
    assert_eq!((&listener["datagrams"]["to_endpoints"], &listener["datagrams"]["to_clients"]), (&4.into(), &4.into()));

    let one_reply = config("127.0.0.1:0", "limits = { max_replies = 1 }", "round-robin", &[&a, &b]);
    gateway.reload(&folder, &one_reply).await;
    assert_eq!(gateway.addresses.len(), 2, "no socket was opened");
    let socket = socket_to(&gateway.addresses[0]).await;
    let mut names = [ask(&socket).await, ask(&socket).await];
    names.sort();
    assert_eq!(names, ["a", "b"]);
    let line = gateway.logs("end=answered").await;
    for part in ["listener=127.0.0.1:0 client=127.0.0.1:", "pool=names", "sent=1 received=1"] {
        assert!(line.contains(part), "{part}: {line}");
    }
}

#[tokio::test]
async fn a_datagram_that_an_endpoint_does_not_get_goes_to_another_one() {
    let (a, b) = (Datagrams::start("a").await, Datagrams::start("b").await);
    let folder = Folder::new();
    let gateway = Gateway::start(&folder, &config("127.0.0.1:0", "", "first-fit", &[&a, &b])).await;
    a.stop().await;
    assert_eq!(ask(&socket_to(&gateway.addresses[0]).await).await, "b");
}

#[tokio::test]
async fn a_pool_with_another_strategy_serves_later_sessions() {
    let (a, b) = (Datagrams::start("a").await, Datagrams::start("b").await);
    let folder = Folder::new();
    let mut gateway = Gateway::start(&folder, &config("127.0.0.1:0", "", "first-fit", &[&a, &b])).await;
    let socket = socket_to(&gateway.addresses[0]).await;
    assert_eq!(ask(&socket).await, "a");
    gateway.reload(&folder, &config("127.0.0.1:0", "", "round-robin", &[&a, &b])).await;
    assert_eq!(ask(&socket).await, "a", "the session goes on");
    let mut names = Vec::new();
    for _ in 0..2 {
        names.push(ask(&socket_to(&gateway.addresses[0]).await).await);
    }
    names.sort();
    assert_eq!(names, ["a", "b"]);
}

#[tokio::test]
async fn sigterm_lets_sessions_end() {
    let a = Datagrams::start("a").await;
    let folder = Folder::new();
    let idle = "timeouts = { idle = \"1s\" }";
    let mut gateway = Gateway::start(&folder, &config("127.0.0.1:0", idle, "first-fit", &[&a])).await;
    let socket = socket_to(&gateway.addresses[0]).await;
    assert_eq!(ask(&socket).await, "a");
    gateway.signal("-TERM").await;
    gateway.logs("finishing the requests in flight").await;
    assert_eq!(ask(&socket).await, "a", "the session goes on");
    gateway.logs("closed 127.0.0.1:0; 0 sessions were aborted").await;
    assert!(soon(gateway.child.wait()).await.unwrap().success());
}

#[tokio::test]
async fn a_socket_that_replaces_another_one_gets_all_later_datagrams() {
    let (a, b) = (Datagrams::start("a").await, Datagrams::start("b").await);
    let folder = Folder::new();
    // Chosen by the system, and free again.
    let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut gateway = Gateway::start(&folder, &config(&format!("127.0.0.1:{port}"), "", "first-fit", &[&a])).await;
    let socket = socket_to(&format!("127.0.0.1:{port}")).await;
    assert_eq!(ask(&socket).await, "a");
    gateway.reload(&folder, &config(&format!("0.0.0.0:{port}"), "", "first-fit", &[&b])).await;
    gateway.logs(&format!("closed 127.0.0.1:{port}; ")).await;
    assert_eq!(ask(&socket).await, "b");
}

#[tokio::test]
async fn a_listener_of_tcp_can_have_the_same_address() {
    let a = Datagrams::start("a").await;
    let folder = Folder::new();
    // Chosen by the system, and free again for both.
    let both = || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::net::UdpSocket::bind(address).ok().map(|_| address.to_string())
    };
    let bind = (0..100).find_map(|_| both()).expect("a port");
    let config = config(&bind, "", "first-fit", &[&a]).replace(
        "[pool.names]",
        &format!("[[listener]]\nbind = \"{bind}\"\nmode = \"tcp\"\npool = \"names\"\n[pool.names]"),
    );
    let gateway = Gateway::start(&folder, &config).await;
    assert_eq!(gateway.addresses[..2], [bind.clone(), bind.clone()]);
    assert_eq!(ask(&socket_to(&bind).await).await, "a");
}

#[tokio::test]
async fn each_datagram_can_tell_the_address_of_the_client() {
    let server = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let folder = Folder::new();
    let config = config("127.0.0.1:0", "", "first-fit", &[])
        .replace("endpoints = []", &format!("endpoints = [{{ address = \"{address}\" }}]\nproxy_protocol = \"v2\""));
    let gateway = Gateway::start(&folder, &config).await;
    let socket = socket_to(&gateway.addresses[0]).await;
    for _ in 0..2 {
        socket.send(b"?").await.unwrap();
        let mut buffer = [0; 64];
        let (length, from) = soon(server.recv_from(&mut buffer)).await.unwrap();
        // The signature, version 2 with PROXY, UDP over IPv4, the length of the addresses, and the source.
        assert_eq!(buffer[..16], *b"\r\n\r\n\0\r\nQUIT\n\x21\x12\0\x0c");
        assert_eq!(buffer[16..20], [127, 0, 0, 1]);
        assert_eq!(buffer[24..26], socket.local_addr().unwrap().port().to_be_bytes());
        assert_eq!(buffer[28..length], *b"?");
        server.send_to(b"!", from).await.unwrap();
        let length = soon(socket.recv(&mut buffer)).await.unwrap();
        assert_eq!(buffer[..length], *b"!", "a reply has no header");
    }
}

#[tokio::test]
async fn a_second_process_gets_all_clients_when_the_first_one_has_its_signal() {
    let (old, new) = (Datagrams::start("old").await, Datagrams::start("new").await);
    let (first, second) = (Folder::new(), Folder::new());
    let one = config("127.0.0.1:0", "", "first-fit", &[&old]);
    let mut one = Gateway::start_with(&first, &one, &["--takeover"]).await;
    let address = one.addresses[0].clone();
    assert_eq!(ask(&socket_to(&address).await).await, "old");
    let two = config(&address, "", "first-fit", &[&new]);
    let _two = Gateway::start_with(&second, &two, &["--takeover"]).await;
    one.signal("-TERM").await;
    // It does not wait for its session, which would be idle after a minute.
    one.logs("; 1 sessions were aborted").await;
    assert!(soon(one.child.wait()).await.unwrap().success());
    for _ in 0..8 {
        assert_eq!(ask(&socket_to(&address).await).await, "new");
    }
}
