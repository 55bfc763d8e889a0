//! Backends: HTTP servers with a virtual queue. A request occupies one of four slots for a random service time that is
//! drawn from a seeded generator; no CPU is used meanwhile.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rand::{SeedableRng, rngs::StdRng};
use rand_distr::{Distribution, Exp1};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    oddity::{BACKENDS, MEAN_SERVICE, Oddity, SLOTS},
    timer::Timer,
};

/// The backends of one run. They end when the value is dropped.
pub(crate) struct Backends {
    pub(crate) addresses: Vec<SocketAddr>,
    queues: Vec<Arc<Mutex<Queue>>>,
    _tasks: JoinSet<()>,
}

/// The virtual queue of one backend. Times are measured from `epoch`.
struct Queue {
    epoch: Instant,
    /// When each slot is free again.
    free_at: [Duration; SLOTS],
    oddity: Oddity,
    random: StdRng,
    served: u64,
}

impl Backends {
    /// Starts the backends. Only the first one has the oddity.
    pub(crate) async fn start(oddity: Oddity, seed: u64, timer: &Timer) -> anyhow::Result<Self> {
        let (mut addresses, mut queues, mut tasks) = (Vec::new(), Vec::new(), JoinSet::new());
        for n in 0..BACKENDS {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            addresses.push(listener.local_addr()?);
            let queue = Arc::new(Mutex::new(Queue {
                epoch: Instant::now(),
                free_at: [Duration::ZERO; SLOTS],
                oddity: if n == 0 { oddity } else { Oddity::None },
                random: StdRng::seed_from_u64(seed.wrapping_mul(31).wrapping_add(n as u64)),
                served: 0,
            }));
            queues.push(Arc::clone(&queue));
            tasks.spawn(accept(listener, queue, timer.clone()));
        }
        Ok(Self { addresses, queues, _tasks: tasks })
    }

    /// Sets the start of the run, from which stalls are counted.
    pub(crate) fn begin(&self, epoch: Instant) {
        for queue in &self.queues {
            queue.lock().epoch = epoch;
        }
    }

    /// Returns the share of all requests that the first backend got.
    pub(crate) fn share_of_the_first(&self) -> f64 {
        let served: Vec<u64> = self.queues.iter().map(|queue| queue.lock().served).collect();
        served[0] as f64 / served.iter().sum::<u64>().max(1) as f64
    }
}

impl Queue {
    /// Admits a request that arrived now. Returns when its work ends, or `None` if it fails at once.
    fn admit(&mut self, now: Instant) -> Option<Instant> {
        self.served += 1;
        if self.oddity == Oddity::Error {
            return None;
        }
        let draw: f64 = Exp1.sample(&mut self.random);
        let slot = self.free_at.iter_mut().min().expect("SLOTS is not 0");
        let start = now.saturating_duration_since(self.epoch).max(*slot);
        *slot = self.oddity.end(start, MEAN_SERVICE.mul_f64(draw));
        Some(self.epoch + *slot)
    }
}

async fn accept(listener: TcpListener, queue: Arc<Mutex<Queue>>, timer: Timer) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let (queue, timer) = (Arc::clone(&queue), timer.clone());
        let service = service_fn(move |_| {
            let (end, timer) = (queue.lock().admit(Instant::now()), timer.clone());
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
