//! Session affinity over a pool: settings, and what happens to each request.

mod explanation;
mod session_limit;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use equipoise_core::{Binding, BindingOutcome, MissReason, Pool};
use equipoise_tower::{Placement, RequestHead, ServedBy};
use http::{Response, request::Parts};

use self::session_limit::NewSessions;
pub use self::{explanation::AffinityExplanation, session_limit::SessionLimit};
use crate::{
    guard::guarded,
    members::PoolMembers,
    mode::{Found, InvalidNaming, Kind, Mode, Settlement},
    outcome::{AffinityOutcome, AffinityStats, Counters, UnboundReason},
};

/// Session affinity: a [`Mode`] over a pool.
///
/// [`AffinityLayer`](crate::AffinityLayer) adds it to a [`Balance`](equipoise_tower::Balance). Cheap to clone. Clones
/// share their counters.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use equipoise_affinity::{Affinity, Fallback, Mode, key::SessionKey, table::SessionTable};
/// use equipoise_core::{EndpointSpec, Pool};
///
/// let pool = Pool::default();
/// pool.update(["10.0.0.1:80", "10.0.0.2:80"].map(EndpointSpec::new), |_| ())?;
/// let key = SessionKey::header("x-user")?;
/// let affinity = Affinity::new(&pool, Mode::table(key, Arc::new(SessionTable::builder().capacity(100_000).build()?)))?
///     .unavailable(Fallback::Wait(Duration::from_secs(1)));
/// println!("{}", affinity.stats());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Affinity {
    settings: Settings,
    shared: Arc<Shared>,
}

#[derive(Clone)]
struct Settings {
    missing: Fallback,
    unavailable: Fallback,
    max_share: Option<f32>,
    lookup_timeout: Duration,
    now: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    except: Option<Arc<Rule>>,
    force: Option<Arc<Rule>>,
    new_sessions: Option<Arc<NewSessions>>,
}

