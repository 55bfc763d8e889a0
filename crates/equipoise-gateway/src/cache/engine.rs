use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use equipoise_proxy::error::ErrorResponses;
use http::{
    HeaderMap, Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, RANGE},
};
use tokio::sync::Semaphore;

use super::{
    CacheBody, CacheStats, KeyPolicy, SharedStore,
    rules::{
        control::RequestControl,
        freshness::{self, Use},
        policy::{Asked, HAS_VALIDATOR, Policy},
        vary::{self, Selecting, Selector},
    },
    sharing::{
        fill::Budget,
        flight::{CacheId, FlightKey, Flights},
    },
    stats::Counters,
    status::{Forwarded, Handling},
    store::{Entry, FillingBytes, Key, Lookup, Store},
};
use crate::{Denial, Identity};

/// Where the time comes from.
#[derive(Clone)]
pub(super) struct Clock(pub(super) Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) key: KeyPolicy,
    pub(super) policy: Policy,
    pub(super) max_entry_bytes: u64,
    /// Of this cache. The store has a limit for all its caches.
    pub(super) max_filling_bytes: Option<u64>,
    pub(super) max_wait: Duration,
    pub(super) fetch_timeout: Option<Duration>,
    pub(super) fetch_idle_timeout: Duration,
    pub(super) remember_uncacheable: Duration,
    pub(super) obey_requests: bool,
    pub(super) status_name: Option<Box<str>>,
    pub(super) status_key: bool,
    pub(super) errors: ErrorResponses,
    pub(super) clock: Clock,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            key: KeyPolicy::new(),
            policy: Policy::default(),
            max_entry_bytes: 8 * 1024 * 1024,
            max_filling_bytes: None,
            max_wait: Duration::from_secs(10),
            fetch_timeout: None,
            fetch_idle_timeout: Duration::from_secs(60),
            remember_uncacheable: Duration::from_secs(10),
            obey_requests: true,
            status_name: Some("equipoise".into()),
            status_key: false,
            errors: ErrorResponses::new(),
            clock: Clock(Arc::new(SystemTime::now)),
        }
    }
}

/// The number of URLs of which the cache remembers that they cannot be cached.
const UNCACHEABLE: usize = 16_384;

/// The number of fetches that go on at the same time after all their clients have left.
const MAX_ORPHANS: usize = 256;

/// The number of validations in the background at the same time.
const MAX_VALIDATIONS: usize = 256;

/// What all clones of a cache share.
pub(super) struct Engine {
    pub(super) settings: Settings,
    pub(super) store: Arc<dyn Store>,
    /// Those of all caches with this store.
    pub(super) flights: Arc<Flights>,
    id: CacheId,
    pub(super) budget: Arc<Budget>,
    pub(super) counters: Counters,
    /// A permit for each fetch whose clients have left.
    pub(super) orphans: Semaphore,
    /// A permit for each validation in the background. Clients that leave cannot take these.
    pub(super) validations: Semaphore,
    /// Until when the requests for a key do not wait for each other, by [`mark_of`]. A wrong one costs a fetch.
    uncacheable: quick_cache::sync::Cache<u64, SystemTime>,
}

/// What to do with a request.
pub(super) enum Plan {
    /// Answer with the stored response.
    Serve { entry: Entry, handling: Handling },
    /// Answer with the stored response, and validate it in the background.
    Background { entry: Entry, handling: Handling },
    /// Answer with 504: the client wants a stored response only.
    Unavailable,
    /// Ask the backend.
    Fetch(Fetch),
}

pub(super) struct Fetch {
    /// The stored response that is selected but cannot be used as it is.
    pub(super) stale: Option<Entry>,
    pub(super) why: Forwarded,
    /// Whether requests for the same variant wait for one fetch.
    pub(super) coalesce: bool,
    /// Whether conditions and ranges of the client are removed, so that the response can be stored.
    pub(super) ask_for_all: bool,
    /// The fields that select a variant, if the cache knows them.
    pub(super) variant: Selecting,
}

impl Engine {
    pub(super) fn new(store: SharedStore, settings: Settings) -> Self {
        let (store, of_store, flights) = store.into_parts();
        let budget = Budget {
            of_cache: FillingBytes::new(settings.max_filling_bytes.unwrap_or(u64::MAX), None),
            of_store,
            idle_timeout: settings.fetch_idle_timeout,
        };
        Self {
            settings,
            store,
            id: flights.add_cache(),
            flights,
            budget: Arc::new(budget),
            counters: Counters::default(),
            orphans: Semaphore::new(MAX_ORPHANS),
            validations: Semaphore::new(MAX_VALIDATIONS),
            uncacheable: quick_cache::sync::Cache::new(UNCACHEABLE),
        }
    }

    pub(super) fn now(&self) -> SystemTime {
        (self.settings.clock.0)()
    }

    pub(super) fn stats(&self) -> CacheStats {
        let mut stats = self.counters.read();
        stats.fetches = self.flights.len(self.id) as u64;
        stats.filling_bytes = self.budget.of_cache.get();
        stats.store = self.store.stats();
        stats
    }

    pub(super) fn control(&self, headers: &HeaderMap) -> RequestControl {
        let control = RequestControl::of(headers);
        if self.settings.obey_requests {
            control
        } else {
            RequestControl { only_if_cached: control.only_if_cached, ..RequestControl::default() }
        }
    }

    /// Whether the response is for the client of the request only, unless it says otherwise.
    fn is_authorized<B>(&self, request: &Request<B>) -> bool {
        if request.extensions().get::<Identity>().is_some() {
            !self.settings.key.is_per_identity()
        } else {
            request.headers().contains_key(AUTHORIZATION)
        }
    }

