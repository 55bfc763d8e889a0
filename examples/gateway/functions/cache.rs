//! Caches.

use std::sync::Arc;

use equipoise::{
    gateway::cache::{CacheLayer, KeyPolicy, PurgeError, SetCookie},
    monitor::FunctionReadings,
    spec::most_similar,
};
use serde_json::{Map, Value, json};
use toml::Spanned;

use super::{
    chain::{Chain, Shared},
    kept::{Function, Functions},
    names::header_name,
    stores::{CacheStore, CacheStores},
};
use crate::{
    config::{CacheKeyTable, CacheTable, Placed, QueryKey, SetCookieTable, StatusName, Tables},
    context::Context,
    source::{ConfigError, Source},
};

/// The cache of a route.
struct CacheFunction {
    store: String,
    layer: CacheLayer,
}

/// What a purge removes.
pub(crate) enum Purged<'p> {
    Url(&'p str),
    Prefix(&'p str),
    Tag(&'p str),
    All,
}

/// Adds the cache of a route. Requests of other routes never get its responses, nor do those for other pools.
pub(super) fn add(
    chain: &mut Chain,
    (tables, pool): (Tables<'_>, Option<&str>),
    shared: &Shared<'_>,
    context: Context<'_>,
) -> Result<(), ConfigError> {
    let Some((table, span)) = tables.cache.and_then(Placed::table) else { return Ok(()) };
    let source = context.source;
    let has_identities = tables.auth.is_some_and(|auth| auth.table().is_some());
    match &table.shared {
        Some(shared) if table.key.identity => {
            return Err(source.error(shared.span(), "shared has no effect with key.identity: leave one of them out"));
        }
        Some(shared) if *shared.get_ref() => {}
        _ if has_identities && !table.key.identity => {
            let message = "the requests of this route have identities, and one could get the response to another: write \
                           key = { identity = true }, or shared = true if all identities may get the same responses";
            return Err(source.error(span, message));
        }
        _ if table.key.identity && !has_identities => {
            let message = match tables.auth {
                None => "key.identity has no effect without authentication: add auth, or leave it out".to_owned(),
                Some(_) => format!(
                    "key.identity has no effect for {}, which has auth = \"none\": write cache = false there, or a table without it",
                    tables.place
                ),
            };
            return Err(source.error(span, message));
        }
        _ => {}
    }
    let (name, store) = match &table.store {
        Some(name) => match context.stores.get_key_value(name.get_ref()) {
            Some(store) => store,
            None => return Err(source.error(name.span(), unknown(name.get_ref(), context.stores))),
        },
        None => match (context.stores.first_key_value(), context.stores.len()) {
            (Some(store), 1) => store,
            (None, _) => {
                let message =
                    "there is no store for the cache: add one, such as [cache.main] with max_bytes = 100000000";
                return Err(source.error(span, message));
            }
            _ => return Err(source.error(span, "there are several stores: name one, such as store = \"main\"")),
        },
    };
    // Routes can differ in conditions that are not a part of the URL, so each has its own responses. So has each pool:
    // after a switch, nobody gets responses of the old one.
    let (pool, place) = (pool.unwrap_or_default(), shared.place(tables.place));
    let place = format!("{} {pool:?}", place.as_str());
    let key = (table.clone(), shared.errors_table.clone(), name.clone(), Identical(Arc::clone(store)), place.clone());
    let of_function = match tables.is_split {
        false => format!("{} cache", tables.place),
        true => format!("{} cache of {pool}", tables.place),
    };
    let function = context.functions.keep_or_build(&of_function, key, || {
        let layer = layer(table, (store, &place), shared, source)?;
        Ok(CacheFunction { store: name.clone(), layer })
    })?;
    let is_shared = table.shared.as_ref().is_some_and(|shared| *shared.get_ref());
    chain.add(|functions| {
        let functions = functions.cache(function.layer.clone());
        if is_shared { functions.share_cache_between_identities() } else { functions }
    });
    Ok(())
}

/// A store that is equal only to itself.
struct Identical(Arc<CacheStore>);

impl PartialEq for Identical {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

fn layer(
    table: &CacheTable,
    (store, place): (&CacheStore, &str),
    shared: &Shared<'_>,
    source: &Source,
) -> Result<CacheLayer, ConfigError> {
    let mut builder = CacheLayer::with_shared_store(&store.store)
        .key(key(&table.key, place, source)?)
        .max_entry_bytes(table.max_entry_bytes.unwrap_or(store.max_entry_bytes))
        .errors(shared.errors.clone())
        .strip_tags(table.strip_tags)
        .status_key(table.status_key);
    if let Some(time) = table.max_wait {
        builder = builder.max_wait(time);
    }
    if let Some(time) = &table.fetch_timeout {
        builder = builder.fetch_timeout(*time.get_ref());
    }
    if let Some(time) = &table.fetch_idle_timeout {
        builder = builder.fetch_idle_timeout(*time.get_ref());
    }
    if let Some(time) = table.remember_uncacheable {
        builder = builder.remember_uncacheable(time);
    }
    if let Some(obey) = table.obey_requests {
        builder = builder.obey_requests(obey);
    }
    if let Some(heuristic) = &table.heuristic {
        builder = builder.heuristic(heuristic.get_ref().part, heuristic.get_ref().max);
    }
    if let Some(time) = &table.stale_while_revalidate {
        builder = builder.stale_while_revalidate(*time.get_ref());
    }
    if let Some(time) = &table.stale_if_error {
        builder = builder.stale_if_error(*time.get_ref());
    }
    if let Some(time) = &table.max_stale {
        builder = builder.max_stale(*time.get_ref());
    }
    if let Some(time) = &table.keep_stale {
        builder = builder.keep_stale(*time.get_ref());
    }
    if let Some(set_cookie) = table.set_cookie {
        builder = builder.set_cookie(match set_cookie {
            SetCookieTable::Refuse => SetCookie::Refuse,
            SetCookieTable::Strip => SetCookie::Strip,
            SetCookieTable::Store => SetCookie::Store,
        });
    }
    if let Some(refuse) = table.refuse_deception {
        builder = builder.refuse_deception(refuse);
    }
    let names = |names: &[_]| names.iter().map(|name| header_name(name, source)).collect::<Result<Vec<_>, _>>();
    if let Some(targeted) = &table.targeted_header {
        builder = builder.targeted_fields(names(targeted)?);
    }
    if let Some(tags) = &table.tag_header {
        builder = builder.tag_fields(names(tags)?);
    }
    match table.status.as_ref().map(Spanned::get_ref) {
        None | Some(StatusName::Shown(true)) => {}
        Some(StatusName::Shown(false)) => builder = builder.status_name(None),
        Some(StatusName::Name(name)) => builder = builder.status_name(Some(name)),
    }
    let spans = [table.status.as_ref().map(Spanned::span), table.heuristic.as_ref().map(Spanned::span)];
    let span = spans.into_iter().flatten().next().unwrap_or_default();
    builder.build().map_err(|error| source.caused(span, &error))
}

fn key(table: &CacheKeyTable, place: &str, source: &Source) -> Result<KeyPolicy, ConfigError> {
    let place = place.to_owned();
    let mut key = KeyPolicy::new().part(move |_, _| Some(place.clone())).forward_ignored(table.forward_ignored);
    key = match table.query {
        QueryKey::All => key,
        QueryKey::Sorted => key.sorted_query(),
        QueryKey::None => key.without_query(),
    };
    let parameters = [table.without.as_ref(), table.only.as_ref()];
    let mut parameters = parameters.into_iter().flatten();
    let (first, second) = (parameters.next(), parameters.next());
    if let Some(second) = second.or(first.filter(|_| table.query == QueryKey::None)) {
        let message = "of query = \"none\", without and only, a key has one: leave the others out";
        return Err(source.error(second.span(), message));
    }
    if let Some(without) = &table.without {
        key = key.without_parameters(without.get_ref().iter().cloned());
    }
    if let Some(only) = &table.only {
        key = key.only_parameters(only.get_ref().iter().cloned());
    }
    for name in &table.header {
        key = key.field(header_name(name, source)?);
    }
    Ok(if table.identity { key.per_identity() } else { key })
}

fn unknown(name: &str, stores: &CacheStores) -> String {
    let known: Vec<_> = stores.keys().map(String::as_str).collect();
    match most_similar(name, known.iter().copied()) {
        _ if known.is_empty() => format!("there is no store {name:?}: add [cache.{name}]"),
        Some(similar) => format!("there is no store {name:?}; did you mean {similar:?}?"),
        None => format!("there is no store {name:?}; the stores are: {}", known.join(", ")),
    }
}

/// Removes responses from the caches of all routes, or of those with one store. Returns how many URLs were removed, or
/// `None` if there is no such cache.
///
/// # Errors
///
/// A URL or a tag is not valid, or a store has failed. The other stores are purged all the same.
pub(crate) async fn purge(
    functions: &Functions,
    store: Option<&str>,
    what: &Purged<'_>,
) -> Result<Option<usize>, PurgeError> {
    let caches = functions.of_type::<CacheFunction>().filter(|cache| store.is_none_or(|store| store == cache.store));
    let (mut count, mut failed) = (None, None);
    for handle in caches.map(|cache| cache.layer.handle()).collect::<Vec<_>>() {
        let removed = match what {
            Purged::Url(url) => handle.purge_url(url).await,
            Purged::Prefix(prefix) => handle.purge_prefix(prefix).await,
            Purged::Tag(tag) => handle.purge_tag(tag).await,
            Purged::All => handle.purge_all().await,
        };
        match removed {
            Ok(removed) => count = Some(count.unwrap_or(0) + removed),
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(count), Err)
}

impl Function for CacheFunction {
    fn report(&self) -> Value {
        let stats = self.layer.stats();
        let not_stored = stats.not_stored.iter().map(|(reason, count)| ((*reason).to_owned(), json!(count)));
        json!({
            "store": self.store,
            "hits": stats.hits,
            "stale": stats.stale,
            "stale_while_revalidate": stats.stale_while_revalidate,
            "stale_on_error": stats.stale_on_error,
            "validated": stats.validated,
            "coalesced": stats.coalesced,
            "misses": stats.misses,
            "bypassed": stats.bypassed,
            "invalidating": stats.invalidating,
            "only_if_cached": stats.only_if_cached,
            "background": stats.background,
            "waited_in_vain": stats.waited_in_vain,
            "stored": stats.stored,
            "too_large": stats.too_large,
            "incomplete": stats.incomplete,
            "not_stored": not_stored.collect::<Map<_, _>>(),
            "fetches": stats.fetches,
            "filling_bytes": stats.filling_bytes,
        })
    }

    fn watch(&self, into: &mut FunctionReadings) {
        into.cache(&self.layer.stats());
    }
}
