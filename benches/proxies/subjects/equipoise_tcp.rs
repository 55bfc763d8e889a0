//! equipoise's TCP proxy on one thread, with default settings, round robin and health checks. The arguments are
//! `LISTEN MODE BACKEND...`. `MODE` is `copy`, or `splice` to let large flows pass inside the kernel. Needs the features
//! `health`, `proxy-tcp` and `proxy-splice` of `equipoise`.

use std::time::Duration;

use anyhow::{Context, bail};
use equipoise::{
    EndpointSpec, Pool, RoundRobin,
    health::{Health, Schedule, probe::TcpProbe},
    proxy::tcp::{TcpProxy, TcpSettings},
};
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().context("the arguments are: LISTEN MODE BACKEND...")?;
    let splice = match arguments.next().as_deref() {
        Some("copy") => false,
        Some("splice") => true,
        _ => bail!("the mode is copy or splice"),
    };
    let listener = TcpListener::bind(&listen).await?;
    let pool = Pool::new(RoundRobin::new());
    pool.update(arguments.map(EndpointSpec::new), |_| ())?;
    let schedule = Schedule::new().interval(Duration::from_secs(1));
    let health = Health::builder().check("tcp", schedule, TcpProbe::new()).build()?;
    let _checking = health.spawn(&pool);
    TcpProxy::with_settings(pool, TcpSettings::new().splice(splice)).serve(listener).await;
    Ok(())
}
