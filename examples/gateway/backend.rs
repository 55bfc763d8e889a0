//! One pool of the configuration: its endpoints with their connections, its health checks and its affinity, as one
//! service.

use std::{collections::BTreeMap, convert::Infallible, error::Error, sync::Arc};

use equipoise::{
    Availability, EndpointSpec, Pool, SourcePrefix, StrategySpec, TryUpdateError, Upstream,
    affinity::{
        Affinity, AffinityLayer, AffinitySpec, WithAffinity,
        by_name::{BuildAffinityError, BuildContext},
        key::SessionKey,
        source::ClientAddress,
    },
    health::{self, AdminState, Health, HealthGuard, probe::HttpProbe, probe::TcpProbe},
    http::ResponseBody,
    strategy::AnyStrategy,
    tower::{HttpProtocol, LeasedBody},
};
use toml::Spanned;
use tower::Layer;

use crate::{
    affinity,
    attempts::Attempts,
    client::client_address,
    config::{Check, PoolTable},
    connections::Connections,
    secrets::Secrets,
    source::{ConfigError, Source},
};

/// The service of a pool, to which routes send requests.
pub(crate) type Balanced = WithAffinity<Attempts>;

/// The body of a response of a pool.
pub(crate) type RoutedBody = LeasedBody<ResponseBody>;

/// What decides the endpoint under a strategy with keys.
#[derive(Clone)]
pub(crate) enum HashOn {
    /// The address of the client.
    Source,
    /// The name of the server that the client asks for.
    ServerName,
    /// A part of requests.
    Request(SessionKey),
}

impl HashOn {
    /// Returns the part of requests that decides.
    pub(crate) fn of_requests(&self) -> Option<SessionKey> {
        match self {
            Self::Source => {
                Some(SessionKey::source(ClientAddress::connection().peer(client_address), SourcePrefix::default()))
            }
            Self::ServerName => None,
            Self::Request(key) => Some(key.clone()),
        }
    }
}

#[derive(Clone)]
pub(crate) struct Backend {
    pub(crate) table: PoolTable,
    strategy: StrategySpec,
    pub(crate) connections: Connections,
    affinity_spec: AffinitySpec,
    pub(crate) pool: Pool<Upstream>,
    pub(crate) health: Health,
    pub(crate) affinity: Affinity,
    /// Whether there were secrets when the affinity was checked.
    signs: bool,
    /// What decides the endpoint, if the strategy has keys.
    pub(crate) hash_on: Option<HashOn>,
    pub(crate) service: Balanced,
    /// `None` until the pool is used.
    checking: Option<Arc<HealthGuard>>,
    /// The health checks of a configuration that is not applied yet.
    new_checks: Option<Health>,
    /// Whether the endpoints get new connections when the configuration is applied.
    reconnects: bool,
}

