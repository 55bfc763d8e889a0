//! Session affinity over a pool: settings, and what happens to each request.

mod explanation;
mod request;
mod session_limit;
mod stats;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use equipoise_core::Pool;
use equipoise_tower::RequestHead;

pub use self::{explanation::AffinityExplanation, session_limit::SessionLimit, stats::AffinityStats};
use self::{session_limit::NewSessions, stats::Counters};
use crate::{
    guard::guarded,
    members::PoolMembers,
    mode::{InvalidValues, Kind, Mode},
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
    /// - [`InvalidMode::Values`]: an endpoint of the pool cannot be named in the mode's cookie. If such an endpoint
    ///   joins later, a warning is logged, and no session is bound to it.
    pub fn new<T: Send + Sync + 'static>(pool: &Pool<T>, mode: Mode) -> Result<Self, InvalidMode> {
        let mode = mode.into_kind();
        if matches!(mode, Kind::Hash(_)) && !pool.places_by_key() {
            return Err(InvalidMode::NoKeys);
        }
        if let Kind::Cookie(_, values) = &mode {
            values.check()?;
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

    /// Selects requests that go to the endpoint they are bound to whatever its availability is, also in maintenance or
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
    /// use equipoise_affinity::{Affinity, Mode, Values, cookie::PersistenceCookie};
    /// use equipoise_core::{EndpointSpec, Pool};
    ///
    /// let pool = Pool::default();
    /// pool.update(["a", "b"].map(EndpointSpec::new), |_| ())?;
    /// let cookie = PersistenceCookie::insert("SRV").indirect().build()?;
    /// let affinity = Affinity::new(&pool, Mode::cookie(cookie, Values::ids()))?
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
    fn follow(&self) -> Result<(), InvalidValues> {
        self.shared.mode.follow(&self.shared.members)
    }

    /// Returns how many requests had which outcome so far, over all clones.
    pub fn stats(&self) -> AffinityStats {
        self.shared.counters.stats()
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
    /// If the endpoint is only busy [for the moment](equipoise_core::MissReason::is_momentary), such as at its limit,
    /// another one takes this request alone, and the session stays.
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
    Values(#[from] InvalidValues),
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
