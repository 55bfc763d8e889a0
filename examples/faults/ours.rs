//! equipoise as a proxy: a hyper server, and behind it hyper's client under a `BalanceLayer`.

use std::{convert::Infallible, io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use clap::Args;
use equipoise::{
    EndpointSpec, Pool, StrategySpec,
    health::{Guard, Health, LatencyOutlier, Outliers, Schedule, probe::Http},
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

/// As nginx and HAProxy are set up here: a look each second, three that fail take an endpoint down, two that pass bring it
/// back. In addition the requests have a say.
fn health(terms: &Terms) -> anyhow::Result<Health> {
    let second = Duration::from_secs(1);
    let schedule = Schedule::new().interval(second).timeout(second).fall(3).rise(2);
    let slow = LatencyOutlier { factor: 5.0, hosts: 3, volume: 10 };
    let outliers = Outliers::new().consecutive_failures(5).latency(slow).interval(second);
    let health = Health::builder();
    Ok(match terms.health {
        true => health.check("http", schedule, Http::new("/health")?).outliers(outliers).build()?,
        false => health.build()?,
    })
}

/// How long a server may take until the head of its answer. After that the request, which is idempotent, goes elsewhere, as
/// in nginx's and HAProxy's configurations.
const TRY: Duration = Duration::from_secs(1);

/// How long a request waits for room where all are at their limit.
const WAIT: Duration = Duration::from_secs(10);

type Body = Either<LeasedBody<Incoming>, Empty<Bytes>>;

pub(crate) async fn serve(terms: &Terms) -> anyhow::Result<()> {
    let health = health(terms)?;
    let pool = Pool::new(health.watch(terms.strategy.build()));
    let spec = |address: &String| {
        let spec = EndpointSpec::new(address);
        terms.limit.map_or(spec.clone(), |limit| spec.max_in_flight(limit))
    };
    pool.update(terms.servers.iter().map(spec), |_| ())?;
    let _checking: Guard = health.spawn(&pool);

    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(TRY));
    connector.set_nodelay(true);
    let client: Client<_, Replayable<Incoming>> = Client::builder(TokioExecutor::new()).build(connector);
    // Under the balancer, so that every try comes by here.
    let tries = tower::service_fn(move |request: Request<Replayable<Incoming>>| {
        if let Some(server) = request.uri().authority() {
            println!("{} {server}", epoch());
        }
        let answer = client.request(request);
        async move {
            match timeout(TRY, answer).await {
                Ok(answer) => answer.map_err(io::Error::other),
                // It gives up the connection. A plain `TimedOut` would not go elsewhere.
                Err(_) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "no answer in time")),
            }
        }
    });
    let balanced = BalanceLayer::new(pool).queue_timeout(WAIT).layer(tries);

    let listener = TcpListener::bind(terms.listen).await?;
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        // Answers go out in one piece; waiting for more only delays them.
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