impl Backend {
    /// Creates a pool, or returns `old` with these settings if it can get them while it runs. A session table stays as
    /// long as its affinity. The running pool changes only in `apply`. Until then, new health checks do not run.
    pub(crate) fn new(
        (name, table): (&str, &Spanned<PoolTable>),
        old: Option<&Self>,
        secrets: &Secrets,
        source: &Source,
    ) -> Result<Self, ConfigError> {
        let span = table.span();
        let table = table.get_ref().clone();
        let strategy = strategy(&table, source)?;
        let connections = Connections::new(&table, source)?;
        let health = health(name, &table, &connections, source)?;
        let pool = Pool::builder(match table.outlier {
            Some(_) => AnyStrategy::new(health.watch(strategy.build())),
            None => strategy.build(),
        });
        let pool = pool.latency_histograms(true).build();
        set_endpoints(&pool, &table, |spec, _| connections.upstream(spec).map(Some), source)?;
        let affinity_spec = affinity_spec(&table, source)?;
        let hash_on = hash_on(&table, source)?;
        match &table.hash_on {
            Some(hash_on) if !pool.places_by_key() => {
                let message =
                    format!("hash_on has no effect with the strategy {strategy}: use one with keys, such as maglev");
                return Err(source.error(hash_on.span(), message));
            }
            None if pool.places_by_key() && !affinity_spec.places_by_key() => {
                let message = format!("the strategy {strategy} needs keys: add hash_on, such as hash_on = \"source\"");
                return Err(source.error(table.strategy.as_ref().map_or(span, Spanned::span), message));
            }
            _ => {}
        }
        let old = old.filter(|old| old.why_not(&strategy, &table).is_none());
        let pool = old.map_or(pool, |old| old.pool.clone());
        let same = old.filter(|old| old.affinity_spec == affinity_spec);
        let affinity = match same.filter(|old| secrets.sign || !old.signs) {
            Some(old) => old.affinity.clone(),
            None => {
                // Built also if only the secrets have left, to find out whether the affinity needs them.
                let built = affinity(&affinity_spec, &pool, &table, &secrets.context, source)?;
                same.map_or(built, |old| old.affinity.clone())
            }
        };
        let signs = secrets.sign;
        let service = service(&pool, &table, &affinity, hash_on.as_ref().and_then(HashOn::of_requests));
        if let Some(old) = old {
            let reconnects = old.connections != connections;
            let new_checks = (reconnects || old.table.health != table.health).then_some(health);
            let old = old.clone();
            return Ok(Self {
                table,
                connections,
                affinity_spec,
                affinity,
                signs,
                hash_on,
                service,
                new_checks,
                reconnects,
                ..old
            });
        }
        Ok(Self {
            table,
            strategy,
            connections,
            affinity_spec,
            pool,
            health,
            affinity,
            signs,
            hash_on,
            service,
            checking: None,
            new_checks: None,
            reconnects: false,
        })
    }

    /// Returns which of these settings this pool cannot get while it runs. A pool keeps its strategy, because each
    /// strategy has its own state of each endpoint. Outlier detection is a part of this state.
    fn why_not(&self, strategy: &StrategySpec, table: &PoolTable) -> Option<&'static str> {
        match () {
            () if self.strategy != *strategy && self.table.strategy == table.strategy => Some("slow_start"),
            () if self.strategy != *strategy => Some("strategy"),
            () if self.table.outlier != table.outlier => Some("outlier"),
            () => None,
        }
    }

    /// Returns what a pool loses that this one replaces, and why. `None` if it loses nothing.
    pub(crate) fn loss(&self, old: &Self) -> Option<String> {
        if let Some(setting) = old.why_not(&self.strategy, &self.table) {
            return Some(format!(
                "was built anew, because its {setting} has changed: the counters, the health and the latencies of its \
                 endpoints begin again, and its session tables are empty"
            ));
        }
        let loses_sessions = old.table.affinity.is_some() && old.affinity_spec != self.affinity_spec;
        loses_sessions.then(|| {
            "has other sessions now, because its affinity has changed: its session tables are empty".to_owned()
        })
    }

    /// Returns whether this pool is `old` with other settings.
    pub(crate) fn continues(&self, old: &Self) -> bool {
        old.why_not(&self.strategy, &self.table).is_none()
    }

    /// Gives the pool the endpoints and the health checks of its settings, and starts the checks. Endpoints that stay
    /// keep their state and their requests, and their connections unless these have other settings now.
    pub(crate) fn apply(&mut self, source: &Source) -> Result<(), ConfigError> {
        if let Some(new) = self.new_checks.take() {
            self.health.replace_checks(&new);
        }
        self.checking.get_or_insert_with(|| Arc::new(self.health.spawn(&self.pool)));
        let (connections, reconnects) = (&self.connections, std::mem::take(&mut self.reconnects));
        let make = |spec: &EndpointSpec, present: Option<&Upstream>| match present {
            Some(_) if !reconnects => Ok(None),
            _ => connections.upstream(spec).map(Some),
        };
        set_endpoints(&self.pool, &self.table, make, source)
    }

    /// Takes over the connections to endpoints, and their administrative states, from a pool that this one replaces.
    pub(crate) fn take_over(&self, old: &Self, source: &Source) -> Result<(), ConfigError> {
        if self.connections == old.connections {
            let of_old: BTreeMap<_, _> =
                old.pool.endpoints().into_iter().map(|status| (status.id, status.address)).collect();
            let stays = |spec: &EndpointSpec| of_old.get(spec.id()).is_some_and(|address| **address == *spec.address());
            let take = |spec: &EndpointSpec, _: Option<&Upstream>| {
                Ok::<_, Infallible>(if stays(spec) { old.pool.target(spec.id()) } else { None })
            };
            set_endpoints(&self.pool, &self.table, take, source)?;
        }
        for status in old.health.statuses() {
            let admin = status.conditions.iter().find(|condition| condition.source == health::Source::Operator);
            match admin.map(|condition| condition.availability) {
                Some(Availability::Draining) => {
                    self.health.set_admin_state(status.id, AdminState::Drain { deadline: None });
                }
                Some(_) => self.health.set_admin_state(status.id, AdminState::Maintenance),
                None => {}
            }
        }
        Ok(())
    }
}

