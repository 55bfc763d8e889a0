use std::{
    io,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use equipoise::{
    Availability, EndpointSpec, Pool, PoolBuilder, RoundRobin, Strategy,
    health::{AvailabilityChanges, Health, HealthBuilder, HealthGuard, Schedule, probe::HttpProbe},
    tower::{Balance, BalanceLayer, BoxError, SharedClient},
};
use equipoise_tests::soon;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time::{Instant, timeout};
use tower::{Layer, Service};

pub(crate) const INTERVAL: Duration = Duration::from_millis(100);

/// Additional time that a busy machine may need.
const SLACK: Duration = Duration::from_secs(5);

/// Maximum time of a request in the queue.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Timeout of an attempt, until the head of the response.
const TRY: Duration = Duration::from_secs(2);

pub(crate) type Balanced = Balance<(), SharedClient<Impatient>>;

/// Checks every 100 ms with a long timeout, so that a busy machine does not count as a fault.
pub(crate) fn checked() -> HealthBuilder {
    checked_by(Schedule::new().interval(INTERVAL))
}

fn checked_by(schedule: Schedule) -> HealthBuilder {
    Health::builder().check("http", schedule, HttpProbe::new("/health").unwrap())
}

/// A pool of three servers named 1, 2 and 3, with their health and a balancer.
pub(crate) struct World {
    pub(crate) balanced: Balanced,
    changes: AvailabilityChanges,
    _checking: HealthGuard,
}

impl World {
    pub(crate) fn start(builder: HealthBuilder, strategy: impl Strategy, addresses: [String; 3]) -> Self {
        Self::with(builder, strategy, addresses, |pool| pool, |spec| spec, |layer| layer)
    }

    /// For checks with short timeouts: on a busy machine, all endpoints may become unhealthy for a moment. Requests
    /// then wait instead of going to unhealthy endpoints.
    pub(crate) fn hasty(schedule: Schedule, addresses: [String; 3]) -> Self {
        let (pool, layer) =
            (|pool: PoolBuilder| pool.panic_threshold(0.0), |layer: BalanceLayer| layer.queue_timeout(PATIENCE));
        Self::with(checked_by(schedule), RoundRobin::new(), addresses, pool, |spec| spec, layer)
    }

    /// With settings of the test for pool, endpoints and layer.
    pub(crate) fn with(
        builder: HealthBuilder,
        strategy: impl Strategy,
        addresses: [String; 3],
        pool: impl Fn(PoolBuilder) -> PoolBuilder,
        spec: impl Fn(EndpointSpec) -> EndpointSpec,
        layer: impl Fn(BalanceLayer) -> BalanceLayer,
    ) -> Self {
        let health = builder.build().unwrap();
        let pool = pool(Pool::<()>::builder(health.watch(strategy))).build();
        let named = addresses.iter().zip(["1", "2", "3"]);
        pool.update(named.map(|(address, name)| spec(EndpointSpec::new(address).with_id(name))), |_| ()).unwrap();
        let changes = health.changes();
        let checking = health.spawn(&pool);
        let client = Impatient::saying(io::ErrorKind::TimedOut);
        Self { balanced: layer(BalanceLayer::new(pool)).layer(client), changes, _checking: checking }
    }

    /// Discards the changes of this endpoint so far, and waits until it is up.
    pub(crate) async fn in_service(&mut self, name: &str) {
        let mut last = Availability::Up;
        while let Some(change) = self.changes.try_next() {
            last = if change.id.as_str() == name { change.to } else { last };
        }
        if last != Availability::Up {
            self.back(name).await;
        }
    }

    /// Waits until the endpoint gets no requests.
    pub(crate) async fn out(&mut self, name: &str) -> Instant {
        self.turns(name, |to| to == Availability::Unhealthy).await
    }

    /// Like [`out`](Self::out), and asserts that it takes at most `longest` from `since`.
    pub(crate) async fn out_within(&mut self, longest: Duration, since: Instant, name: &str) -> Instant {
        let out = self.out(name).await;
        assert!(out - since <= longest + SLACK, "out after {:?} instead of {longest:?}", out - since);
        out
    }

    pub(crate) async fn back(&mut self, name: &str) {
        self.turns(name, |to| to == Availability::Up).await;
    }

    async fn turns(&mut self, name: &str, into: impl Fn(Availability) -> bool) -> Instant {
        soon(async {
            loop {
                let change = self.changes.next().await.expect("the checks go on");
                if change.id.as_str() == name && into(change.to) {
                    return Instant::now();
                }
            }
        })
        .await
    }
}

/// Hyper's client with a timeout for each attempt.
#[derive(Clone)]
pub(crate) struct Impatient {
    client: Client<HttpConnector, Full<Bytes>>,
    late: io::ErrorKind,
}

impl Impatient {
    /// The kind of the error after a timeout.
    pub(crate) fn saying(late: io::ErrorKind) -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http(), late }
    }
}

impl Service<Request<Full<Bytes>>> for Impatient {
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let (answer, late) = (self.client.request(request), self.late);
        Box::pin(async move { Ok(timeout(TRY, answer).await.map_err(|_| io::Error::from(late))??) })
    }
}
