//! Limits of rates and of requests in flight.

use std::{ops::Range, sync::Arc, time::Duration};

use equipoise::{
    SourcePrefix,
    affinity::source::ClientAddress,
    gateway::limit::{
        InFlightLayer, InvalidRateLimit, Limit, LimitFields, LimitKey, MissingKey, Quota, RateLimitLayer,
        RedisFallback, RedisLimits,
    },
    monitor::FunctionReadings,
};
use serde_json::{Value, json};
use toml::Spanned;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    chain::{Chain, Shared},
    filter::status,
    kept::Function,
    names::header_name,
    redis::{Server, ServerKeys},
    service::RoutePlace,
};
use crate::{
    client::client_address,
    config::{
        Fallback, InFlightTable, KeyTable, LimitHeaders, LimitTable, Missing, Placed, Rate, RateTable, RedisTable,
        Tables,
    },
    context::Context,
    source::{ConfigError, Source},
};

/// Where limits are: before the authentication, or after it if they count by the identity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Stage {
    BeforeAuthentication,
    AfterAuthentication,
}

/// The fields in which proxies tell the address of the client. Clients could write them.
const OF_PROXIES: [&str; 5] = ["x-forwarded-for", "forwarded", "x-real-ip", "true-client-ip", "cf-connecting-ip"];

/// The longest prefix in Redis. The place of the limits is added to it.
const MAX_PREFIX: usize = 128 - "0123456789abcdef:".len();

/// For how long requests are delayed by default.
const MAX_DELAY: Duration = Duration::from_secs(10);

/// The limits of a route before or after its authentication.
struct LimitFunction {
    rate: Option<RateLimitLayer>,
    in_flight: Option<InFlightLayer>,
}

/// Adds the limits of a stage.
pub(super) fn add(
    chain: &mut Chain,
    stage: Stage,
    tables: Tables<'_>,
    shared: &Shared<'_>,
    context: Context<'_>,
) -> Result<(), ConfigError> {
    let Some((placed, (table, span))) = tables.limit.and_then(|placed| Some((placed, placed.table()?))) else {
        return Ok(());
    };
    let source = context.source;
    let (rates, in_flight) = (of_stage(&table.rate, stage), of_stage(&table.in_flight, stage));
    if table.rate.is_empty() && table.in_flight.is_empty() {
        return Err(source.error(span, "limit limits nothing: add rate or in_flight"));
    }
    if rates.is_empty() && in_flight.is_empty() {
        return Ok(());
    }
    let is_optional = tables.auth.and_then(Placed::table).is_some_and(|(auth, _)| auth.optional);
    if let Some(span) = skips_anonymous(table).filter(|_| is_optional) {
        let message = "auth is optional, and nothing limits requests without an identity: add a limit by \"client\", or write \
                       missing = \"shared\" or \"deny\"";
        return Err(source.error(span, message));
    }
    let of_identities = rates.iter().map(|rate| &rate.get_ref().by);
    let of_identities = of_identities.chain(in_flight.iter().map(|limit| &limit.get_ref().by)).flatten().next();
    let is_authenticated = tables.auth.is_some_and(|auth| auth.table().is_some());
    if let (Some(by), Stage::AfterAuthentication, false) = (of_identities, stage, is_authenticated) {
        let (span, message) = match tables.auth {
            Some(none) => (
                none.setting.span(),
                "limit counts by the identity, which requests of this route do not have: \
                                                 give the route a limit of its own, or limit = false",
            ),
            None => (by.span(), "there is no identity without authentication: add auth, or count by something else"),
        };
        return Err(source.error(span, message));
    }
    let by_route = |by: &Option<Spanned<KeyTable>>| {
        by.as_ref().is_some_and(|by| by.get_ref().parts().iter().any(|part| part == "route"))
    };
    let mut bys = rates.iter().map(|rate| &rate.get_ref().by).chain(in_flight.iter().map(|limit| &limit.get_ref().by));
    if bys.any(by_route) {
        chain.place = Some(shared.place(tables.place));
    }
    let suffix = if stage == Stage::AfterAuthentication { " by identity" } else { "" };
    let of_function = format!("{} limit{suffix}", placed.place);
    let redis = |table: &Spanned<RedisTable>| {
        let RedisTable { url, url_file, ca_file, .. } = table.get_ref();
        let keys = ServerKeys { url: url.as_ref(), url_file: url_file.as_ref(), ca_file: ca_file.as_ref() };
        let server = Server::read(&keys, table.span(), source)?;
        Ok((server, prefix(table.get_ref(), shared.place(&of_function).as_str(), source)?))
    };
    let redis = table.redis.as_ref().map(redis).transpose()?;
    let key = (table.clone(), shared.errors_table.clone(), stage, redis.clone(), shared.head);
    let function = context.functions.keep_or_build(&of_function, key, || {
        if let Some(second) = in_flight.get(1) {
            let message =
                "in_flight has one limit before the authentication and one by the identity: leave this one out";
            return Err(source.error(second.span(), message));
        }
        let in_flight = in_flight.first().map(|limit| self::in_flight(limit, table, shared, source)).transpose()?;
        let redis = table.redis.as_ref().zip(redis).map(|(table, redis)| self::redis(table.get_ref(), redis));
        Ok(LimitFunction { rate: rate(&rates, (table, redis), shared, source)?, in_flight })
    })?;
    if let Some(layer) = function.in_flight.clone() {
        chain.add(|functions| match stage {
            Stage::BeforeAuthentication => functions.limit_in_flight(layer),
            Stage::AfterAuthentication => functions.limit_identities_in_flight(layer),
        });
    }
    if let Some(layer) = function.rate.clone() {
        chain.add(|functions| match stage {
            Stage::BeforeAuthentication => functions.rate_limit(layer),
            Stage::AfterAuthentication => functions.rate_limit_identities(layer),
        });
    }
    Ok(())
}

