//! DNS over UDP: dig as the client, and two servers (dnsmasq) of which one is killed.

use std::{
    net::{TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use equipoise::{
    EndpointSpec, Pool, RoundRobin,
    proxy::udp::{UdpListener, UdpProxy, UdpSettings},
};
use equipoise_tests::{Output, program, run, soon};
use tokio::{
    process::{Child, Command},
    time::interval,
};

/// A server for the zone `app.test`, in which `www` has the address `answer`, and `long` has many texts.
struct Server {
    address: String,
    process: Child,
}

/// The texts of `long.app.test`. With EDNS, they fit into one datagram, which is larger than a packet of Ethernet.
fn texts() -> impl Iterator<Item = String> {
    (10..30).map(|number| format!("{number}{}", "x".repeat(98)))
}

impl Server {
    /// Starts a server, and waits until it answers.
    async fn start(dnsmasq: &Path, answer: &str) -> Self {
        let port = free_port();
        let mut command = Command::new(dnsmasq);
        command.args(["--no-daemon", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--pid-file="]);
        command.args(["--listen-address=127.0.0.1", "--bind-interfaces", "--edns-packet-max=4096"]);
        command.arg(format!("--port={port}")).arg(format!("--address=/www.app.test/{answer}"));
        command.arg(format!("--txt-record=long.app.test,{}", texts().collect::<Vec<_>>().join(",")));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let mut process = command.spawn().expect("a program that can be started");
        let address = format!("127.0.0.1:{port}");
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        socket.connect(&address).await.expect("an address of this machine");
        // The head of a query without a question, to which servers answer with an error.
        let query = [0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        soon(async {
            let mut tick = interval(Duration::from_millis(20));
            while socket.try_recv(&mut [0; 512]).is_err() {
                assert!(process.try_wait().expect("its state").is_none(), "the server has ended");
                // An error says that nothing listens there yet.
                let _ = socket.send(&query).await;
                tick.tick().await;
            }
        })
        .await;
        Self { address, process }
    }
}

/// Returns a port that was free just now, for TCP and UDP.
fn free_port() -> u16 {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let address = udp.local_addr().expect("it is bound");
        if TcpListener::bind(address).is_ok() {
            return address.port();
        }
    }
}

struct Dig {
    program: PathBuf,
    port: u16,
}

impl Dig {
    async fn ask(&self, name: &str, options: &[&str]) -> Output {
        let port = self.port.to_string();
        let server = ["@127.0.0.1", "-p", &port, "+tries=1", "+time=5", "+short", name];
        run(&self.program, server.into_iter().chain(options.iter().copied())).await
    }

    /// Returns the server that answers, by its address for `www`.
    async fn server(&self) -> String {
        let output = self.ask("www.app.test", &[]).await;
        output.stdout.trim().to_owned()
    }
}

#[tokio::test]
async fn dig_gets_answers_while_a_server_is_killed() {
    let Some((dig, dnsmasq)) = program("dig", "bind9-dnsutils").zip(program("dnsmasq", "dnsmasq-base")) else { return };
    let one = Server::start(&dnsmasq, "192.0.2.1").await;
    let mut two = Server::start(&dnsmasq, "192.0.2.2").await;
    let pool = Pool::new(RoundRobin::new());
    pool.update([&one, &two].map(|server| EndpointSpec::new(&*server.address)), |_| ()).expect("two endpoints");
    let settings = UdpSettings::new().max_replies(1).reply_timeout(Duration::from_secs(5));
    let proxy = UdpProxy::with_settings(pool.clone(), settings);
    let listener = UdpListener::bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let dig = Dig { program: dig, port: listener.local_addr().port() };
    let serving = tokio::spawn(proxy.serve(listener));

    let mut servers = Vec::new();
    for _ in 0..4 {
        servers.push(dig.server().await);
    }
    assert_eq!(servers, ["192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.2"]);

    // An answer of more than one packet, from each of the two servers.
    for _ in 0..2 {
        let output = dig.ask("long.app.test", &["TXT", "+bufsize=4096", "+ignore"]).await;
        let mut answer: Vec<_> = output.stdout.split_whitespace().map(|text| text.trim_matches('"')).collect();
        answer.sort_unstable();
        assert_eq!(answer, texts().collect::<Vec<_>>());
    }

    // Returns when it has ended, so its port is closed.
    soon(two.process.kill()).await.expect("it is killed");
    for _ in 0..4 {
        assert_eq!(dig.server().await, "192.0.2.1");
    }
    let stats = proxy.stats();
    assert!(stats.failovers >= 1 && stats.failovers == stats.unreachable, "{stats:?}");
    assert_eq!((stats.opened, stats.to_clients, stats.reply_timeouts), (10, 10, 0));
    let aborted = proxy.shutdown(Duration::from_secs(5)).await;
    soon(serving).await.expect("no panic").expect("no error");
    let in_flight: u32 = pool.endpoints().iter().map(|endpoint| endpoint.in_flight).sum();
    assert_eq!((aborted, in_flight), (0, 0));
}
