//! A load of 32 connections that gets no error, whatever happens to the gateway and its backends.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, task::JoinSet, time::interval};

use crate::{
    backend::Backend,
    client::{Answer, Client, soon},
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
    fn start(address: &str) -> Self {
        let (answers, stop) = (watch::Sender::new(0), Arc::new(AtomicBool::new(false)));
        let mut clients = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (address, answers, stop) = (address.to_owned(), answers.clone(), Arc::clone(&stop));
            clients.spawn(async move {
                let mut client = None;
                while !stop.load(Ordering::SeqCst) {
                    let answer = get(&address, &mut client).await.unwrap();
                    assert_eq!(answer.status, 200, "{}", answer.body);
                    answers.send_modify(|count| *count += 1);
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

/// Sends a request as HTTP clients do: if the server has closed a connection that was used before, it is sent again
/// over a new one (RFC 9112, section 9.3.1).
async fn get(address: &str, client: &mut Option<Client>) -> io::Result<Answer> {
    let answer = match client {
        Some(used) => used.request("GET /", "").await.ok(),
        None => None,
    };
    let answer = match answer {
        Some(answer) => answer,
        None => client.insert(Client::connect(address).await).request("GET /", "").await?,
    };
    if answer.header("connection") == Some("close") {
        *client = None;
    }
    Ok(answer)
}

fn config(bind: &str, health: &str, backends: &[Backend]) -> String {
    let endpoints: Vec<_> =
        backends.iter().map(|backend| format!("{{ address = \"{}\" }}", backend.address())).collect();
    format!(
        r#"
        log.access = false
        [[listener]]
        bind = "{bind}"
        pool = "web"
        [pool.web]
        health = {health}
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
    for round in 0..20 {
        pace.tick().await;
        let health = OFTEN.replace("100ms", if round % 2 == 0 { "90ms" } else { "100ms" });
        gateway.reload(&folder, &config("127.0.0.1:0", &health, &backends)).await;
    }
    load.more(200).await;
    let answers = load.end().await;
    let endpoints = gateway.connect(1).await.get("/endpoints").await.body;
    let endpoints: serde_json::Value = serde_json::from_str(&endpoints).unwrap();
    let counted: u64 =
        endpoints.as_array().unwrap().iter().map(|one| one["status"]["requests"]["total"].as_u64().unwrap()).sum();
    // A request that was sent again may have reached an endpoint twice.
    assert!(counted >= answers, "{counted} of {answers}");
    assert_eq!(gateway.addresses.len(), 2, "no socket was opened");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_takes_the_port_over_under_load() {
    let backends = ["1", "2"].map(Backend::start);
    let (first, second) = (Folder::new(), Folder::new());
    let mut one = Gateway::start_with(&first, &config("127.0.0.1:0", OFTEN, &backends), &["--takeover"]).await;
    let address = one.addresses[0].clone();
    let load = Load::start(&address);
    load.more(200).await;
    let two = Gateway::start_with(&second, &config(&address, OFTEN, &backends), &["--takeover"]).await;
    one.signal("-TERM").await;
    assert!(soon(one.child.wait()).await.unwrap().success());
    load.more(200).await;
    load.end().await;
    assert_eq!(two.connect(0).await.get("/").await.status, 200);
}