/// Returns the place of the first limit if each of them counts by the identity and skips requests without one.
fn skips_anonymous(table: &LimitTable) -> Option<Range<usize>> {
    let rates = table.rate.iter().map(|rate| (rate.span(), rate.get_ref().by(), rate.get_ref().missing));
    let in_flight = table.in_flight.iter().map(|limit| (limit.span(), limit.get_ref().by(), limit.get_ref().missing));
    let mut limits = rates.chain(in_flight);
    let skips = |by, missing| stage_of(by) == Stage::AfterAuthentication && missing == Missing::Skip;
    let (span, by, missing) = limits.next()?;
    Some(span).filter(|_| skips(by, missing) && limits.all(|(_, by, missing)| skips(by, missing)))
}

/// Returns the limits of a stage.
fn of_stage<T: HasKey>(limits: &[Spanned<T>], stage: Stage) -> Vec<&Spanned<T>> {
    limits.iter().filter(|limit| stage_of(limit.get_ref().by()) == stage).collect()
}

trait HasKey {
    fn by(&self) -> Option<&Spanned<KeyTable>>;
}

impl HasKey for RateTable {
    fn by(&self) -> Option<&Spanned<KeyTable>> {
        self.by.as_ref()
    }
}

impl HasKey for InFlightTable {
    fn by(&self) -> Option<&Spanned<KeyTable>> {
        self.by.as_ref()
    }
}

fn stage_of(by: Option<&Spanned<KeyTable>>) -> Stage {
    match by.is_some_and(|by| by.get_ref().parts().iter().any(|part| part == "identity")) {
        true => Stage::AfterAuthentication,
        false => Stage::BeforeAuthentication,
    }
}

fn rate(
    limits: &[&Spanned<RateTable>],
    (table, redis): (&LimitTable, Option<RedisLimits>),
    shared: &Shared<'_>,
    source: &Source,
) -> Result<Option<RateLimitLayer>, ConfigError> {
    let Some(first) = limits.first() else { return Ok(None) };
    let mut builder = RateLimitLayer::builder().errors(shared.errors.clone()).fields(match table.headers {
        LimitHeaders::Standard => LimitFields::Standard,
        LimitHeaders::Legacy => LimitFields::Legacy,
        LimitHeaders::Both => LimitFields::Both,
        LimitHeaders::None => LimitFields::None,
    });
    if let Some(status) = &table.status {
        builder = builder.status(self::status(status, "400 to 599", source)?);
    }
    for limit in limits {
        let built = self::limit(limit, shared.head, source)?;
        // Checked alone, so that the error has the line of this limit.
        let checked = RateLimitLayer::builder().limit(built.clone()).build();
        checked.map_err(|error| source.caused(limit.span(), &error))?;
        builder = builder.limit(built);
    }
    if let Some(redis) = redis {
        builder = builder.redis(redis);
    }
    builder.build().map(Some).map_err(|error| source.caused(span_of(&error, first, table), &error))
}