/// A condition on a request's head.
type Rule = dyn Fn(RequestHead<'_>) -> bool + Send + Sync;

struct Shared {
    mode: Kind,
    members: PoolMembers,
    counters: Counters,
}

impl Affinity {
    /// Creates affinity for `pool`. Both fallbacks are [`Fallback::Rebind`]: a request without a binding goes where the
    /// strategy says, and a session whose endpoint cannot take it moves to another one.
    ///
    /// # Errors
    ///
    /// - [`InvalidMode::NoKeys`]: the mode is [`Mode::hash`], and the pool's strategy does not place by key.
    /// - [`InvalidMode::Naming`]: an endpoint of the pool cannot be named in the mode's cookie. If such an endpoint
    ///   joins later, a warning is logged, and no session is bound to it.
    pub fn new<T: Send + Sync + 'static>(pool: &Pool<T>, mode: Mode) -> Result<Self, InvalidMode> {
        let mode = mode.into_kind();
        if matches!(mode, Kind::Hash(_)) && !pool.places_by_key() {
            return Err(InvalidMode::NoKeys);
        }
        if let Kind::Cookie(_, naming) = &mode {
            naming.check()?;
        }
        let shared = Shared { mode, members: PoolMembers::new(pool.clone()), counters: Counters::default() };
        let settings = Settings {
            missing: Fallback::Rebind,
            unavailable: Fallback::Rebind,
            max_share: None,
            lookup_timeout: Duration::from_millis(100),
            now: Arc::new(SystemTime::now),
            except: None,
            force: None,
            new_sessions: None,
        };
        let affinity = Self { settings, shared: Arc::new(shared) };
        affinity.follow()?;
        Ok(affinity)
    }

    /// Sets what happens to a request without a binding. Default: [`Fallback::Rebind`].
    #[must_use]
    pub fn missing(mut self, fallback: Fallback) -> Self {
        self.settings.missing = fallback;
        self
    }

    /// Sets what happens to a request whose endpoint cannot take it: it is in maintenance or unhealthy, has just failed
    /// this request, or is at its limit. Default: [`Fallback::Rebind`].
    ///
    /// An endpoint that has left the pool does not count as unavailable. Its sessions have no binding:
    /// [`missing`](Self::missing) applies to them. With [`Fallback::Rebind`] there, they move to another endpoint.
    #[must_use]
    pub fn unavailable(mut self, fallback: Fallback) -> Self {
        self.settings.unavailable = fallback;
        self
    }

    /// Sends a request to another endpoint while its own has more than `factor` times its share of the requests in
    /// flight in its tier. The session stays where it is, and its requests return when the endpoint has less. (But a
    /// cookie that backends set themselves moves the session with it.) Default: no limit. At least 1, usually 1.2 to 2.
    ///
    /// This is for caches and inference servers, where the right endpoint is better than others, but not worth waiting
    /// for. See [`Binding::max_share`](equipoise_core::Binding::max_share). It has no effect on a request that may only
    /// go to its own endpoint, as with [`Fallback::Refuse`] and [`Fallback::Wait`].
    #[must_use]
    pub fn max_share(mut self, factor: f32) -> Self {
        self.settings.max_share = Some(factor);
        self
    }

    /// Sets how long a request waits for the session store. Default: 100 ms; at least 1 ms. After that the store counts
    /// as unavailable. A store may have a shorter timeout of its own.
    #[must_use]
    pub fn lookup_timeout(mut self, longest: Duration) -> Self {
        self.settings.lookup_timeout = longest.max(Duration::from_millis(1));
        self
    }

    /// Selects requests that are never bound and get no cookie, such as those for images: HAProxy's `ignore-persist`.
    /// Default: none. If `except` panics, that counts as `false`.
    #[must_use]
    pub fn except(mut self, except: impl Fn(RequestHead<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.settings.except = Some(Arc::new(except));
        self
    }

    /// Selects requests that go to the endpoint they are bound to in every availability, also in maintenance or
    /// unhealthy: HAProxy's `force-persist`. Default: none. If `force` panics, that counts as `false`.
    ///
    /// With it, an operator can test a server in maintenance before clients use it. A source address or a cookie of the
    /// operator's browser is a good condition.
    ///
    /// Such a request never goes to another endpoint, as with [`Fallback::Refuse`] (or [`Fallback::Wait`], if
    /// [`unavailable`](Self::unavailable) is that): if its endpoint is at its limit, refuses it or fails, the request
    /// fails. The session stays bound. The setting has no effect on a request without a binding, on one whose endpoint
    /// has left the pool, on one that [`except`](Self::except) selects, or with [`Mode::hash`], which stores no
    /// bindings.
    ///
    /// ```
    /// use equipoise_affinity::{Affinity, Mode, EndpointNaming, cookie::PersistenceCookie};
    /// use equipoise_core::{EndpointSpec, Pool};
    ///
    /// let pool = Pool::default();
    /// pool.update(["a", "b"].map(EndpointSpec::new), |_| ())?;
    /// let cookie = PersistenceCookie::insert("SRV").indirect().build()?;
    /// let affinity = Affinity::new(&pool, Mode::cookie(cookie, EndpointNaming::ids()))?
    ///     .force(|request| request.headers.contains_key("x-maintenance"));
    /// # drop(affinity);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn force(mut self, force: impl Fn(RequestHead<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.settings.force = Some(Arc::new(force));
        self
    }

    /// Limits how many sessions the clients behind one address may start: see [`SessionLimit`]. Default: no limit,
    /// because the client's address depends on the proxies in front.
    ///
    /// A request beyond the limit is served like any other, but its session is not stored
    /// ([`AffinityOutcome::Unbound`](crate::AffinityOutcome::Unbound), counted in [`AffinityStats::limited`]). Existing
    /// sessions continue and may move. The limit applies to the modes with a session store, [`Mode::table`] and
    /// [`Mode::learn`].
    #[must_use]
    pub fn session_limit(mut self, limit: SessionLimit) -> Self {
        self.settings.new_sessions = Some(Arc::new(NewSessions::new(limit)));
        self
    }

    /// Sets the clock for the dates in cookies and the intervals of [`SessionLimit`]. Default: [`SystemTime::now`],
    /// which is also used when `now` panics.
    #[must_use]
    pub fn clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.settings.now = Arc::new(now);
        self
    }

    fn now(&self) -> SystemTime {
        guarded(|| (self.settings.now)()).unwrap_or_else(SystemTime::now)
    }

    /// Brings the mode up to date with the pool's members, unless another thread is doing so.
    fn follow(&self) -> Result<(), InvalidNaming> {
        self.shared.mode.follow(&self.shared.members)
    }

    /// Returns how many requests had which outcome so far, over all clones.
    pub fn stats(&self) -> AffinityStats {
        self.shared.counters.stats()
    }
}

