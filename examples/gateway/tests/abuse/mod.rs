//! Clients and backends that attack the gateway. Other clients are served meanwhile, and the memory of the process stays
//! below a bound: it grows by at most four times what was measured in a debug build.

mod backend;
mod clients;
mod frames;
mod http2;

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{net::TcpStream, process::Child, time::timeout};

use crate::{
    client::Client,
    process::{Folder, Gateway},
};
use backend::Hostile;

/// How long a request of another client may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A gateway that is attacked.
struct Attacked {
    backend: Hostile,
    address: String,
    process: Child,
    _folder: Folder,
}

impl Attacked {
    /// Starts a gateway whose limits the attacks do not reach.
    async fn start() -> Self {
        Self::with_limits("max_connections = 20000, max_in_flight = 20000").await
    }

    async fn with_limits(limits: &str) -> Self {
        let backend = Hostile::start().await;
        let folder = Folder::new();
        let config = format!(
            r#"
            [log]
            access = false
            [[listener]]
            bind = "127.0.0.1:0"
            pool = "web"
            limits = {{ {limits} }}
            [pool.web]
            endpoints = [{{ address = "{}" }}]
            "#,
            backend.address
        );
        let (process, addresses) = Gateway::start(&folder, &config).await.without_log();
        let attacked = Self { backend, address: addresses[0].clone(), process, _folder: folder };
        for _ in 0..100 {
            serves(&attacked.address).await;
        }
        attacked
    }

    async fn connect(&self) -> TcpStream {
        timeout(PATIENCE, TcpStream::connect(&self.address)).await.unwrap().unwrap()
    }

    /// Runs an attack while other clients are served, and after it. The memory of the gateway grows by at most `max`
    /// MiB.
    async fn endures<T>(&self, max: u64, attack: impl Future<Output = T>) -> T {
        let before = self.memory("VmRSS");
        let served = Arc::new(AtomicUsize::new(0));
        let (address, count) = (self.address.clone(), Arc::clone(&served));
        let others = tokio::spawn(async move {
            loop {
                serves(&address).await;
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        let result = attack.await;
        let meanwhile = served.load(Ordering::Relaxed);
        for _ in 0..50 {
            serves(&self.address).await;
        }
        others.abort();
        assert!(others.await.is_err_and(|error| error.is_cancelled()), "other clients are served");
        let peak = self.memory("VmHWM");
        eprintln!("{meanwhile} others served meanwhile; {before} KiB before, at most {peak} KiB since");
        assert!(peak < before + max * 1024, "the memory grew from {before} to {peak} KiB");
        result
    }

    /// Returns a line of the state of the process, in KiB: its memory (`VmRSS`) or its maximum so far (`VmHWM`).
    fn memory(&self, name: &str) -> u64 {
        let state = fs::read_to_string(format!("/proc/{}/status", self.process.id().expect("it runs"))).unwrap();
        let line = state.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

/// Sends two requests over a new connection.
async fn serves(address: &str) {
    let exchange = async {
        let mut client = Client::connect(address).await;
        for _ in 0..2 {
            let answer = client.get("/").await;
            assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
        }
    };
    timeout(PATIENCE, exchange).await.expect("other clients are served");
}
