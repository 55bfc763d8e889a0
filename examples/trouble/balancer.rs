//! A balancer, and what its status page, its metrics and `explain` say.

use std::{fmt::Write, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use axum::Router;
use equipoise::{
    Balance, EndpointSpec, HttpClient, PickRequest, Pool, SeededEntropy, StrategySpec, Upstream,
    affinity::{
        Affinity, AffinityLayer, AffinitySpec,
        by_name::BuildContext,
        source::TrustedProxies,
        token::{KeyRing, TokenKey},
    },
    health::{Health, HealthGuard, Outliers},
    monitor::{
        Monitor, WatchedListener, WatchedPool,
        page::StatusPage,
        prometheus::{Exporter, Format},
        report::EndpointReport,
    },
    proxy::{
        ReverseProxyLayer,
        error::{ErrorResponses, ProxyStatus},
        headers::ForwardingFields,
        server::{Server, ServerLimits},
        tls::{Certificate, Tls, TlsAcceptor, TlsSettings},
    },
    tower::HttpProtocol,
};
use http::{HeaderName, Request};
use tokio::{net::TcpListener, task::JoinHandle};
use tower::{Layer, util::option_layer};

use crate::backend::Backend;

/// The header with the server that has answered.
pub(crate) const SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");

/// The seed of random choices, so that all runs are alike.
const SEED: u64 = 7;

/// The settings of a balancer.
pub(crate) struct Settings {
    /// The strategy, such as `maglev`.
    pub(crate) strategy: &'static str,
    /// The mode of session affinity, such as `cookie(name=SRV)`.
    pub(crate) affinity: Option<&'static str>,
    /// The secret of cookies, 32 bytes.
    pub(crate) secret: [u8; 32],
    /// Whether a proxy on loopback is trusted to report the addresses of clients.
    pub(crate) trusts_loopback: bool,
    /// Outlier detection. Without it, all endpoints stay up.
    pub(crate) outliers: Option<Outliers>,
    /// The maximum time of an attempt.
    pub(crate) attempt_timeout: Option<Duration>,
    /// The maximum number of connections of clients.
    pub(crate) max_connections: usize,
    /// The certificate for TLS with clients. Without it, the balancer uses plain HTTP.
    pub(crate) certificate: Option<Certificate>,
}

impl Settings {
    pub(crate) fn new(strategy: &'static str) -> Self {
        Self {
            strategy,
            affinity: None,
            secret: [1; 32],
            trusts_loopback: false,
            outliers: None,
            attempt_timeout: None,
            max_connections: 1_000,
            certificate: None,
        }
    }
}

/// A reverse proxy on loopback, which ends when it is dropped.
pub(crate) struct Balancer {
    pub(crate) address: SocketAddr,
    pub(crate) monitor: Monitor,
    pub(crate) pool: Pool<Upstream>,
    affinity: Option<Affinity>,
    exporter: Exporter,
    serving: JoinHandle<()>,
    _checking: HealthGuard,
}

impl Balancer {
    pub(crate) async fn start(settings: Settings, backends: &[Backend]) -> anyhow::Result<Self> {
        let strategy: StrategySpec = settings.strategy.parse()?;
        let health = settings.outliers.map_or_else(Health::builder, |outliers| Health::builder().outliers(outliers));
        let health = health.name("web").seed(SEED).build()?;
        let pool = match settings.outliers {
            Some(_) => Pool::builder(health.watch(strategy.build())),
            None => Pool::builder(strategy.build()),
        };
        let pool = pool.entropy(Arc::new(SeededEntropy::new(SEED))).latency_histograms(true).build();
        let checking = health.spawn(&pool);
        let specs = backends.iter().map(|it| EndpointSpec::new(it.address.to_string()).with_id(it.name.as_str()));
        pool.try_update(specs, |spec| Upstream::new(spec.address()))?;
        let affinity = match settings.affinity {
            Some(mode) => {
                let context = BuildContext::new().keys(KeyRing::new(TokenKey::new(1, settings.secret)?));
                Some(mode.parse::<AffinitySpec>()?.build(&pool, &context)?)
            }
            None => None,
        };

        let balance = Balance::with_protocol(pool.clone(), HttpProtocol::new().header(SERVED_BY));
        let balance = match settings.attempt_timeout {
            Some(timeout) => balance.attempt_timeout(timeout),
            None => balance,
        };
        let client = option_layer(affinity.clone().map(AffinityLayer::new)).layer(HttpClient::with_balance(balance));
        let trusted = if settings.trusts_loopback { TrustedProxies::loopback() } else { TrustedProxies::none() };
        let status = ProxyStatus::new("balancer").context("a valid name")?;
        let proxy = ReverseProxyLayer::new()
            .forwarding(ForwardingFields::behind(trusted))
            .errors(ErrorResponses::new().proxy_status(status))
            .layer(client);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = Server::with_limits(proxy, ServerLimits::new().max_connections(settings.max_connections));

        let monitor = Monitor::new();
        monitor.build_info("trouble", env!("CARGO_PKG_VERSION"));
        let watched = WatchedPool::new("web", &pool).health(&health);
        monitor.add_pool(match &affinity {
            Some(affinity) => watched.affinity(affinity),
            None => watched,
        });
        // The port differs in each run, so the name is fixed.
        let front = WatchedListener::new("front", "http").server(&server);
        let exporter = Exporter::new(&monitor).process(true);
        let serving = match settings.certificate {
            Some(certificate) => {
                let tls = TlsSettings::new(certificate).crypto_provider(rustls::crypto::ring::default_provider());
                let acceptor = TlsAcceptor::new(&tls)?;
                monitor.add_listener(front.tls(&acceptor));
                tokio::spawn(server.serve(Tls::with_acceptor(listener, acceptor)))
            }
            None => {
                monitor.add_listener(front);
                tokio::spawn(server.serve(listener))
            }
        };
        Ok(Self { address, monitor, pool, affinity, exporter, serving, _checking: checking })
    }

    /// Returns the routes of the status page and of the metrics.
    pub(crate) fn routes(&self) -> Router {
        StatusPage::new(&self.monitor).router().merge(self.exporter.router())
    }

    /// Returns the rows of the status page as text.
    pub(crate) fn rows(&self) -> String {
        let mut text = String::from("endpoint  state      weight  in flight  requests  errors  reason\n");
        for pool in self.monitor.snapshot().pools {
            for endpoint in &pool.endpoints {
                text += &row(endpoint);
            }
        }
        text
    }

    /// Returns the lines of the metrics whose names begin with one of these texts. Counts of 0 are left out.
    pub(crate) fn metrics(&self, names: &[&str]) -> anyhow::Result<String> {
        let text = self.exporter.text(Format::Prometheus)?;
        let shown = |line: &&str| names.iter().any(|name| line.starts_with(name)) && !line.ends_with(" 0");
        Ok(text.lines().filter(shown).flat_map(|line| [line, "\n"]).collect())
    }

    /// Returns the CPU time of the process so far in seconds, from the metrics. `None` if the system does not tell it.
    pub(crate) fn cpu_seconds(&self) -> Option<f64> {
        let text = self.exporter.text(Format::Prometheus).ok()?;
        text.lines().find_map(|line| line.strip_prefix("process_cpu_seconds_total ")?.parse().ok())
    }

    /// Explains to which endpoint a request would go.
    pub(crate) async fn explain(&self, request: &Request<()>) -> String {
        match &self.affinity {
            Some(affinity) => affinity.explain(request).await.to_string(),
            None => self.pool.explain(&PickRequest::new()).to_string(),
        }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn row(endpoint: &EndpointReport) -> String {
    let status = &endpoint.status;
    let failed: u64 =
        status.requests.by_outcome().iter().filter(|(outcome, _)| is_error(outcome)).map(|(_, n)| n).sum();
    let conditions = endpoint.health.iter().flat_map(|health| &health.conditions);
    let reason = conditions.map(|it| format!("{}: {}", it.source, it.reason)).collect::<Vec<_>>().join("; ");
    let mut row = String::new();
    let _ = write!(
        row,
        "{:<8}  {:<9}  {:>6}  {:>9}  {:>8}  {failed:>6}  {reason}",
        status.id.as_str(),
        status.availability.to_string(),
        status.weight,
        status.in_flight,
        status.requests.total,
    );
    row.trim_end().to_owned() + "\n"
}

/// Returns whether an outcome is an error of the endpoint.
fn is_error(outcome: &str) -> bool {
    outcome.starts_with("failure") || matches!(outcome, "overloaded" | "unavailable")
}
