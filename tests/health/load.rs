//! Clients and their results.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use equipoise::{EndpointId, tower::ServedBy};
use equipoise_tests::soon;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::setup::Balanced;

/// Time between two requests: 200 per second.
const PACE: Duration = Duration::from_millis(5);

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) began: Instant,
    pub(crate) served_by: Option<EndpointId>,
    pub(crate) end: End,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum End {
    Well,
    /// A response with another status than 200.
    Status(StatusCode),
    /// The connection ended in the middle of the response.
    Broken,
    Error(String),
}

/// Sends a GET and reads the response to its end.
pub(crate) async fn get(balanced: &Balanced) -> Sample {
    let began = Instant::now();
    let request = Request::get("http://orders/today").body(Full::default()).unwrap();
    let (served_by, end) = match balanced.clone().oneshot(request).await {
        Err(error) => (error.endpoint().cloned(), End::Error(format!("{error:?}"))),
        Ok(response) => {
            let served_by = response.extensions().get().map(|ServedBy(id)| id.clone());
            let status = response.status();
            let end = match response.collect().await {
                Err(_) => End::Broken,
                Ok(_) if status == StatusCode::OK => End::Well,
                Ok(_) => End::Status(status),
            };
            (served_by, end)
        }
    };
    Sample { began, served_by, end }
}

/// A load that runs until [`end`](Self::end).
pub(crate) struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    samples: Mutex<Vec<Sample>>,
    count: watch::Sender<usize>,
    stop: AtomicBool,
}

impl Load {
    /// Starts an open-loop load of 200 requests per second.
    pub(crate) fn start(balanced: &Balanced) -> Self {
        let (shared, balanced) = (Arc::<Shared>::default(), balanced.clone());
        let mut clients = JoinSet::new();
        let held = Arc::clone(&shared);
        clients.spawn(async move {
            let mut pace = interval(PACE);
            pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
            let mut requests = JoinSet::new();
            while !held.stop.load(Ordering::SeqCst) {
                pace.tick().await;
                let (held, balanced) = (Arc::clone(&held), balanced.clone());
                requests.spawn(async move { held.add(get(&balanced).await) });
            }
            requests.join_all().await;
        });
        Self { shared, clients }
    }

    /// Starts a closed-loop load: each client sends its next request after the response to the last.
    pub(crate) fn closed(clients: usize, balanced: &Balanced) -> Self {
        let shared = Arc::<Shared>::default();
        let client = |(shared, balanced): (Arc<Shared>, Balanced)| async move {
            while !shared.stop.load(Ordering::SeqCst) {
                shared.add(get(&balanced).await);
            }
        };
        let clients = (0..clients).map(|_| client((Arc::clone(&shared), balanced.clone()))).collect();
        Self { shared, clients }
    }

    /// Waits until this number of further requests has ended.
    pub(crate) async fn more(&self, requests: usize) {
        let mut count = self.shared.count.subscribe();
        let until = *count.borrow() + requests;
        soon(count.wait_for(|count| *count >= until)).await.unwrap();
    }

    /// Ends the load and returns all results in the order in which requests ended.
    pub(crate) async fn end(self) -> Vec<Sample> {
        self.shared.stop.store(true, Ordering::SeqCst);
        soon(self.clients.join_all()).await;
        std::mem::take(&mut self.shared.samples.lock())
    }
}

impl Shared {
    fn add(&self, sample: Sample) {
        self.samples.lock().push(sample);
        self.count.send_modify(|count| *count += 1);
    }
}

/// Returns the errors that clients have seen.
pub(crate) fn errors(samples: &[Sample]) -> Vec<&Sample> {
    samples.iter().filter(|sample| sample.end != End::Well).collect()
}

pub(crate) fn no_errors(samples: &[Sample]) {
    let errors = errors(samples);
    assert!(errors.is_empty(), "{} of {} requests failed: {:?}", errors.len(), samples.len(), errors[0]);
}
