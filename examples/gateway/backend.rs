//! One pool of the configuration: its endpoints with their connections, its health checks and its affinity, as one
//! service.

use std::{path::PathBuf, sync::Arc};

use equipoise::{
    Availability, Balance, HttpClient, Pool, SourcePrefix, StrategySpec, Upstream,
    affinity::{
        Affinity, AffinityLayer, AffinitySpec, WithAffinity,
        by_name::{BuildAffinityError, BuildContext},
        key::SessionKey,
        source::ClientAddress,
        token::{KeyRing, TokenKey},
    },
    health::{self, AdminState, Health, HealthGuard, probe::HttpProbe, probe::TcpProbe},
    strategy::AnyStrategy,
    tower::HttpProtocol,
};
use toml::Spanned;
use tower::Layer;

use crate::{
    affinity,
    client::client_address,
    config::{Check, PoolTable},
    source::{ConfigError, Source, causes},
};

/// The service of a pool, to which routes send requests.
pub(crate) type Balanced = WithAffinity<HttpClient>;

#[derive(Clone)]
pub(crate) struct Backend {
    table: PoolTable,
    pub(crate) pool: Pool<Upstream>,
    pub(crate) health: Health,
    pub(crate) affinity: Affinity,
    pub(crate) key: Option<SessionKey>,
    pub(crate) service: Balanced,
    /// `None` until the pool is used.
    checking: Option<Arc<HealthGuard>>,
}

impl Backend {
    /// Creates a pool. Its health checks do not run yet.
    pub(crate) fn new(
        table: &Spanned<PoolTable>,
        secrets: &BuildContext,
        source: &Source,
    ) -> Result<Self, ConfigError> {
        let span = table.span();
        let table = table.get_ref().clone();
        let spec = strategy(&table, source)?;
        let health = health(&table, source)?;
        let pool = Pool::new(match table.outlier {
            Some(_) => AnyStrategy::new(health.watch(spec.build())),
            None => spec.build(),
        });
        set_endpoints(&pool, &table, source)?;
        let affinity_spec = affinity_spec(&table, source)?;
        let key = hash_key(&table, source)?;
        let is_keyed = key.is_some() || affinity_spec.to_string().contains("by=hash");
        match &table.hash_on {
            Some(hash_on) if !pool.places_by_key() => {
                let message =
                    format!("hash_on has no effect with the strategy {spec}: use one with keys, such as maglev");
                return Err(source.error(hash_on.span(), message));
            }
            None if pool.places_by_key() && !is_keyed => {
                let message = format!("the strategy {spec} needs keys: add hash_on, such as hash_on = \"source\"");
                return Err(source.error(table.strategy.as_ref().map_or(span, Spanned::span), message));
            }
            _ => {}
        }
        let affinity = affinity(&affinity_spec, &pool, &table, secrets, source)?;
        let service = service(&pool, &affinity, key.clone());
        Ok(Self { table, pool, health, affinity, key, service, checking: None })
    }

    /// Returns this pool with the settings of another one, or `None` if it cannot have them, because a strategy or
    /// checks cannot change. A session table stays as long as its affinity. The running pool changes only in
    /// `set_endpoints`.
    pub(crate) fn with_settings_of(
        &self,
        new: &Self,
        secrets: &BuildContext,
        source: &Source,
    ) -> Result<Option<Self>, ConfigError> {
        if !self.table.can_become(&new.table) {
            return Ok(None);
        }
        let (pool, table) = (&self.pool, new.table.clone());
        let affinity = match self.table.affinity == table.affinity {
            true => self.affinity.clone(),
            false => affinity(&affinity_spec(&table, source)?, pool, &table, secrets, source)?,
        };
        let service = service(pool, &affinity, new.key.clone());
        Ok(Some(Self { table, affinity, key: new.key.clone(), service, ..self.clone() }))
    }

    /// Gives the pool the endpoints of its settings. Endpoints that stay keep their state, their connections and their
    /// requests.
    pub(crate) fn set_endpoints(&self, source: &Source) -> Result<(), ConfigError> {
        set_endpoints(&self.pool, &self.table, source)
    }

    /// Takes over the administrative states of endpoints from a pool that this one replaces.
    pub(crate) fn take_admin_states(&self, old: &Self) {
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
    }

