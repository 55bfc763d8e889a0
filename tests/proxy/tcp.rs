//! The TCP proxy with Redis and iperf3.

use std::{fs, process::Stdio, time::Duration};

use equipoise::{
    EndpointSpec, EndpointStatus, LeastConnections, Pool,
    proxy::tcp::{TcpProxy, TcpSettings},
};
use equipoise_tests::{Reserved, program, run, soon};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::interval,
};

use crate::folder::Folder;

/// A TCP proxy that sends connections to the endpoint with the fewest.
pub(crate) struct Proxy {
    pub(crate) pool: Pool<()>,
    pub(crate) port: String,
}

impl Proxy {
    pub(crate) async fn start<'a>(endpoints: impl IntoIterator<Item = &'a str>) -> Self {
        let pool = Pool::new(LeastConnections::new());
        pool.update(endpoints.into_iter().map(EndpointSpec::new), |_| ()).expect("valid");
        let proxy = TcpProxy::with_settings(pool.clone(), TcpSettings::new().idle_timeout(Duration::from_secs(60)));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port().to_string();
        tokio::spawn(proxy.serve(listener));
        Self { pool, port }
    }

    pub(crate) fn status(&self, endpoint: &str) -> EndpointStatus {
        self.pool.endpoints().into_iter().find(|status| status.id.as_str() == endpoint).expect("it is in the pool")
    }

    /// Waits until no connection is open.
    pub(crate) async fn is_idle(&self) {
        for status in self.pool.endpoints() {
            soon(self.pool.idle(status.id)).await;
        }
    }
}

/// Starts a server, and waits until it listens.
pub(crate) async fn serve(command: &mut Command, address: &str) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().expect("a program that can be started");
    let mut tick = interval(Duration::from_millis(5));
    soon(async {
        while TcpStream::connect(address).await.is_err() {
            assert!(child.try_wait().expect("its state").is_none(), "the server has ended");
            tick.tick().await;
        }
    })
    .await;
    child
}

/// Returns the port of an address.
pub(crate) fn port(address: &str) -> &str {
    address.rsplit(':').next().expect("a port")
}

async fn redis(folder: &Folder) -> Option<(String, Child)> {
    let server = program("redis-server", "redis-server")?;
    let address = Reserved::new().expect("a free port").address();
    let mut command = Command::new(server);
    command.args(["--port", port(&address), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.arg("--dir").arg(folder.path());
    let child = serve(&mut command, &address).await;
    Some((address, child))
}

#[tokio::test]
async fn redis_cli_works_through_the_proxy_and_survives_the_end_of_a_server() {
    let Some(cli) = program("redis-cli", "redis-tools") else { return };
    let folder = Folder::new();
    let (Some((one, first)), Some((two, _second))) = (redis(&folder).await, redis(&folder).await) else { return };
    let proxy = Proxy::start([&*one]).await;
    let say = async |arguments: &[&str]| {
        let arguments = ["-h", "127.0.0.1", "-p", &*proxy.port].into_iter().chain(arguments.iter().copied());
        run(&cli, arguments).await.stdout
    };
    assert_eq!(say(&["set", "key", "value"]).await, "OK\n");
    assert_eq!(say(&["get", "key"]).await, "value\n");

    // Many commands on one connection, with a value of a megabyte among them.
    let large = "v".repeat(1 << 20);
    let commands: String = (0..10_000).map(|number| format!("SET key{number} value{number}\r\n")).collect();
    let file = folder.path().join("commands");
    // Redis takes only short commands as plain lines.
    let last = format!("*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n${}\r\n{large}\r\n", large.len());
    fs::write(&file, commands + &last).expect("a file");
    let mut piped = Command::new(&cli);
    piped.args(["-h", "127.0.0.1", "-p", &*proxy.port, "--pipe"]).kill_on_drop(true);
    let output = soon(piped.stdin(fs::File::open(&file).expect("a file")).output()).await.expect("it runs");
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.contains("errors: 0, replies: 10001"), "{output}");
    assert_eq!(say(&["dbsize"]).await, "10002\n");
    assert_eq!(say(&["get", "large"]).await.len(), large.len() + 1);
    let status = proxy.status(&one);
    assert!(status.bytes_sent > 1 << 20 && status.bytes_received > 1 << 20, "{status:?}");

    // A subscriber holds its connection, and gets what another client publishes.
    let mut subscriber = TcpStream::connect(("127.0.0.1", proxy.port.parse().expect("a port"))).await.expect("open");
    subscriber.write_all(b"SUBSCRIBE news\r\n").await.expect("open");
    let mut tick = interval(Duration::from_millis(5));
    soon(async {
        while say(&["publish", "news", "hello"]).await != "1\n" {
            tick.tick().await;
        }
    })
    .await;

    // The server ends. Its clients are told, and new ones get the other server.
    proxy.pool.add(EndpointSpec::new(&*two), ()).expect("valid");
    drop(first);
    let mut news = Vec::new();
    let _ = soon(tokio::io::AsyncReadExt::read_to_end(&mut subscriber, &mut news)).await;
    assert!(String::from_utf8_lossy(&news).contains("hello"));
    drop(subscriber);
    for _ in 0..5 {
        assert_eq!(say(&["get", "key"]).await, "\n");
    }
    proxy.is_idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn iperf3_measures_in_both_directions() {
    const BYTES: u64 = 300_000_000;
    let Some(iperf) = program("iperf3", "iperf3") else { return };
    let address = Reserved::new().expect("a free port").address();
    let mut command = Command::new(&iperf);
    command.args(["-s", "-B", "127.0.0.1", "-p", port(&address)]);
    let _server = serve(&mut command, &address).await;
    let proxy = Proxy::start([&*address]).await;
    for direction in ["--client", "--reverse"] {
        let before = proxy.status(&address);
        let bytes = BYTES.to_string();
        let mut arguments = vec!["-c", "127.0.0.1", "-p", &*proxy.port, "-n", &*bytes, "-J"];
        arguments.extend((direction == "--reverse").then_some("-R"));
        // The server takes the connection that has shown that it listens for a client, and then listens anew.
        let mut tick = interval(Duration::from_millis(5));
        let report = soon(async {
            loop {
                tick.tick().await;
                let output = run(&iperf, arguments.iter().copied()).await.stdout;
                let report: serde_json::Value = serde_json::from_str(&output).expect("JSON");
                if report.get("error").is_none() {
                    break report;
                }
            }
        })
        .await;
        let sum = |name: &str| report["end"][name]["bytes"].as_u64().expect("a number");
        let (sent, received) = (sum("sum_sent"), sum("sum_received"));
        proxy.is_idle().await;
        let after = proxy.status(&address);
        let passed = match direction {
            "--reverse" => after.bytes_received - before.bytes_received,
            _ => after.bytes_sent - before.bytes_sent,
        };
        // iperf3 also sends its parameters and results. Its receiver does not wait for the bytes that are on the way when
        // the sender says, on another connection, that it has sent all.
        assert!(sent >= BYTES && received > BYTES / 2, "{direction}: {received} of {sent}");
        assert!(passed >= received, "{direction}: {received} of {passed}");
    }
}
