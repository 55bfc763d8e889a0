use std::{
    io,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use equipoise::{
    Availability, EndpointSpec, Pool, Strategy,
    health::{Guard, Health, HealthBuilder, Schedule, probe::Http},
    tower::{Balance, BalanceLayer, BoxError, Shared},
};
use equipoise_tests::soon;
use futures::{StreamExt, channel::mpsc::UnboundedReceiver, future::BoxFuture};
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

/// What a busy machine may take on top of what the settings say.
const SLACK: Duration = Duration::from_secs(5);

/// How long one try may take until the head of the answer.
const TRY: Duration = Duration::from_secs(2);

pub(crate) type Balanced = Balance<(), Shared<Impatient>>;

/// Checks every 100 ms, but patient with answers, so that a busy machine is not taken for a fault.
pub(crate) fn checked() -> HealthBuilder {
    checked_by(Schedule::new().interval(INTERVAL))
}

pub(crate) fn checked_by(schedule: Schedule) -> HealthBuilder {
    Health::builder().check("http", schedule, Http::new("/health").unwrap())
}

/// Three servers named 1, 2 and 3, whoever looks after them, and a balancer over them.
pub(crate) struct World {
    pub(crate) balanced: Balanced,
    changes: UnboundedReceiver<equipoise::health::Change>,
    _checking: Guard,
}

impl World {
    pub(crate) fn start(builder: HealthBuilder, strategy: impl Strategy, addresses: [String; 3]) -> Self {
        Self::with(builder, strategy, addresses, |spec| spec, |layer| layer)
    }

    pub(crate) fn with(
        builder: HealthBuilder,
        strategy: impl Strategy,
        addresses: [String; 3],
        spec: impl Fn(EndpointSpec) -> EndpointSpec,
        layer: impl Fn(BalanceLayer) -> BalanceLayer,
    ) -> Self {
        let health = builder.build().unwrap();
        let pool = Pool::new(health.watch(strategy));
        let named = addresses.iter().zip(["1", "2", "3"]);
        pool.update(named.map(|(address, name)| spec(EndpointSpec::new(address).named(name))), |_| ()).unwrap();
        let changes = health.changes();
        let checking = health.spawn(&pool);
        let client = Impatient(Client::builder(TokioExecutor::new()).build_http());
        Self { balanced: layer(BalanceLayer::new(pool)).layer(client), changes, _checking: checking }
    }

    /// Waits until nobody is sent to it.
    pub(crate) async fn out(&mut self, name: &str) -> Instant {
        self.turns(name, |to| to == Availability::Unfit).await
    }

    /// [`out`](Self::out), which takes at most so long from `since`.
    pub(crate) async fn out_within(&mut self, longest: Duration, since: Instant, name: &str) -> Instant {
        let out = self.out(name).await;
        assert!(out - since <= longest + SLACK, "out after {:?} instead of {longest:?}", out - since);
        out
    }

    pub(crate) async fn back(&mut self, name: &str) {
        self.turns(name, |to| to == Availability::Open).await;
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

/// Hyper's client, which gives up on a try after a while.
#[derive(Clone)]
pub(crate) struct Impatient(Client<HttpConnector, Full<Bytes>>);

impl Service<Request<Full<Bytes>>> for Impatient {
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let answer = self.0.request(request);
        Box::pin(async move { Ok(timeout(TRY, answer).await.map_err(io::Error::from)??) })
    }
}
