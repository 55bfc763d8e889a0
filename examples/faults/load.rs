//! Clients of the balancer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use parking_lot::Mutex;
use tokio::{
    task::JoinSet,
    time::{interval, timeout},
};

/// A response that takes longer counts as missing.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Returns the time in seconds since 1970, which is the same in all processes.
pub(crate) fn epoch() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// One request.
pub(crate) struct Sample {
    /// Start in seconds since 1970.
    pub(crate) began: f64,
    pub(crate) took: Duration,
    /// Whether the response was complete and not a 5xx.
    pub(crate) well: bool,
}

/// A load that runs until [`end`](Self::end).
pub(crate) struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
}

struct Shared {
    proxy: Uri,
    client: Client<HttpConnector, Empty<Bytes>>,
    samples: Mutex<Vec<Sample>>,
    stop: AtomicBool,
}

impl Load {
    /// Starts an open-loop load of `rate` requests per second.
    pub(crate) fn rate(proxy: Uri, rate: u32) -> Self {
        let shared = Shared::new(proxy);
        let held = Arc::clone(&shared);
        let mut clients = JoinSet::new();
        clients.spawn(async move {
            let mut pace = interval(Duration::from_secs(1) / rate);
            let mut requests = JoinSet::new();
            while !held.stop.load(Ordering::Relaxed) {
                pace.tick().await;
                let held = Arc::clone(&held);
                requests.spawn(async move { held.request().await });
                while requests.try_join_next().is_some() {}
            }
            requests.join_all().await;
        });
        Self { shared, clients }
    }

    /// Starts a closed-loop load: each client sends its next request after the response to the last.
    pub(crate) fn closed(proxy: Uri, clients: usize) -> Self {
        let shared = Shared::new(proxy);
        let client = |shared: Arc<Shared>| async move {
            while !shared.stop.load(Ordering::Relaxed) {
                shared.request().await;
            }
        };
        let clients = (0..clients).map(|_| client(Arc::clone(&shared))).collect();
        Self { shared, clients }
    }

    /// Ends the load after the last response.
    pub(crate) async fn end(self) -> Vec<Sample> {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.clients.join_all().await;
        std::mem::take(&mut self.shared.samples.lock())
    }
}

impl Shared {
    fn new(proxy: Uri) -> Arc<Self> {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Arc::new(Self { proxy, client, samples: Mutex::default(), stop: AtomicBool::new(false) })
    }

    async fn request(&self) {
        let (began, at) = (epoch(), Instant::now());
        let mut request = Request::new(Empty::new());
        request.uri_mut().clone_from(&self.proxy);
        let answered = async {
            let response = self.client.request(request).await.ok()?;
            let well = !response.status().is_server_error();
            response.into_body().collect().await.ok().filter(|_| well)
        };
        let well = timeout(TIMEOUT, answered).await.is_ok_and(|answer| answer.is_some());
        self.samples.lock().push(Sample { began, took: at.elapsed(), well });
    }
}