/// Returns the place of what the limits have refused together.
fn span_of(error: &InvalidRateLimit, first: &Spanned<RateTable>, table: &LimitTable) -> Range<usize> {
    match (error, &table.status, &table.redis) {
        (InvalidRateLimit::Setting(error), Some(status), _) if error.setting == "status" => status.span(),
        (InvalidRateLimit::Setting(_) | InvalidRateLimit::Url { .. }, _, Some(redis)) => redis.span(),
        _ => first.span(),
    }
}

/// Returns the prefix in Redis of the limits at a place: other limits with the same names must not share their buckets, also
/// those of requests without a key. The place is a hash in it, which is the same in all gateways.
fn prefix(table: &RedisTable, place: &str, source: &Source) -> Result<String, ConfigError> {
    let prefix = match &table.prefix {
        Some(prefix) if prefix.get_ref().len() > MAX_PREFIX => {
            return Err(source.error(prefix.span(), format_args!("prefix is too long: use at most {MAX_PREFIX} bytes")));
        }
        Some(prefix) => prefix.get_ref(),
        None => "equipoise:limit:",
    };
    Ok(format!("{prefix}{:016x}:", xxh3_64(place.as_bytes())))
}

fn redis(table: &RedisTable, (server, prefix): (Server, String)) -> RedisLimits {
    let tls = server.tls();
    let mut redis = RedisLimits::new(server.url).prefix(prefix).fallback(match table.fallback {
        Fallback::Local => RedisFallback::Local { gateways: table.gateways },
        Fallback::Allow => RedisFallback::Allow,
        Fallback::Deny => RedisFallback::Deny,
    });
    if let Some(tls) = tls {
        redis = redis.tls(Arc::clone(tls.config()));
    }
    if let Some(timeout) = &table.timeout {
        redis = redis.timeout(*timeout.get_ref());
    }
    redis
}

/// Creates a limit. `head` is the time in which a request needs a response.
fn limit(table: &Spanned<RateTable>, head: Duration, source: &Source) -> Result<Limit, ConfigError> {
    let RateTable { name, quota, burst, by, missing, delay_after, max_delay, max_keys, announce, dry_run } =
        table.get_ref();
    let (key, by) = key(by.as_ref(), table.span(), source)?;
    let Rate { units, period } = *quota;
    let quota = burst.iter().fold(Quota::new(units, period), |quota, burst| quota.burst(*burst));
    let name = name.clone().unwrap_or_else(|| by.join("-").replace([':', '/'], "-"));
    let mut limit = Limit::new(name, key, quota).missing(missing_key(*missing)).dry_run(*dry_run);
    if let Some(units) = delay_after {
        limit = limit.delay_after(*units).max_delay(self::max_delay(max_delay.as_ref(), head, source)?);
    } else if let Some(max) = max_delay {
        return Err(source.error(max.span(), "max_delay has no effect without delay_after: leave it out"));
    }
    if let Some(max) = max_keys {
        limit = limit.max_keys(*max);
    }
    Ok(announce.iter().fold(limit, |limit, announce| limit.announce(*announce)))
}

/// Returns for how long requests may be delayed. The proxy waits for `head` only, and then they would have failed in vain.
fn max_delay(max: Option<&Spanned<Duration>>, head: Duration, source: &Source) -> Result<Duration, ConfigError> {
    match max {
        None => Ok(MAX_DELAY.min(head / 2)),
        Some(max) if *max.get_ref() >= head => {
            let message = format!("max_delay must be shorter than the timeout head of the listener ({head:?})");
            Err(source.error(max.span(), message))
        }
        Some(max) => Ok(*max.get_ref()),
    }
}

fn in_flight(
    limit: &Spanned<InFlightTable>,
    table: &LimitTable,
    shared: &Shared<'_>,
    source: &Source,
) -> Result<InFlightLayer, ConfigError> {
    let InFlightTable { max, by, missing, retry_after } = limit.get_ref();
    let (key, _) = key(by.as_ref(), limit.span(), source)?;
    let mut builder = InFlightLayer::builder(key, *max).missing(missing_key(*missing)).errors(shared.errors.clone());
    if let Some(status) = &table.status {
        builder = builder.status(self::status(status, "400 to 599", source)?);
    }
    if let Some(after) = retry_after {
        builder = builder.retry_after(*after.get_ref());
    }
    builder.build().map_err(|error| source.caused(limit.span(), &error))
}

