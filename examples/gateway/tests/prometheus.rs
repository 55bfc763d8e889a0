//! A real Prometheus that scrapes the gateway. If it is not installed, the test prints `SKIPPED` and passes.

use std::{io, net::SocketAddr, process::Stdio, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpSocket,
    process::{Child, Command},
    time::interval,
};

use crate::{
    backend::Backend,
    client::{Client, soon},
    process::{Folder, Gateway},
};

/// The queries that people see. `$__rate_interval` is longer than the test, so that nothing has left it.
const DASHBOARD: &str = include_str!("../../../docs/monitoring/dashboard.json");
const WINDOW: (&str, f64) = ("10m", 600.0);

/// The time between two questions to Prometheus.
const POLL: Duration = Duration::from_millis(50);

fn config(backends: &[Backend; 2], health: &str) -> String {
    let [a, b] = backends.each_ref().map(Backend::address);
    format!(
        r#"
        [[listener]]
        bind = "127.0.0.1:0"
        pool = "web"
        [pool.web]
        strategy = "round-robin"
        endpoints = [{{ id = "a", address = "{a}" }}, {{ id = "b", address = "{b}" }}]
        {health}
        [admin]
        bind = "127.0.0.1:0"
        "#
    )
}

/// A Prometheus server, which is killed when the value is dropped.
struct Prometheus {
    address: SocketAddr,
    _child: Child,
    /// Keeps the port from others.
    _reserved: TcpSocket,
}

/// A series: its labels and its value.
type Sample = (Value, f64);

impl Prometheus {
    /// Starts Prometheus, with its data in the folder, and waits until it answers. `None` if it is not installed.
    async fn scraping(target: &str, folder: &Folder) -> Option<Self> {
        let reserved = TcpSocket::new_v4().unwrap();
        reserved.set_reuseaddr(true).unwrap();
        reserved.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = reserved.local_addr().unwrap();
        let configuration = format!(
            "global: {{ scrape_interval: 200ms, scrape_timeout: 200ms }}
scrape_configs: [{{ job_name: equipoise, static_configs: [{{ targets: ['{target}'] }}] }}]\n"
        );
        std::fs::write(folder.path().join("prometheus.yml"), configuration).unwrap();
        let mut command = Command::new("prometheus");
        command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"]).current_dir(folder.path());
        command.arg(format!("--web.listen-address={address}")).kill_on_drop(true);
        let mut child = match command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                eprintln!("SKIPPED: no prometheus on PATH (Debian: apt-get install prometheus)");
                return None;
            }
            child => child.unwrap(),
        };
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        loop {
            let line = soon(lines.next_line()).await.unwrap().expect("Prometheus does not end");
            if line.contains("Server is ready to receive web requests") {
                break;
            }
        }
        // It would stop when the pipe is full.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Some(Self { address, _child: child, _reserved: reserved })
    }

    /// Returns the result of a query, now or at a time in seconds since 1970.
    async fn ask(&self, query: &str, at: Option<f64>) -> Vec<Sample> {
        let mut form = form_urlencoded::Serializer::new(String::from("/api/v1/query?"));
        form.append_pair("query", query).extend_pairs(at.map(|at| ("time", format!("{at:.3}"))));
        let answer = Client::connect(&self.address.to_string()).await.get(&form.finish()).await;
        let mut answer: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        let Value::Array(series) = answer["data"]["result"].take() else { panic!("{answer}") };
        let sample = |mut series: Value| {
            let value = series["value"][1].as_str().unwrap().parse().unwrap();
            (series["metric"].take(), value)
        };
        series.into_iter().map(sample).collect()
    }

    /// Returns the time of the last scrape. If that one has failed, waits for the next one.
    async fn last_scrape(&self) -> f64 {
        let mut tick = interval(POLL);
        let asking = async {
            loop {
                if let [(_, time)] = self.ask("timestamp(equipoise_pool_in_flight)", None).await[..] {
                    return time;
                }
                tick.tick().await;
            }
        };
        soon(asking).await
    }

    /// Asks again and again until the only series of a query has a value.
    async fn until(&self, query: &str, value: f64) {
        let mut tick = interval(POLL);
        let asking = async {
            while !matches!(self.ask(query, None).await[..], [(_, found)] if found == value) {
                tick.tick().await;
            }
        };
        soon(asking).await;
    }
}

/// What a panel of the dashboard shows at one moment, for all values of its variables.
struct Panel(Vec<Sample>);

impl Panel {
    async fn at(prometheus: &Prometheus, time: f64, title: &str, query: usize) -> Self {
        let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
        let panels = dashboard["panels"].as_array().unwrap();
        // A row can have the same title.
        let panel = panels.iter().find(|panel| panel["title"] == title && panel["type"] != "row").expect(title);
        let mut query = panel["targets"][query]["expr"].as_str().expect(title).replace("$__rate_interval", WINDOW.0);
        for variable in ["$job", "$pool", "$endpoint", "$function"] {
            query = query.replace(variable, ".*");
        }
        Self(prometheus.ask(&query, Some(time)).await)
    }

