//! equipoise's proxy for UDP on one thread, with default settings and round robin. Needs the feature `proxy-udp` of equipoise.
//! Its arguments are `LISTEN BACKEND...`.

use anyhow::{Context, ensure};
use equipoise::{
    EndpointSpec, Pool, RoundRobin,
    proxy::udp::{UdpListener, UdpProxy},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().context("the arguments are: LISTEN BACKEND...")?;
    let backends: Vec<_> = arguments.collect();
    ensure!(!backends.is_empty(), "at least one backend is needed");
    let listener = UdpListener::bind(listen.parse()?)?;
    let pool = Pool::new(RoundRobin::new());
    pool.update(backends.iter().map(EndpointSpec::new), |_| ())?;
    UdpProxy::new(pool).check_addresses()?.serve(listener).await?;
    Ok(())
}
