//! Backends: HTTP servers with a virtual queue. A request occupies one of four slots for the service time that its
//! header states; no CPU is used meanwhile.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    oddity::{BACKENDS, MEAN_SERVICE, Oddity, SLOTS},
    subject::SERVICE_TIME,
    timer::Timer,
};

/// The backends of one run. They end when the value is dropped.
pub(crate) struct Backends {
    pub(crate) addresses: Vec<SocketAddr>,
    all: Vec<Arc<Mutex<Backend>>>,
    _tasks: JoinSet<()>,
}

/// A backend that receives requests over sockets.
struct Backend {
    /// The start of the run, from which the times of the queue are measured.
    epoch: Instant,
    queue: Queue,
}

/// The virtual queue of one backend. Times are measured from the start of the run.
pub(crate) struct Queue {
    /// When each slot is free again.
    free_at: [Duration; SLOTS],
    oddity: Oddity,
    served: u64,
}

impl Backends {
    /// Starts the backends. Only the first one has the oddity.
    pub(crate) async fn start(oddity: Oddity, timer: &Timer) -> anyhow::Result<Self> {
        let (mut addresses, mut all, mut tasks) = (Vec::new(), Vec::new(), JoinSet::new());
        for queue in queues(oddity) {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            addresses.push(listener.local_addr()?);
            let backend = Arc::new(Mutex::new(Backend { epoch: Instant::now(), queue }));
            all.push(Arc::clone(&backend));
            tasks.spawn(accept(listener, backend, timer.clone()));
        }
        Ok(Self { addresses, all, _tasks: tasks })
    }

    /// Sets the start of the run, from which stalls are counted.
    pub(crate) fn begin(&self, epoch: Instant) {
        for backend in &self.all {
            backend.lock().epoch = epoch;
        }
    }

    /// Returns the share of all requests that the first backend got.
    pub(crate) fn share_of_the_first(&self) -> f64 {
        let served: Vec<u64> = self.all.iter().map(|backend| backend.lock().queue.served).collect();
        share_of_the_first(&served)
    }
}

/// Returns the share of the first of some numbers in their sum.
pub(crate) fn share_of_the_first(served: &[u64]) -> f64 {
    served[0] as f64 / served.iter().sum::<u64>().max(1) as f64
}

/// Returns the queues of all backends. Only the first one has the oddity.
pub(crate) fn queues(oddity: Oddity) -> Vec<Queue> {
    let queue =
        |n| Queue { free_at: [Duration::ZERO; SLOTS], oddity: if n == 0 { oddity } else { Oddity::None }, served: 0 };
    (0..BACKENDS).map(queue).collect()
}

impl Backend {
    /// Admits a request that arrived now. Returns when its work ends, or `None` if it fails at once.
    fn admit(&mut self, now: Instant, service: Duration) -> Option<Instant> {
        let end = self.queue.admit(now.saturating_duration_since(self.epoch), service)?;
        Some(self.epoch + end)
    }
}

impl Queue {
    /// Admits a request that arrives at `now` and needs this time of service. Returns when its work ends, or `None` if it fails at once.
    pub(crate) fn admit(&mut self, now: Duration, service: Duration) -> Option<Duration> {
        self.served += 1;
        if self.oddity == Oddity::Error {
            return None;
        }
        let slot = self.free_at.iter_mut().min().expect("SLOTS is not 0");
        *slot = self.oddity.end(now.max(*slot), service);
        Some(*slot)
    }

    /// Returns when a request of mean length would end that arrives at `now`, or `None` if it would fail at once.
    pub(crate) fn expected_end(&self, now: Duration) -> Option<Duration> {
        if self.oddity == Oddity::Error {
            return None;
        }
        let slot = self.free_at.iter().min().expect("SLOTS is not 0");
        Some(self.oddity.end(now.max(*slot), MEAN_SERVICE))
    }

    pub(crate) fn served(&self) -> u64 {
        self.served
    }
}

/// Returns the service time that the generator chose for this request.
fn service_time(request: &Request<Incoming>) -> Duration {
    let nanoseconds = request.headers().get(&SERVICE_TIME).and_then(|value| value.to_str().ok()?.parse().ok());
    nanoseconds.map_or(MEAN_SERVICE, Duration::from_nanos)
}

async fn accept(listener: TcpListener, backend: Arc<Mutex<Backend>>, timer: Timer) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let (backend, timer) = (Arc::clone(&backend), timer.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let (end, timer) = (backend.lock().admit(Instant::now(), service_time(&request)), timer.clone());
            async move {
                let mut response = Response::new(Full::new(Bytes::from_static(b"ok")));
                match end {
                    Some(end) => timer.sleep_until(end).await,
                    None => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
                }
                Ok::<_, Infallible>(response)
            }
        });
        connections.spawn(async move {
            // Ends with the client's connection; its error is the client's to report.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