fn strategy(table: &PoolTable, source: &Source) -> Result<StrategySpec, ConfigError> {
    let (text, span) = match &table.strategy {
        Some(strategy) => (strategy.get_ref().as_str(), strategy.span()),
        None => ("log-ewma", 0..0),
    };
    let spec: StrategySpec = text.parse().map_err(|error| source.caused(span, &error))?;
    match &table.slow_start {
        None => Ok(spec),
        Some(window) => {
            let text = format!("slow-start({spec}, window={})", window.get_ref());
            text.parse().map_err(|_| {
                let message = format!("{:?} is not a duration: write slow_start = \"10s\"", window.get_ref());
                source.error(window.span(), message)
            })
        }
    }
}

fn health(name: &str, table: &PoolTable, connections: &Connections, source: &Source) -> Result<Health, ConfigError> {
    let mut builder = Health::builder().name(name);
    if let Some(outliers) = table.outlier {
        builder = builder.outliers(outliers);
    }
    let Some(checks) = &table.health else {
        return builder.build().map_err(|error| source.caused(0..0, &error));
    };
    let (span, checks) = (checks.span(), checks.get_ref());
    let addresses = || table.endpoints.get_ref().iter().map(|endpoint| endpoint.get_ref().address.get_ref());
    if let Some(socket) = addresses().find(|address| address.starts_with(['/', '.']) || address.starts_with("unix:")) {
        let message = "health checks cannot reach a Unix socket: leave out health, or use another address";
        return Err(source.error(span, format_args!("{message} than {socket:?}")));
    }
    if checks.check == Check::Http && checks.port.is_none() && table.proxy_version().is_some() {
        let message = "checks by HTTP send no header of the PROXY protocol: use check = \"tcp\", or give them a port of \
                       their own";
        return Err(source.error(span, message));
    }
    let schedule = checks.port.map_or(checks.schedule, |port| checks.schedule.port(port));
    let builder = match (checks.check, &checks.path) {
        (Check::Http, path) => {
            let probe = HttpProbe::new(path.as_deref().unwrap_or("/"));
            let probe = probe.map_err(|error| source.caused(span.clone(), &error))?;
            builder.check("http", schedule, connections.probe(probe))
        }
        (Check::Tcp, None) => builder.check("tcp", schedule, TcpProbe::new()),
        (Check::Tcp, Some(_)) => {
            return Err(source.error(span, "path has no effect with check = \"tcp\": use check = \"http\""));
        }
    };
    builder.build().map_err(|error| source.caused(span, &error))
}