    pub(super) fn asked<B>(&self, request: &Request<B>, control: &RequestControl) -> Asked {
        Asked {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            headers: request.headers().clone(),
            authorized: self.is_authorized(request),
            no_store: control.no_store || self.settings.key.has_override(request.headers()),
        }
    }

    /// Returns which requests wait for the same fetch as one for a key and a variant.
    pub(super) fn flight(&self, key: &Key, variant: Selecting, authorized: bool) -> FlightKey {
        FlightKey { cache: self.id, key: key.clone(), variant, authorized }
    }

    /// Remembers that the responses for a key cannot be shared, so that requests do not wait for each other in vain.
    pub(super) fn set_uncacheable(&self, key: &Key, authorized: bool, uncacheable: bool) {
        let mark = mark_of(key, authorized);
        if !uncacheable {
            self.uncacheable.remove(&mark);
        } else if let Some(until) = self.now().checked_add(self.settings.remember_uncacheable) {
            self.uncacheable.insert(mark, until);
        }
    }

    fn is_uncacheable(&self, key: &Key, authorized: bool, now: SystemTime) -> bool {
        self.uncacheable.get(&mark_of(key, authorized)).is_some_and(|until| until > now)
    }

    /// Decides what to do with a request that was looked up.
    pub(super) fn plan<B>(
        &self,
        request: &Request<B>,
        control: &RequestControl,
        key: &Key,
        lookup: &Lookup,
        now: SystemTime,
    ) -> Plan {
        let headers = request.headers();
        let mut selector = Selector::new(headers);
        let selected = lookup.entries.iter().find(|entry| selector.selects(&entry.head().vary));
        let mut why = if lookup.entries.is_empty() { Forwarded::UriMiss } else { Forwarded::VaryMiss };
        let mut requested = false;
        if let Some(entry) = selected {
            let head = entry.head();
            let serve = |handling| Plan::Serve { entry: entry.clone(), handling };
            let ttl = freshness::ttl(head, now);
            match freshness::judge(head, control, self.settings.policy.max_stale, now) {
                Use::Fresh => return serve(Handling::hit(ttl)),
                Use::AcceptedStale => return serve(Handling { detail: Some("max-stale"), ..Handling::hit(ttl) }),
                Use::WhileRevalidate => {
                    let handling = Handling { detail: Some("stale-while-revalidate"), ..Handling::hit(ttl) };
                    let flight = self.flight(key, head.vary.clone(), self.is_authorized(request));
                    if control.only_if_cached || self.flights.contains(&flight) {
                        return serve(handling);
                    }
                    return Plan::Background { entry: entry.clone(), handling };
                }
                Use::Stale => why = Forwarded::Stale,
                Use::Requested => {
                    why = Forwarded::Request;
                    requested = true;
                }
            }
        }
        if control.only_if_cached {
            return Plan::Unavailable;
        }
        let alone = requested
            || control.no_store
            || self.settings.key.has_override(headers)
            || self.settings.max_wait.is_zero()
            || self.is_uncacheable(key, self.is_authorized(request), now);
        let validates = selected.is_some_and(|entry| entry.head().flags & HAS_VALIDATOR != 0);
        let is_get = request.method() == Method::GET;
        // The answer to `HEAD` or to a range cannot fill the cache, so the backend gets what the client has asked for.
        let partial = !is_get || headers.contains_key(RANGE) && !validates;
        let variant = match (selected, lookup.entries.first()) {
            (Some(entry), _) => entry.head().vary.clone(),
            (None, Some(other)) => vary::select_like(&other.head().vary, headers),
            (None, None) => Selecting::new(),
        };
        Plan::Fetch(Fetch {
            stale: selected.cloned(),
            why,
            coalesce: !alone && !partial,
            ask_for_all: is_get && !partial && (validates || !alone),
            variant,
        })
    }

    /// Counts a stored response by how it is used.
    pub(super) fn count(&self, handling: &Handling) {
        let counters = &self.counters;
        match handling.detail {
            Some("max-stale") => counters.stale.add(),
            Some("stale-while-revalidate") => counters.stale_while_revalidate.add(),
            _ => counters.hits.add(),
        }
    }

    /// Adds `Cache-Status`.
    pub(super) fn mark(&self, handling: &Handling, key: Option<&Key>, headers: &mut HeaderMap) {
        if let Some(name) = &self.settings.status_name {
            let key = key.filter(|_| self.settings.status_key).map(Key::url);
            handling.write(name, key, headers);
        }
        if self.settings.policy.strip_tags {
            self.settings.policy.tag_fields.iter().for_each(|name| drop(headers.remove(name)));
        }
    }

    /// The response to `only-if-cached` (RFC 9111, 5.2.1.7).
    pub(super) fn unavailable<B, R>(&self, request: &Request<B>, key: &Key) -> Response<CacheBody<R>> {
        self.counters.only_if_cached.add();
        let message = "no usable response is stored for this request";
        let denial = Denial::new(StatusCode::GATEWAY_TIMEOUT, "only_if_cached", message);
        let response: Response<crate::ReplyBody<()>> = denial.respond(request, &self.settings.errors);
        let (mut parts, body) = response.into_parts();
        let handling = Handling { detail: Some("only-if-cached"), ..Handling::forwarded(Forwarded::Bypass) };
        self.mark(&handling, Some(key), &mut parts.headers);
        Response::from_parts(parts, CacheBody::own(body.into_own().unwrap_or_default()))
    }
}

/// Names a key in the list of those that cannot be shared. Requests with credentials have marks of their own: their
/// responses may be private while those to other requests are not, and the other way round.
fn mark_of(key: &Key, authorized: bool) -> u64 {
    key.hash() ^ u64::from(authorized)
}
