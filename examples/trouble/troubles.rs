//! The troubles: how each is caused and cured, and what shows it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use clap::ValueEnum;
use equipoise::{affinity::source::PeerAddr, health::Outliers, proxy::tls::Certificate};
use http::{Request, header::COOKIE};
use rustls::{
    RootCertStore,
    client::{ClientConfig, Resumption},
};
use tokio_rustls::TlsConnector;

use crate::{
    backend::{Backend, Behaviour},
    balancer::{Balancer, Settings},
    load::{self, Answers, FORWARDED_FOR, Load, TENANT},
};

/// The time in which a server answers.
const WORK: Duration = Duration::from_millis(4);

/// A trouble of a balancer. Each has a section in `docs/troubleshooting.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Trouble {
    /// All traffic goes to the first server
    FirstServer,
    /// A backend answers 503
    #[value(name = "answers-503")]
    Answers503,
    /// Sessions are lost
    LostSessions,
    /// The balancer does not answer
    NoAnswer,
    /// High CPU on the balancer
    HighCpu,
    /// Uneven load
    UnevenLoad,
}

/// One or two balancers before some servers, and their clients.
pub(crate) struct Scene {
    pub(crate) balancers: Vec<Balancer>,
    pub(crate) load: Load,
    _backends: Vec<Backend>,
}

/// What shows whether there is a trouble.
pub(crate) struct Measure {
    /// What is measured.
    pub(crate) name: &'static str,
    pub(crate) value: f64,
}