/// The processing of one request: its session is found, it is placed, and its response settles where the session is bound.
impl Affinity {
    /// Whether requests and responses pass untouched.
    pub(crate) fn is_off(&self) -> bool {
        matches!(self.shared.mode, Kind::None)
    }

    pub(crate) fn store_timeout(&self) -> Duration {
        self.settings.lookup_timeout
    }

    /// Finds the request's session. Removes the balancer's cookie from the head.
    pub(crate) fn find(&self, head: &mut Parts) -> Found {
        if let Err(error) = self.follow() {
            tracing::warn!("{error}");
        }
        let Shared { mode, members, .. } = &*self.shared;
        let holds = |rule: &Option<Arc<Rule>>, head: &Parts| {
            let head = RequestHead::of_parts(head);
            rule.as_ref().is_some_and(|rule| guarded(|| rule(head)).unwrap_or(false))
        };
        if holds(&self.settings.except, head) {
            return mode.disregard(head);
        }
        let forced = holds(&self.settings.force, head);
        // Before the mode changes the head.
        let limit = self.settings.new_sessions.as_ref().filter(|_| mode.has_store());
        let client = limit.and_then(|limit| limit.client(RequestHead::of_parts(head)));
        let mut found = mode.find(head, self.now(), members, forced);
        found.client = client;
        found
    }

    /// Returns the placement of the request. Returns the reason why it has no binding if it is refused for that
    /// ([`Fallback::Refuse`]).
    pub(crate) fn place(&self, found: &Found) -> Result<Placement, UnboundReason> {
        let mut placement = Placement::new();
        if found.keyed {
            return Ok(match &found.key {
                Some(key) => placement.key(key.clone()),
                None => placement,
            });
        }
        // A binding to an endpoint that has left counts as none: it may never come back.
        let is_present = found.endpoint.as_ref().is_ok_and(|id| self.shared.members.contains(id));
        let fallback = match &found.endpoint {
            Ok(_) if is_present && found.forced && self.settings.unavailable == Fallback::Rebind => Fallback::Refuse,
            Ok(_) if is_present => self.settings.unavailable,
            Err(UnboundReason::Off) => Fallback::Rebind,
            // The session may exist, and the client is not responsible for the state of the store.
            Err(UnboundReason::StoreUnavailable | UnboundReason::StoreMalformed)
                if self.settings.missing == Fallback::Refuse =>
            {
                Fallback::Rebind
            }
            _ => self.settings.missing,
        };
        match fallback {
            Fallback::Refuse if !is_present => {
                return Err(found.endpoint.as_ref().err().copied().unwrap_or(UnboundReason::Unknown));
            }
            Fallback::Wait(timeout) => placement = placement.queue_timeout(timeout),
            _ => {}
        }
        if let Some(mut binding) = self.binding(found) {
            if is_present && fallback != Fallback::Rebind {
                binding = binding.strict();
            }
            if found.forced {
                binding = binding.forced();
            }
            placement = placement.binding(binding);
        }
        Ok(placement)
    }

    fn binding(&self, found: &Found) -> Option<Binding> {
        let mut binding = match (&found.endpoint, &found.key) {
            (Ok(id), None) => Binding::to(id.clone()),
            (Ok(id), Some(key)) => Binding::to(id.clone()).session(key),
            (Err(_), Some(key)) if found.has_lost_endpoint() => Binding::to_departed(key),
            (Err(_), _) => return None,
        };
        if let Some(factor) = self.settings.max_share {
            binding = binding.max_share(factor);
        }
        Some(binding)
    }

    /// Counts a request that was placed or refused.
    pub(crate) fn count(&self, found: &Found, placed: &Result<Placement, UnboundReason>) {
        let counters = &self.shared.counters;
        match (placed, &found.endpoint) {
            (Err(reason), _) => {
                counters.unbound(*reason);
                counters.refused();
            }
            (Ok(_), Err(reason)) if !found.keyed => counters.unbound(*reason),
            (Ok(_), _) => {}
        }
    }

    /// Counts a request that was placed and ended in an error.
    pub(crate) fn count_error(&self) {
        self.shared.counters.failed();
    }

