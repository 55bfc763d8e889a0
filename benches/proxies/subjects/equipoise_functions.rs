//! equipoise's reverse proxy on one thread, with one function of a gateway: `LISTEN FUNCTION BACKEND...`. `FUNCTION` is
//! `cache`, `gzip`, `rate-limit` or `basic-auth=USERS`, where `USERS` are lines of `htpasswd`.

use std::time::Duration;

use anyhow::{Context, bail};
use equipoise::{
    EndpointSpec, HttpClient, Pool, RoundRobin, Upstream,
    gateway::{
        auth::{AuthLayer, Basic, Users},
        cache::CacheLayer,
        compression::{CompressionLayer, Encoding},
        limit::{Quota, RateLimitLayer},
        stack::Functions,
    },
    health::{Health, Schedule, probe::TcpProbe},
    proxy::{ReverseProxyLayer, server::Server},
};
use tokio::net::TcpListener;
use tower::Layer;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().context("the arguments are: LISTEN FUNCTION BACKEND...");
    let (listen, functions) = (next()?, functions(&next()?)?);
    let pool = Pool::new(RoundRobin::new());
    pool.try_update(arguments.map(EndpointSpec::new), |spec| Upstream::new(spec.address()))?;
    let schedule = Schedule::new().interval(Duration::from_secs(1));
    let health = Health::builder().check("tcp", schedule, TcpProbe::new()).build()?;
    let _checking = health.spawn(&pool);
    let listener = TcpListener::bind(listen).await?;
    let proxy = ReverseProxyLayer::new().own_responses(functions.own_responses());
    Server::new(proxy.layer(functions.layer(HttpClient::new(pool))?)).serve(listener).await;
    Ok(())
}

fn functions(function: &str) -> anyhow::Result<Functions> {
    let functions = Functions::new();
    Ok(match function.split_once('=') {
        None if function == "cache" => functions.cache(CacheLayer::new(100_000_000)?),
        None if function == "gzip" => functions.compress(CompressionLayer::new().encodings([Encoding::Gzip])?),
        None if function == "rate-limit" => {
            functions.rate_limit(RateLimitLayer::per_client(Quota::per_second(1_000_000).burst(1_000_000))?)
        }
        Some(("basic-auth", users)) => functions.authenticate(AuthLayer::new(Basic::new(users.parse::<Users>()?))),
        _ => bail!("{function} is not a function: use cache, gzip, rate-limit or basic-auth=USERS"),
    })
}