    /// Starts the health checks, unless they run.
    pub(crate) fn start(&mut self) {
        self.checking.get_or_insert_with(|| Arc::new(self.health.spawn(&self.pool)));
    }
}

/// Returns what affinities are built from: the address of the client, as its listener has found it, and the secret that
/// signs the values of cookies.
pub(crate) fn secrets(file: Option<&Spanned<PathBuf>>, source: &Source) -> Result<BuildContext, ConfigError> {
    let context = BuildContext::new().peer(client_address);
    let Some(file) = file else { return Ok(context) };
    let wrong = |error: &dyn std::error::Error| {
        source.error(file.span(), format_args!("{}: {}", file.get_ref().display(), causes(error)))
    };
    let secret = std::fs::read(file.get_ref()).map_err(|error| wrong(&error))?;
    let key = TokenKey::new(1, secret.trim_ascii()).map_err(|error| wrong(&error))?;
    Ok(context.keys(KeyRing::new(key)))
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

fn health(table: &PoolTable, source: &Source) -> Result<Health, ConfigError> {
    let mut builder = Health::builder();
    if let Some(outliers) = table.outlier {
        builder = builder.outliers(outliers);
    }
    let Some(checks) = &table.health else {
        return builder.build().map_err(|error| source.caused(0..0, &error));
    };
    let (span, checks) = (checks.span(), checks.get_ref());
    let builder = match (checks.check, &checks.path) {
        (Check::Http, path) => {
            let probe = HttpProbe::new(path.as_deref().unwrap_or("/"));
            builder.check("http", checks.schedule, probe.map_err(|error| source.caused(span.clone(), &error))?)
        }
        (Check::Tcp, None) => builder.check("tcp", checks.schedule, TcpProbe::new()),
        (Check::Tcp, Some(_)) => {
            return Err(source.error(span, "path has no effect with check = \"tcp\": use check = \"http\""));
        }
    };
    builder.build().map_err(|error| source.caused(span, &error))
}

fn set_endpoints(pool: &Pool<Upstream>, table: &PoolTable, source: &Source) -> Result<(), ConfigError> {
    let endpoints = &table.endpoints;
    if endpoints.get_ref().is_empty() {
        return Err(source.error(endpoints.span(), "a pool needs at least one endpoint"));
    }
    for endpoint in endpoints.get_ref() {
        Upstream::new(&endpoint.get_ref().address).map_err(|error| source.caused(endpoint.span(), &error))?;
    }
    let specs = endpoints.get_ref().iter().map(|endpoint| endpoint.get_ref().spec());
    let update = pool.try_update(specs, |spec| Upstream::new(spec.address()));
    update.map(drop).map_err(|error| source.caused(endpoints.span(), &error))
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
        error => source.caused(span, &error),
    })
}

/// Returns the part of requests that decides their endpoint under a strategy with keys.
fn hash_key(table: &PoolTable, source: &Source) -> Result<Option<SessionKey>, ConfigError> {
    let Some(hash_on) = &table.hash_on else { return Ok(None) };
    let key = match hash_on.get_ref().split_once(':') {
        None if hash_on.get_ref() == "source" => {
            Ok(SessionKey::source(ClientAddress::connection().peer(client_address), SourcePrefix::default()))
        }
        None if hash_on.get_ref() == "path" => Ok(SessionKey::path()),
        Some(("header", name)) => SessionKey::header(name),
        Some(("cookie", name)) => SessionKey::cookie(name),
        Some(("query", name)) => SessionKey::query_parameter(name),
        _ => {
            let valid = "use \"source\", \"header:NAME\", \"cookie:NAME\", \"query:NAME\" or \"path\"";
            return Err(source.error(hash_on.span(), format_args!("cannot hash on {:?}: {valid}", hash_on.get_ref())));
        }
    };
    key.map(Some).map_err(|error| source.caused(hash_on.span(), &error))
}

fn service(pool: &Pool<Upstream>, affinity: &Affinity, key: Option<SessionKey>) -> Balanced {
    let protocol = HttpProtocol::new();
    let protocol = match key {
        Some(key) => protocol.key(move |head| key.of(head).found()),
        None => protocol,
    };
    let client = HttpClient::with_balance(Balance::with_protocol(pool.clone(), protocol));
    AffinityLayer::new(affinity.clone()).layer(client)
}