/// Gives a pool the endpoints of its table. `make` returns the connections to an endpoint, or `None` to keep those that
/// it has.
fn set_endpoints<E: Error + 'static>(
    pool: &Pool<Upstream>,
    table: &PoolTable,
    make: impl FnMut(&EndpointSpec, Option<&Upstream>) -> Result<Option<Upstream>, E>,
    source: &Source,
) -> Result<(), ConfigError> {
    let endpoints = &table.endpoints;
    if endpoints.get_ref().is_empty() {
        return Err(source.error(endpoints.span(), "a pool needs at least one endpoint"));
    }
    for endpoint in endpoints.get_ref() {
        let address = &endpoint.get_ref().address;
        Upstream::new(address.get_ref()).map_err(|error| source.caused(address.span(), &error))?;
    }
    let specs = endpoints.get_ref().iter().map(|endpoint| endpoint.get_ref().spec());
    let update = pool.try_update_with(specs, make);
    update.map(drop).map_err(|error| {
        let span = if let TryUpdateError::Update(error) = &error { table.span_of(error) } else { endpoints.span() };
        source.caused(span, &error)
    })
}

fn affinity_spec(table: &PoolTable, source: &Source) -> Result<AffinitySpec, ConfigError> {
    let Some(affinity) = &table.affinity else { return Ok(AffinitySpec::default()) };
    affinity::spec(affinity.get_ref()).map_err(|message| source.error(affinity.span(), message))
}

fn affinity(
    spec: &AffinitySpec,
    pool: &Pool<Upstream>,
    table: &PoolTable,
    secrets: &BuildContext,
    source: &Source,
) -> Result<Affinity, ConfigError> {
    let span = table.affinity.as_ref().map(Spanned::span).unwrap_or_default();
    spec.build(pool, secrets).map_err(|error| match error {
        BuildAffinityError::NoKeys { mode } => {
            source.error(span, format_args!("{mode} needs a secret for its tokens: set secret_file, or values=id"))
        }
        BuildAffinityError::NoDynamicKey { .. } => {
            source.error(span, "the gateway has no key for values=dynamic: use values=id, or values=token")
        }
        BuildAffinityError::NoStore { .. } => {
            source.error(span, "the gateway has no store for by=store: use by=table, or by=redis with a url")
        }
        error => source.caused(span, &error),
    })
}

fn hash_on(table: &PoolTable, source: &Source) -> Result<Option<HashOn>, ConfigError> {
    let Some(hash_on) = &table.hash_on else { return Ok(None) };
    let key = match hash_on.get_ref().split_once(':') {
        None if hash_on.get_ref() == "source" => return Ok(Some(HashOn::Source)),
        None if hash_on.get_ref() == "server-name" => return Ok(Some(HashOn::ServerName)),
        None if hash_on.get_ref() == "path" => Ok(SessionKey::path()),
        Some(("header", name)) => SessionKey::header(name),
        Some(("cookie", name)) => SessionKey::cookie(name),
        Some(("query", name)) => SessionKey::query_parameter(name),
        _ => {
            let valid = "use \"source\", \"server-name\", \"header:NAME\", \"cookie:NAME\", \"query:NAME\" or \"path\"";
            return Err(source.error(hash_on.span(), format_args!("cannot hash on {:?}: {valid}", hash_on.get_ref())));
        }
    };
    key.map(|key| Some(HashOn::Request(key))).map_err(|error| source.caused(hash_on.span(), &error))
}

fn service(pool: &Pool<Upstream>, table: &PoolTable, affinity: &Affinity, key: Option<SessionKey>) -> Balanced {
    let protocol = HttpProtocol::new();
    let protocol = match key {
        Some(key) => protocol.key(move |head| key.of(head).found()),
        None => protocol,
    };
    AffinityLayer::new(affinity.clone()).layer(Attempts::new(pool, protocol, table.timeouts.attempt()))
}
