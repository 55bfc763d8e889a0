//! Clients of the proxy.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use bytes::Bytes;
use http::{
    Request, StatusCode,
    header::{HOST, SET_COOKIE},
};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    sync::mpsc,
    time::{MissedTickBehavior, interval_at, timeout},
};

use crate::proxy::{SERVED_BY, TRIES};

/// Number of keep-alive connections of the load.
pub(crate) const CONNECTIONS: u32 = 6;

/// Requests per second.
pub(crate) const RATE: u32 = 300;

/// Maximum time to wait for an event. Peak-EWMA is the slowest: it avoids a failed server until its penalty has
/// faded, which takes seconds.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(60);

/// A response after this time counts as missing.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// A client with one keep-alive connection to the proxy.
pub(crate) struct Visitor {
    proxy: SocketAddr,
    address: IpAddr,
    connection: SendRequest<Empty<Bytes>>,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) served_by: Option<String>,
    /// Number of attempts.
    pub(crate) tries: usize,
    pub(crate) set_cookie: Option<String>,
    pub(crate) body: String,
}

impl Visitor {
    pub(crate) async fn connect(proxy: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(proxy).await.context("the proxy does not take connections")?;
        stream.set_nodelay(true)?;
        let address = stream.local_addr()?.ip();
        let (connection, io) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(io);
        Ok(Self { proxy, address, connection })
    }

    /// Address of the client, as the proxy sees it.
    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    /// Sends a GET with these headers.
    pub(crate) async fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> anyhow::Result<Answer> {
        let mut request = Request::get(path).header(HOST, self.proxy.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::new())?;
        let exchange = async {
            self.connection.ready().await?;
            let response = self.connection.send_request(request).await?;
            let text = |name| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
            let (status, served_by, tries) = (response.status(), text(SERVED_BY), text(TRIES));
            let set_cookie = text(SET_COOKIE);
            let body = response.into_body().collect().await.context("the answer broke off")?.to_bytes();
            let tries = tries.and_then(|tries| tries.parse().ok()).unwrap_or(1);
            Ok(Answer { status, served_by, tries, set_cookie, body: String::from_utf8_lossy(&body).into_owned() })
        };
        timeout(RESPONSE_TIMEOUT, exchange).await.with_context(|| format!("no answer within {RESPONSE_TIMEOUT:?}"))?
    }
}

/// One request of the load with its result.
pub(crate) struct Sample {
    /// The phases in which the request was sent and ended.
    pub(crate) phases: (usize, usize),
    pub(crate) outcome: Result<Answer, String>,
    pub(crate) latency: Duration,
}

/// Continuous load over [`CONNECTIONS`].
pub(crate) struct Load {
    terms: Arc<Terms>,
    samples: mpsc::UnboundedReceiver<Sample>,
}

struct Terms {
    proxy: SocketAddr,
    /// Time between two requests of one connection.
    pace: Duration,
    phase: AtomicUsize,
    sent: AtomicU64,
    /// Number of requests to send.
    limit: AtomicU64,
}

impl Load {
    /// Starts `limit` requests at `rate` per second, or slower if the responses are slower.
    pub(crate) fn start(proxy: SocketAddr, rate: u32, limit: u64) -> Self {
        let pace = Duration::from_secs(1) * CONNECTIONS / rate;
        let (phase, sent, limit) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicU64::new(limit));
        let terms = Arc::new(Terms { proxy, pace, phase, sent, limit });
        let (samples, received) = mpsc::unbounded_channel();
        for n in 0..CONNECTIONS {
            tokio::spawn(visit(Arc::clone(&terms), pace * n / CONNECTIONS, samples.clone()));
        }
        Self { terms, samples: received }
    }

    /// Starts a phase: requests are now sent and end in this phase.
    pub(crate) fn enter(&self, phase: usize) {
        self.terms.phase.store(phase, Ordering::SeqCst);
    }

    /// Sends no more requests; those in flight still end.
    pub(crate) fn stop(&self) {
        self.terms.limit.store(0, Ordering::SeqCst);
    }

    /// Waits for the next request that ends; `None` after the last.
    pub(crate) async fn next(&mut self) -> Option<Sample> {
        self.samples.recv().await
    }
}

/// The load of one connection.
async fn visit(terms: Arc<Terms>, delay: Duration, samples: mpsc::UnboundedSender<Sample>) {
    let mut pace = interval_at(tokio::time::Instant::now() + delay, terms.pace);
    // Keeps the connections out of step, also after a pause of the machine.
    pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut visitor = None;
    loop {
        pace.tick().await;
        if terms.sent.fetch_add(1, Ordering::SeqCst) >= terms.limit.load(Ordering::SeqCst) {
            return;
        }
        let (sent, started) = (terms.phase.load(Ordering::SeqCst), Instant::now());
        let outcome = async {
            if visitor.is_none() {
                visitor = Some(Visitor::connect(terms.proxy).await?);
            }
            visitor.as_mut().context("not connected")?.get("/", &[]).await
        };
        let outcome = outcome.await.map_err(|error| format!("{error:#}"));
        if outcome.is_err() {
            visitor = None;
        }
        let sample = Sample { phases: (sent, terms.phase.load(Ordering::SeqCst)), outcome, latency: started.elapsed() };
        // The receiver is gone once the lab has ended.
        let _ = samples.send(sample);
    }
}
