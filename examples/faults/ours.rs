//! equipoise as a proxy: a hyper server, and hyper's client below a `BalanceLayer`.

use std::{convert::Infallible, io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use clap::Args;
use equipoise::{
    EndpointSpec, Pool, StrategySpec,
    health::{Health, HealthGuard, LatencyOutlier, Outliers, Schedule, probe::HttpProbe},
    tower::{BalanceLayer, LeasedBody, Replayable},
};
use http::{Request, Response, StatusCode};
use http_body_util::{Either, Empty};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::{net::TcpListener, time::timeout};
use tower::Layer;

use crate::load::epoch;

#[derive(Debug, Args)]
pub(crate) struct Terms {
    listen: SocketAddr,
    #[arg(long)]
    health: bool,
    #[arg(long)]
    strategy: StrategySpec,
    #[arg(long)]
    limit: Option<u32>,
    #[arg(long = "server")]
    servers: Vec<String>,
}

/// Health checks as in the configurations of nginx and HAProxy: one per second, fall 3, rise 2. Outlier detection is
/// added.
fn health(terms: &Terms) -> anyhow::Result<Health> {
    let second = Duration::from_secs(1);
    let schedule = Schedule::new().interval(second).timeout(second).fall(3).rise(2);
    let slow = LatencyOutlier::new(5.0).min_hosts(3).min_requests(10);
    let outliers = Outliers::new().consecutive_failures(5).latency(slow).interval(second);
    let health = Health::builder();
    Ok(match terms.health {
        true => health.check("http", schedule, HttpProbe::new("/health")?).outliers(outliers).build()?,
        false => health.build()?,
    })
}

/// Timeout of an attempt, until the head of the response. Idempotent requests then go to another server, as in the
/// configurations of nginx and HAProxy.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(1);

/// Maximum time in the queue if all servers are at their limit.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(10);

type Body = Either<LeasedBody<Incoming>, Empty<Bytes>>;

pub(crate) async fn serve(terms: &Terms) -> anyhow::Result<()> {
    let health = health(terms)?;
    let pool = Pool::new(health.watch(terms.strategy.build()));
    let spec = |address: &String| {
        let spec = EndpointSpec::new(address);
        terms.limit.map_or(spec.clone(), |limit| spec.max_in_flight(limit))
    };
    pool.update(terms.servers.iter().map(spec), |_| ())?;
    let _checking: HealthGuard = health.spawn(&pool);

    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(ATTEMPT_TIMEOUT));
    connector.set_nodelay(true);
    let client: Client<_, Replayable<Incoming>> = Client::builder(TokioExecutor::new()).build(connector);
    // Below the balancer, so that it sees every attempt.
    let attempts = tower::service_fn(move |request: Request<Replayable<Incoming>>| {
        if let Some(server) = request.uri().authority() {
            println!("{} {server}", epoch());
        }
        let answer = client.request(request);
        async move {
            match timeout(ATTEMPT_TIMEOUT, answer).await {
                Ok(answer) => answer.map_err(io::Error::other),
                // The timeout closes the connection. After a plain `TimedOut` there would be no failover.
                Err(_) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "no response in time")),
            }
        }
    });
    let balanced = BalanceLayer::new(pool).queue_timeout(QUEUE_TIMEOUT).layer(attempts);

    let listener = TcpListener::bind(terms.listen).await?;
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        // Responses are written at once, so Nagle's algorithm would only delay them.
        let _ = stream.set_nodelay(true);
        let balanced = balanced.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = balanced.clone().oneshot(request.map(Replayable::new));
            async move {
                Ok::<Response<Body>, Infallible>(match answer.await {
                    Ok(response) => response.map(Either::Left),
                    Err(error) => {
                        eprintln!("{:#}", anyhow::Error::from(error));
                        let mut response = Response::new(Either::Right(Empty::new()));
                        *response.status_mut() = StatusCode::BAD_GATEWAY;
                        response
                    }
                })
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}