impl Trouble {
    /// Returns the cause that is reproduced.
    pub(crate) const fn cause(self) -> &'static str {
        match self {
            Self::FirstServer => {
                "the key is the address of the client, but the connections come from a proxy that is not trusted"
            }
            Self::Answers503 => "c has lost its database, and nothing takes it out",
            Self::LostSessions => "two balancers sign their cookies with different secrets",
            Self::NoAnswer => "c accepts requests and never answers, and nothing limits the time of an attempt",
            Self::HighCpu => "the clients open a TLS connection for each request, and resume no session",
            Self::UnevenLoad => "the key is the customer, and most requests are of one customer",
        }
    }

    pub(crate) const fn cure(self) -> &'static str {
        match self {
            Self::FirstServer => "trust the proxy, so that the address of the client is read from X-Forwarded-For",
            Self::Answers503 => "eject endpoints after 3 gateway failures in a row",
            Self::LostSessions => "use the same secret on both balancers",
            Self::NoAnswer => "limit the time of an attempt, and eject endpoints after 3 connection failures in a row",
            Self::HighCpu => "let the clients keep their connections",
            Self::UnevenLoad => "limit the load of an endpoint to 1.25 times the mean",
        }
    }

    /// Returns the beginnings of the metrics to look at.
    pub(crate) const fn metrics(self) -> &'static [&'static str] {
        match self {
            Self::FirstServer | Self::UnevenLoad => &["equipoise_endpoint_attempts_total", "equipoise_endpoint_weight"],
            Self::Answers503 => {
                &["equipoise_endpoint_attempts_total", "equipoise_pool_unserved", "equipoise_pool_ejections_total"]
            }
            Self::LostSessions => &[
                "equipoise_pool_session_requests_total",
                "equipoise_pool_session_unbound_total",
                "equipoise_pool_session_moved_total",
            ],
            Self::NoAnswer => &[
                "equipoise_endpoint_in_flight",
                "equipoise_endpoint_attempts_total",
                "equipoise_listener_connections",
                "equipoise_pool_ejections_total",
            ],
            Self::HighCpu => &[
                "equipoise_listener_connections",
                "equipoise_listener_tls_handshakes",
                "equipoise_pool_attempts_total",
                "process_cpu_seconds_total",
            ],
        }
    }

    /// Starts the balancers and the servers, and says what the clients do.
    pub(crate) async fn scene(self, cured: bool) -> anyhow::Result<Scene> {
        use Behaviour::{Answers, Fails, Hangs};
        let outliers = Outliers::new().max_ejection_percent(50).base_ejection(Duration::from_secs(60));
        let load = Load::default();
        let (behaviours, settings, load) = match self {
            Self::FirstServer => {
                // The clients send X-Forwarded-For from loopback, as a proxy does.
                let affinity = if cured {
                    "source(trusted={loopback}, header=x-forwarded-for, by=hash)"
                } else {
                    "source(by=hash)"
                };
                let settings = Settings { affinity: Some(affinity), trusts_loopback: cured, ..Settings::new("maglev") };
                (vec![Answers(WORK); 3], vec![settings], Load { clients: 60, ..load })
            }
            Self::Answers503 => {
                let outliers = cured.then_some(outliers.consecutive_gateway_failures(3));
                let settings = Settings { outliers, ..Settings::new("round-robin") };
                (vec![Answers(WORK), Answers(WORK), Fails], vec![settings], load)
            }
            Self::LostSessions => {
                let settings = |secret| Settings {
                    affinity: Some("cookie(name=SRV, indirect, httponly)"),
                    secret: [secret; 32],
                    ..Settings::new("random")
                };
                let settings = vec![settings(1), settings(if cured { 1 } else { 2 })];
                (vec![Answers(WORK); 3], settings, Load { keeps_cookies: true, ..load })
            }
            Self::NoAnswer => {
                let timeout = Duration::from_millis(250);
                let settings = Settings {
                    outliers: cured.then_some(outliers.consecutive_connection_failures(3)),
                    attempt_timeout: cured.then_some(timeout),
                    max_connections: 8,
                    ..Settings::new("round-robin")
                };
                let patience = if cured { load.patience } else { Duration::from_secs(2) };
                // A connection without a request gives its place to the next one.
                let load = Load { patience, clients: 16, ..load };
                (vec![Answers(WORK), Answers(WORK), Hangs], vec![settings], load)
            }
            Self::HighCpu => {
                let (certificate, tls) = self_signed()?;
                let settings = Settings { certificate: Some(certificate), ..Settings::new("round-robin") };
                (vec![Answers(WORK); 3], vec![settings], Load { keeps_alive: cured, tls: Some(tls), ..load })
            }
            Self::UnevenLoad => {
                let affinity = Some("header(name=x-tenant, by=hash)");
                let strategy = if cured { "bounded-load(maglev)" } else { "maglev" };
                (
                    vec![Answers(WORK); 4],
                    vec![Settings { affinity, ..Settings::new(strategy) }],
                    Load { clients: 24, ..load },
                )
            }
        };
        let mut backends = Vec::new();
        for (name, behaviour) in ('a'..).zip(behaviours) {
            backends.push(Backend::start(name.to_string(), behaviour).await?);
        }
        let mut balancers = Vec::new();
        for settings in settings {
            balancers.push(Balancer::start(settings, &backends).await?);
        }
        Ok(Scene { balancers, load, _backends: backends })
    }

    /// Returns requests to explain, and the index of the balancer that explains them.
    pub(crate) fn questions(self, answers: &Answers) -> anyhow::Result<(usize, Vec<Request<()>>)> {
        let get = || {
            let mut request = Request::get("/");
            if let Some(extensions) = request.extensions_mut() {
                extensions.insert(PeerAddr(SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000))));
            }
            request
        };
        let header = |name, value: String| get().header(name, value).body(());
        Ok(match (self, &answers.cookie) {
            (Self::FirstServer, _) => {
                let clients = [0, 2].map(|client| header(FORWARDED_FOR, load::address(client).to_string()));
                (0, clients.into_iter().collect::<Result<_, _>>()?)
            }
            (Self::UnevenLoad, _) => {
                let tenants = [1, 0].map(|client| header(TENANT, load::tenant(client)));
                (0, tenants.into_iter().collect::<Result<_, _>>()?)
            }
            (Self::LostSessions, Some((cookie, next))) => (*next, vec![get().header(COOKIE, cookie).body(())?]),
            _ => (0, vec![get().body(())?]),
        })
    }

    /// Returns the number that shows the trouble.
    pub(crate) fn measure(self, scene: &Scene, answers: &Answers) -> Measure {
        let (name, value) = match self {
            Self::FirstServer | Self::UnevenLoad => {
                ("share of the server that gets most requests", answers.largest_share())
            }
            Self::Answers503 => {
                let failed = answers.counts.iter().filter(|((status, _), _)| *status == 503).map(|(_, count)| count);
                ("share of requests with a 503", answers.share(failed.sum()))
            }
            Self::LostSessions => ("times that a session moved, per request", answers.share(answers.moves)),
            Self::NoAnswer => {
                let clients = scene.load.clients as f64;
                ("share of clients that gave up waiting", answers.unanswered as f64 / clients)
            }
            Self::HighCpu => ("connections of clients, per request", answers.share(scene.accepted())),
        };
        Measure { name, value }
    }
}

impl Scene {
    /// Lets the clients send requests.
    pub(crate) async fn run(&self, requests: usize) -> anyhow::Result<Answers> {
        let balancers: Vec<_> = self.balancers.iter().map(|balancer| balancer.address).collect();
        self.load.run(&balancers, requests).await
    }

    /// Returns the number of connections that the balancers have accepted.
    fn accepted(&self) -> usize {
        let snapshots = self.balancers.iter().map(|balancer| balancer.monitor.snapshot());
        let readings = snapshots.flat_map(|snapshot| snapshot.listeners).flat_map(|listener| listener.readings);
        readings.filter(|reading| reading.name == "connections_accepted").map(|reading| reading.value as usize).sum()
    }
}

/// Creates a certificate for the balancer, and the side of its clients, which trust it and resume no sessions.
fn self_signed() -> anyhow::Result<(Certificate, TlsConnector)> {
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed([load::NAME.to_owned()])?;
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone())?;
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let config = config.with_safe_default_protocol_versions()?.with_root_certificates(roots);
    let mut config = config.with_no_client_auth();
    config.resumption = Resumption::disabled();
    let certificate = Certificate::from_pem(cert.pem(), signing_key.serialize_pem())?;
    Ok((certificate, TlsConnector::from(Arc::new(config))))
}