    /// Binds the session to the endpoint that answered, sets the client's cookie, and adds an [`AffinityOutcome`] to the
    /// response. Does nothing for a response that is not from an endpoint.
    pub(crate) fn settle<B>(&self, found: Found, response: &mut Response<B>) {
        let Some(ServedBy(served)) = response.extensions().get().cloned() else { return };
        let missed = match response.extensions().get() {
            Some(BindingOutcome::Missed(reason)) => Some(*reason),
            _ => None,
        };
        let is_temporary = found.endpoint.is_ok() && missed.is_some_and(MissReason::is_temporary);
        let is_kept = found.endpoint.as_ref().is_ok_and(|id| *id == served);
        let now = self.now();
        let may_begin = || {
            let may = self.settings.new_sessions.as_ref().is_none_or(|sessions| sessions.begin(found.client, now));
            if !may {
                self.shared.counters.limited();
            }
            may
        };
        let settlement = Settlement {
            found: &found,
            served: &served,
            binds: !is_kept && !is_temporary,
            status: response.status(),
            now,
            may_begin: &may_begin,
            members: &self.shared.members,
        };
        // Nothing is stored for a request that is not to be bound. But the client must not see the endpoint's cookie.
        let mode = &self.shared.mode;
        let is_excepted = matches!(found.endpoint, Err(UnboundReason::Off)) && !matches!(mode, Kind::Cookie(..));
        let is_bound = !is_excepted && mode.settle(&settlement, response.headers_mut());
        let reason = missed.unwrap_or(MissReason::Gone);
        let outcome = match found.endpoint {
            _ if found.keyed => AffinityOutcome::Keyed,
            Ok(_) if is_kept => AffinityOutcome::Kept,
            Ok(from) if is_bound => AffinityOutcome::Moved { from, reason },
            Ok(bound_to) => AffinityOutcome::Diverted { bound_to, reason },
            Err(why) if is_bound => AffinityOutcome::New(why),
            Err(why) => AffinityOutcome::Unbound(why),
        };
        self.shared.counters.answered(&outcome);
        response.extensions_mut().insert(outcome);
    }
}

/// What happens to a request that cannot go to the endpoint it is bound to, or is not bound to any.
///
/// It is set separately for requests [without a binding](crate::Affinity::missing) and for those whose endpoint [cannot
/// take them](crate::Affinity::unavailable).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fallback {
    /// Another endpoint takes the request, and from now on the session. The default.
    ///
    /// If the reason is [temporary](equipoise_core::MissReason::is_temporary), for example because the endpoint is at
    /// its limit, another endpoint serves only this request, and the session stays bound to its endpoint.
    ///
    /// The other endpoint is selected by rendezvous hashing of the session, so all balancers agree on it (see
    /// [`Binding`](equipoise_core::Binding)). The strategy picks it if the request has no binding, or if nothing
    /// distinguishes the session from others, as with plain names in cookies.
    #[default]
    Rebind,
    /// The request fails. If its endpoint has just been tried, the error is the endpoint's own. Otherwise it is
    /// [`PickError::Bound`](equipoise_core::PickError::Bound), which says why, or
    /// [`PickError::Unbound`](equipoise_core::PickError::Unbound) for a request without a binding; gateways answer both
    /// with 503. A request without a binding does not reach the balancer.
    Refuse,
    /// The request waits for its endpoint for up to this time. Then it fails, as with [`Refuse`](Self::Refuse). A
    /// request without a binding waits for any endpoint that the strategy may pick. A request does not wait for an
    /// endpoint that has just failed it. It does wait for one that leaves the pool meanwhile, since that one may come
    /// back.
    Wait(Duration),
}

impl Fallback {
    /// Returns the fallback as a label: `rebind`, `refuse` or `wait`. Labels are stable.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rebind => "rebind",
            Self::Refuse => "refuse",
            Self::Wait(_) => "wait",
        }
    }
}

/// Why a mode cannot be used with a pool.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMode {
    /// The mode is [`Mode::hash`], but the pool's strategy does not place requests by their key.
    #[error(
        "the pool's strategy does not place by key: use one that does, such as maglev, ring or rendezvous, or a table"
    )]
    NoKeys,
    /// An endpoint cannot be named in the mode's cookie.
    #[error(transparent)]
    Naming(#[from] InvalidNaming),
}

impl fmt::Debug for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Affinity")
            .field("missing", &self.settings.missing)
            .field("unavailable", &self.settings.unavailable)
            .field("max_share", &self.settings.max_share)
            .finish_non_exhaustive()
    }
}