/// Returns the key by which requests are counted, and its parts as they are written.
fn key<'t>(
    by: Option<&'t Spanned<KeyTable>>,
    span: Range<usize>,
    source: &Source,
) -> Result<(LimitKey, &'t [String]), ConfigError> {
    const VALID: &str = "use \"client\", \"network:24/48\", \"header:NAME\", \"identity\", \"route\", or \"all\" for all requests \
                         together";
    let Some(by) = by else {
        return Err(source.error(span, format_args!("by is missing: say which requests share the limit; {VALID}")));
    };
    let client = || ClientAddress::connection().peer(client_address);
    let mut whole: Option<LimitKey> = None;
    for part in by.get_ref().parts() {
        let key = match part.split_once(':') {
            None => match part.as_str() {
                "client" => LimitKey::client(client()),
                "identity" => LimitKey::identity(),
                "route" => LimitKey::custom(|head| Some(head.extensions.get::<RoutePlace>()?.as_str().to_owned())),
                "all" => LimitKey::global(),
                _ => return Err(source.error(by.span(), format_args!("cannot count by {part:?}: {VALID}"))),
            },
            Some(("header", name)) if OF_PROXIES.iter().any(|field| field.eq_ignore_ascii_case(name)) => {
                let message = format!(
                    "clients can write {name}, and get a new quota with each value: count by \"client\", and name the \
                     proxies in front in trusted_proxies of the listener"
                );
                return Err(source.error(by.span(), message));
            }
            Some(("header", name)) => LimitKey::header(header_name(&Spanned::new(by.span(), name.to_owned()), source)?),
            Some(("network", bits)) => match network(bits) {
                Some(prefix) => LimitKey::network(client(), prefix),
                None => {
                    let message =
                        "write the first bits of addresses of IPv4 and IPv6 that count, such as \"network:24/48\"";
                    return Err(source.error(by.span(), message));
                }
            },
            Some(_) => return Err(source.error(by.span(), format_args!("cannot count by {part:?}: {VALID}"))),
        };
        whole = Some(match whole {
            Some(whole) => whole.and(key),
            None => key,
        });
    }
    match whole {
        Some(key) => Ok((key, by.get_ref().parts())),
        None => Err(source.error(by.span(), format_args!("by is empty: {VALID}"))),
    }
}

fn network(bits: &str) -> Option<SourcePrefix> {
    let (v4, v6) = bits.split_once('/')?;
    SourcePrefix::new(v4.parse().ok()?, v6.parse().ok()?).ok()
}

fn missing_key(missing: Missing) -> MissingKey {
    match missing {
        Missing::Shared => MissingKey::Shared,
        Missing::Skip => MissingKey::Skip,
        Missing::Deny => MissingKey::Deny,
    }
}

impl Function for LimitFunction {
    fn report(&self) -> Value {
        let rate = self.rate.iter().flat_map(RateLimitLayer::stats).map(|stats| {
            json!({
                "name": stats.name,
                "admitted": stats.admitted,
                "denied": stats.denied,
                "dry_run_denied": stats.dry_run_denied,
                "delayed": stats.delayed,
                "missing_key": stats.missing_key,
                "keys": stats.keys,
                "evicted": stats.evicted,
                "inherited": stats.inherited,
            })
        });
        let in_flight = self.in_flight.as_ref().map(InFlightLayer::stats).map(|stats| {
            json!({
                "admitted": stats.admitted,
                "denied": stats.denied,
                "missing_key": stats.missing_key,
                "in_flight": stats.in_flight,
                "keys": stats.keys,
            })
        });
        let redis = self.rate.as_ref().and_then(RateLimitLayer::redis_stats).map(|stats| {
            json!({
                "connected": stats.connected,
                "reason": stats.reason,
                "decisions": stats.decisions,
                "fallbacks": stats.fallbacks,
                "disconnected": stats.disconnected,
                "timeouts": stats.timeouts,
                "errors": stats.errors,
                "saturated": stats.saturated,
                "reconnects": stats.reconnects,
                "script_reloads": stats.script_reloads,
            })
        });
        json!({ "redis": redis, "rate": rate.collect::<Value>(), "in_flight": in_flight })
    }

    fn watch(&self, into: &mut FunctionReadings) {
        if let Some(rate) = &self.rate {
            into.rate_limits(&rate.stats());
            if let Some(redis) = rate.redis_stats() {
                into.rate_limit_redis(&redis);
            }
        }
        if let Some(in_flight) = &self.in_flight {
            into.in_flight(&in_flight.stats());
        }
    }
}
