//! A load of 32 connections that gets no error, whatever happens to the gateway and its backends.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, task::JoinSet, time::interval};

use crate::{
    backend::Backend,
    client::{Client, soon},
    process::{Folder, Gateway},
};

const CONNECTIONS: usize = 32;

/// Clients that each send a request after the response to the last one, until `end`.
struct Load {
    clients: JoinSet<()>,
    answers: watch::Sender<u64>,
    stop: Arc<AtomicBool>,
}

impl Load {
    /// Starts clients that each keep one connection and send no request twice.
    fn start(address: &str) -> Self {
        Self::run(address, false)
    }

    /// Starts clients that send a request again over a new connection, if the server has closed one that was used
    /// before, as HTTP clients do (RFC 9112, section 9.3.1).
    fn start_reconnecting(address: &str) -> Self {
        Self::run(address, true)
    }

    fn run(address: &str, reconnects: bool) -> Self {
        let (answers, stop) = (watch::Sender::new(0), Arc::new(AtomicBool::new(false)));
        let mut clients = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (address, answers, stop) = (address.to_owned(), answers.clone(), Arc::clone(&stop));
            clients.spawn(async move {
                let mut client = Client::connect(&address).await;
                while !stop.load(Ordering::SeqCst) {
                    let mut answer = client.request("GET /", "").await;
                    // A process that ends closes idle connections. Linux resets a new one that arrives while the process
                    // closes its socket, and gives the next one to the other process.
                    for _ in 0..2 {
                        if answer.is_err() && reconnects {
                            client = Client::connect(&address).await;
                            answer = client.request("GET /", "").await;
                        }
                    }
                    let answer = answer.unwrap();
                    assert_eq!(answer.status, 200, "{}", answer.body);
                    answers.send_modify(|count| *count += 1);
                    if answer.header("connection") == Some("close") {
                        assert!(reconnects, "the connection stays");
                        client = Client::connect(&address).await;
                    }
                }
            });
        }
        Self { clients, answers, stop }
    }

    /// Waits until this number of further responses has come.
    async fn more(&self, responses: u64) {
        let mut answers = self.answers.subscribe();
        let until = *answers.borrow() + responses;
        soon(answers.wait_for(|count| *count >= until)).await.unwrap();
    }

    /// Ends the load, and returns the number of responses. Panics if a client got an error.
    async fn end(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        soon(self.clients.join_all()).await;
        *self.answers.borrow()
    }
}

fn config(bind: &str, health: &str, backends: &[Backend]) -> String {
    config_with(bind, "", &format!("health = {health}"), 1, backends)
}

/// Returns a configuration with more settings of the listener and of the pool, and with a weight of the first endpoint.
fn config_with(bind: &str, listener: &str, pool: &str, weight: u32, backends: &[Backend]) -> String {
    let endpoint = |(number, backend): (usize, &Backend)| {
        let weight = if number == 0 { weight } else { 1 };
        format!("{{ address = \"{}\", weight = {weight} }}", backend.address())
    };
    let endpoints: Vec<_> = backends.iter().enumerate().map(endpoint).collect();
    format!(
        r#"
        log.access = false
        [[listener]]
        bind = "{bind}"
        pool = "web"
        {listener}
        [pool.web]
        {pool}
        endpoints = [{}]
        [admin]
        bind = "127.0.0.1:0"
        "#,
        endpoints.join(", "),
    )
}

const OFTEN: &str = r#"{ check = "http", path = "/healthz", interval = "100ms", fall = 2, rise = 1 }"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_of_the_backends_causes_no_error() {
    let mut backends = ["1", "2", "3"].map(Backend::start);
    let folder = Folder::new();
    let mut gateway = Gateway::start(&folder, &config("127.0.0.1:0", OFTEN, &backends)).await;
    let load = Load::start(&gateway.addresses[0]);
    load.more(200).await;
    for backend in &mut backends {
        backend.stop().await;
        gateway.logs(&format!("endpoint={} from=up to=unhealthy", backend.address())).await;
        load.more(200).await;
        backend.restart();
        gateway.logs(&format!("endpoint={} from=unhealthy to=up", backend.address())).await;
        load.more(200).await;
    }
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_under_load_cause_no_error_and_keep_the_counters() {
    let backends = ["1", "2"].map(Backend::start);
    let folder = Folder::new();
    let mut gateway = Gateway::start(&folder, &config("127.0.0.1:0", OFTEN, &backends)).await;
    let load = Load::start(&gateway.addresses[0]);
    let mut pace = interval(Duration::from_millis(100));
    let listeners = [
        "served_by_header = true",
        "limits = { max_connections = 2000, keep_alive_timeout = \"60s\" }",
        "trusted_proxies = [\"loopback\"]\nwritten_by_proxies = [\"x-forwarded-proto\"]",
        "errors = { format = \"json\" }\nroute = [{ path_prefix = \"/x\", pool = \"web\" }]",
    ];
    let pools = ["affinity = \"source(by=table)\"", "protocol = \"http1\"", "health = { check = \"tcp\" }"];
    for round in 0..20 {
        pace.tick().await;
        let (listener, pool) = (listeners[round % listeners.len()], pools[round % pools.len()]);
        let weight = 1 + u32::from(round % 2 == 0);
        gateway.reload(&folder, &config_with("127.0.0.1:0", listener, pool, weight, &backends)).await;
    }
    load.more(200).await;
    let answers = load.end().await;
    let endpoints = gateway.connect(1).await.get("/endpoints").await.body;
    let endpoints: serde_json::Value = serde_json::from_str(&endpoints).unwrap();
    let counted: u64 =
        endpoints.as_array().unwrap().iter().map(|one| one["status"]["requests"]["total"].as_u64().unwrap()).sum();
    assert_eq!(counted, answers);
    assert_eq!(gateway.addresses.len(), 2, "no socket was opened");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pools_that_are_built_anew_under_load_cause_no_error() {
    let backends = ["1", "2"].map(Backend::start);
    let folder = Folder::new();
    let mut gateway = Gateway::start(&folder, &config("127.0.0.1:0", OFTEN, &backends)).await;
    let load = Load::start(&gateway.addresses[0]);
    for round in 0..10 {
        let pool = ["strategy = \"round-robin\"", "outlier = \"envoy\"", "slow_start = \"1s\""][round % 3];
        gateway.reload(&folder, &config_with("127.0.0.1:0", "", pool, 1, &backends)).await;
        gateway.logs("pool web was built anew").await;
        load.more(50).await;
    }
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_takes_the_port_over_under_load() {
    let backends = ["1", "2"].map(Backend::start);
    let (first, second) = (Folder::new(), Folder::new());
    let mut one = Gateway::start_with(&first, &config("127.0.0.1:0", OFTEN, &backends), &["--takeover"]).await;
    let address = one.addresses[0].clone();
    let load = Load::start_reconnecting(&address);
    load.more(200).await;
    let two = Gateway::start_with(&second, &config(&address, OFTEN, &backends), &["--takeover"]).await;
    one.signal("-TERM").await;
    assert!(soon(one.child.wait()).await.unwrap().success());
    load.more(200).await;
    load.end().await;
    assert_eq!(two.connect(0).await.get("/").await.status, 200);
}
