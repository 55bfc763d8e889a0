//! equipoise's reverse proxy on one thread, with default settings, round robin and health checks.

use std::time::Duration;

use equipoise::{
    EndpointSpec, HttpClient, Pool, RoundRobin, Upstream,
    health::{Health, Schedule, probe::TcpProbe},
    http::{Settings, Version},
    proxy::{ReverseProxy, server::Server},
};
use tokio::net::TcpListener;

#[path = "arguments.rs"]
mod arguments;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = arguments::Arguments::parse()?;
    let version = if arguments.to_http2 { Version::Http2 } else { Version::Http1 };
    let settings = Settings::new().version(version);
    let pool = Pool::new(RoundRobin::new());
    pool.try_update(arguments.backends.iter().map(EndpointSpec::new), |spec| {
        Upstream::with_settings(spec.address(), &settings)
    })?;
    let schedule = Schedule::new().interval(Duration::from_secs(1));
    let health = Health::builder().check("tcp", schedule, TcpProbe::new()).build()?;
    let _checking = health.spawn(&pool);
    let listener = TcpListener::bind(&arguments.listen).await?;
    Server::new(ReverseProxy::new(HttpClient::new(pool))).serve(listener).await;
    Ok(())
}