    /// Returns the sum of the series with a label.
    fn sum(&self, name: &str, value: &str) -> f64 {
        self.0.iter().filter(|(labels, _)| labels[name] == value).map(|(_, value)| value).sum()
    }

    /// Returns the number of events in the window, of which the panel shows the rate.
    fn events(&self, name: &str, value: &str) -> f64 {
        (self.sum(name, value) * WINDOW.1 * 1e6).round() / 1e6
    }
}

#[tokio::test]
async fn the_dashboard_shows_what_the_backends_have_counted_while_one_dies_and_returns() {
    let (mut backends, folder) = (["a", "b"].map(Backend::start), Folder::new());
    let mut gateway = Gateway::start(&folder, &config(&backends, "")).await;
    let Some(prometheus) = Prometheus::scraping(&gateway.addresses[1], &folder).await else { return };
    // Counters that Prometheus has seen at 0 need no extrapolation.
    let attempts = "sum(equipoise_endpoint_attempts_total)";
    prometheus.until(attempts, 0.0).await;
    let (up, mut client, mut sent) = ("equipoise_endpoint_up{endpoint=\"b\"}", gateway.connect(0).await, 0);
    let mut traffic = async |requests: usize| {
        for _ in 0..requests {
            assert_eq!(client.get("/").await.status, 200, "a is alive");
            sent += 1;
        }
        sent
    };

    traffic(60).await;
    // Without checks, b gets requests until they fail.
    backends[1].stop().await;
    traffic(20).await;
    let checks = "health = { check = \"tcp\", interval = \"50ms\", rise = 1, fall = 1 }";
    gateway.reload(&folder, &config(&backends, checks)).await;
    prometheus.until(up, 0.0).await;
    let time = prometheus.last_scrape().await;
    let panel = async |title| Panel::at(&prometheus, time, title, 0).await;
    let is_up = panel("Endpoints that are up").await;
    assert_eq!(["a", "b"].map(|id| is_up.sum("endpoint", id)), [1.0, 0.0]);
    assert_eq!(panel("Endpoints up").await.sum("pool", "web"), 1.0);
    assert_eq!(panel("Endpoints by availability").await.sum("availability", "unhealthy"), 1.0);
    assert_eq!(panel("Why endpoints are not up").await.sum("endpoint", "b"), 1.0);
    let before = backends[0].served();
    let dead = traffic(20).await;
    assert_eq!((backends[0].served() - before, dead), (20, 100));
    backends[1].restart();
    prometheus.until(up, 1.0).await;
    let sent = traffic(60).await as f64;

    // Until Prometheus has the end of the last request. Then everything is compared at the time of one scrape.
    prometheus.until("sum(equipoise_endpoint_attempts_total{outcome=\"success\"})", sent).await;
    let time = prometheus.last_scrape().await;
    let panel = async |title, query| Panel::at(&prometheus, time, title, query).await;

    // Each request got exactly one response, and b has served some before and after its death.
    let served = backends.each_ref().map(|backend| backend.served() as f64);
    assert_eq!(served.iter().sum::<f64>(), sent);
    assert!(served[1] > 30.0, "{served:?}");
    let (so_far, by_endpoint) = (panel("Attempts so far", 0).await, panel("Attempts by endpoint", 0).await);
    let failures = panel("Failures by endpoint", 0).await;
    let failed = failures.events("endpoint", "b");
    assert!((1.0..=20.0).contains(&failed), "{failed} of the 20 requests went to b first");
    for (id, served, failed) in [("a", served[0], 0.0), ("b", served[1], failed)] {
        let successes =
            so_far.0.iter().filter(|(labels, _)| labels["endpoint"] == id && labels["outcome"] == "success");
        assert_eq!(successes.map(|(_, value)| value).sum::<f64>(), served, "{id}");
        assert_eq!(so_far.sum("endpoint", id), served + failed, "{id}");
        assert_eq!(by_endpoint.events("endpoint", id), served + failed, "{id}");
        assert_eq!(failures.events("endpoint", id), failed, "{id}");
    }
    // Each attempt that has failed was followed by one at the other endpoint.
    let others = "Retries, failovers, and requests without an attempt";
    assert_eq!(panel(others, 0).await.events("pool", "web"), failed);
    assert_eq!(panel(others, 1).await.events("pool", "web"), failed);
    assert_eq!(panel("Requests", 0).await.events("pool", "web"), sent);
    assert_eq!(panel("Attempts by outcome", 0).await.events("outcome", "success"), sent);

    // The state at the end.
    for id in ["a", "b"] {
        assert_eq!(panel("Endpoints that are up", 0).await.sum("endpoint", id), 1.0, "{id}");
    }
    for query in [0, 1] {
        assert_eq!(panel("Endpoints up", query).await.sum("pool", "web"), 2.0);
    }
    assert_eq!(panel("Balancers that answer", 0).await.sum("job", "equipoise"), 1.0);
    let instance = &gateway.addresses[1];
    // The CPU time and the memory of the gateway's process.
    assert!(panel("CPU", 0).await.0.iter().any(|(labels, _)| labels["instance"] == **instance));
    assert!(panel("CPU", 1).await.sum("instance", instance) >= 1.0);
    assert!(panel("Memory", 0).await.sum("instance", instance) > 1e6);
}
