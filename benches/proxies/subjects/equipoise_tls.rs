//! equipoise's reverse proxy with TLS on one thread, with default settings, round robin and health checks. The arguments
//! are `LISTEN PROVIDER CERTIFICATE KEY BACKEND...`. The provider of cryptography is `aws-lc-rs` or `ring`; the
//! certificate and its key are files in PEM. It needs the features `health`, `http`, `proxy-server` and `proxy-tls`.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use equipoise::{
    EndpointSpec, HttpClient, Pool, RoundRobin, Upstream,
    health::{Health, Schedule, probe::TcpProbe},
    proxy::{
        ReverseProxy,
        server::Server,
        tls::{Certificate, Tls, TlsSettings},
    },
};
use rustls::crypto::{aws_lc_rs, ring};
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().context("the arguments are: LISTEN PROVIDER CERTIFICATE KEY BACKEND...");
    let (listen, provider) = (next()?, next()?);
    let certificate = Certificate::from_files(next()?, next()?)?;
    let backends: Vec<_> = arguments.collect();
    ensure!(!backends.is_empty(), "at least one backend is needed");
    let provider = match provider.as_str() {
        "aws-lc-rs" => aws_lc_rs::default_provider(),
        "ring" => ring::default_provider(),
        other => bail!("{other} is not a provider: use aws-lc-rs or ring"),
    };
    let pool = Pool::new(RoundRobin::new());
    pool.try_update(backends.iter().map(EndpointSpec::new), |spec| Upstream::new(spec.address()))?;
    let schedule = Schedule::new().interval(Duration::from_secs(1));
    let health = Health::builder().check("tcp", schedule, TcpProbe::new()).build()?;
    let _checking = health.spawn(&pool);
    let settings = TlsSettings::new(certificate).crypto_provider(provider);
    let listener = Tls::with_settings(TcpListener::bind(&listen).await?, &settings)?;
    Server::new(ReverseProxy::new(HttpClient::new(pool))).serve(listener).await;
    Ok(())
}
