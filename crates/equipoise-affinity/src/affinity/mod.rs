//! Session affinity for the endpoints of a pool. This module contains [`Affinity`] and its settings.

mod explanation;
mod on_unavailable;
mod request;
mod session_limit;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use equipoise_core::Pool;
use equipoise_tower::RequestHead;

pub use self::{explanation::AffinityExplanation, on_unavailable::OnUnavailable, session_limit::SessionLimit};
use self::{on_unavailable::UnavailableSettings, session_limit::NewSessions};
use crate::{
    members::PoolMembers,
    mode::{InvalidNaming, Kind, Mode},
    outcome::{AffinityStats, Counters},
    store::StoreStats,
};

/// Session affinity for a pool: sends the requests of a session to the same endpoint. A [`Mode`] determines how a
/// session is recognised and where its endpoint is stored.
///
/// A session is *bound* to the endpoint that is stored for it. The stored pair of session and endpoint is a *binding*.
///
/// Use an [`AffinityLayer`](crate::AffinityLayer) to add an `Affinity` to a [`Balance`](equipoise_tower::Balance).
/// Cloning is cheap. All clones share their counters.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use equipoise_affinity::{Affinity, Mode, OnUnavailable, key::SessionKey, table::SessionTable};
/// use equipoise_core::{EndpointSpec, Pool};
///
/// let pool = Pool::default();
/// pool.update(["10.0.0.1:80", "10.0.0.2:80"].map(EndpointSpec::new), |_| ())?;
/// let key = SessionKey::header("x-user")?;
/// let affinity = Affinity::new(&pool, Mode::table(key, Arc::new(SessionTable::builder().capacity(100_000).build()?)))?
///     .unavailable(OnUnavailable::Wait(Duration::from_secs(1)));
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
    on_unavailable: UnavailableSettings,
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
    /// Creates affinity for `pool` with default settings:
    ///
    /// - If the session of a request is not bound to an endpoint yet, the pool's strategy picks an endpoint (default of
    ///   [`missing`](Self::missing)).
    /// - If the session of a request is bound to an endpoint that cannot serve the request, another endpoint serves it
    ///   (default of [`unavailable`](Self::unavailable)).
    ///
    /// # Errors
    ///
    /// - [`InvalidMode::NoKeys`]: the mode is [`Mode::hash`], but the pool's strategy does not choose endpoints by a
    ///   key.
    /// - [`InvalidMode::Naming`]: the mode is [`Mode::cookie`], and the cookie cannot name one of the pool's endpoints.
    /// - [`InvalidMode::Naming`]: the mode is [`Mode::cookie`], and the idle timeout or the lifetime of tokens is zero.
    ///
    /// If an endpoint joins the pool later and the cookie cannot name it, a warning is logged. No session is bound to
    /// this endpoint.
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
            on_unavailable: UnavailableSettings::default(),
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

    /// Sets what happens to a request that is not bound to an endpoint, such as the first request of a session.
    /// Default: [`OnUnavailable::Rebind`]: the strategy picks an endpoint.
    ///
    /// If the session store fails, it is not known whether the session is bound. The strategy then picks an endpoint,
    /// even with [`OnUnavailable::Refuse`].
    #[must_use]
    pub fn missing(mut self, action: OnUnavailable) -> Self {
        self.settings.on_unavailable.missing = action;
        self
    }

    /// Sets what happens to a request if its session is bound to an endpoint, but this endpoint cannot serve the
    /// request. For example, the endpoint is unhealthy or in maintenance, is at its limit, or has just failed the
    /// request. Default: [`OnUnavailable::Rebind`]: another endpoint serves the request.
    ///
    /// This setting does not apply if the endpoint has left the pool. The session of the request then counts as not
    /// bound, so [`missing`](Self::missing) applies to the request. If `missing` is [`OnUnavailable::Rebind`], the
    /// session moves to another endpoint.
    #[must_use]
    pub fn unavailable(mut self, action: OnUnavailable) -> Self {
        self.settings.on_unavailable.unavailable = action;
        self
    }

    /// Sets how many requests in flight a session's endpoint may have. The maximum is `factor` times the endpoint's
    /// fair share. Fair shares divide all requests in flight in a tier (priority group) by weight. Example: with 20
    /// requests in flight (including the new request) and 10 endpoints of equal weight, the fair share is 2, and
    /// `factor` 1.5 gives a maximum of 3.
    ///
    /// While one more request would exceed the maximum, another endpoint serves the requests of the session. The
    /// session stays bound to its endpoint. This endpoint serves the session's requests again as soon as one more request
    /// no longer exceeds the maximum.
    ///
    /// Range: 1.0 and above. Lower values and NaN count as 1.0. Usual values are 1.2 to 2. Default: no maximum. See
    /// [`Binding::max_share`](equipoise_core::Binding::max_share) for details.
    ///
    /// Use this setting for caches and inference servers, where an endpoint answers the sessions that it already knows
    /// faster than others. If [`unavailable`](Self::unavailable) is [`OnUnavailable::Refuse`] or
    /// [`OnUnavailable::Wait`], the requests of a session may only go to its endpoint, and this setting has no effect.
    ///
    /// In the cookie modes [`rewrite`](crate::cookie::PersistenceCookie::rewrite) and
    /// [`prefix`](crate::cookie::PersistenceCookie::prefix), endpoints set the session's cookie themselves. If this
    /// setting sends a request to another endpoint, and that endpoint sets the session's cookie in its response, the
    /// session moves to that endpoint.
    #[must_use]
    pub fn max_share(mut self, factor: f32) -> Self {
        self.settings.max_share = Some(factor);
        self
    }

    /// Sets how long a request waits for an answer of the session store. After this time, the session counts as not
    /// bound, with the reason [`UnboundReason::StoreUnavailable`](crate::UnboundReason::StoreUnavailable), and the
    /// strategy picks an endpoint for the request. Default: 100 ms. Minimum: 1 ms; a shorter time counts as 1 ms. A
    /// store may have a shorter timeout of its own. Without a Tokio runtime with a timer, the request waits without a
    /// limit.
    #[must_use]
    pub fn lookup_timeout(mut self, timeout: Duration) -> Self {
        self.settings.lookup_timeout = timeout.max(Duration::from_millis(1));
        self
    }

    /// Sets to which requests affinity does not apply, such as requests for images. If `except` returns `true` for a
    /// request:
    ///
    /// - The strategy picks an endpoint.
    /// - The session of the request is not bound to this endpoint.
    /// - The balancer sets no cookie in the response.
    ///
    /// Default: affinity applies to all requests. HAProxy calls this `ignore-persist`. If `except` panics, affinity
    /// applies to the request.
    #[must_use]
    pub fn except(mut self, except: impl Fn(RequestHead<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.settings.except = Some(Arc::new(except));
        self
    }

    /// Sets which requests must go to the endpoint of their session even if this endpoint is unhealthy or in
    /// maintenance: those for which `force` returns `true`. Default: no request is forced. HAProxy calls this
    /// `force-persist`. If `force` panics, the request is not forced.
    ///
    /// Use this setting to let operators test a server in maintenance before clients use it. A good condition is the
    /// source address of the operator, or a cookie in the operator's browser.
    ///
    /// A forced request never goes to another endpoint than the endpoint of its session. If this endpoint has reached
    /// its limit on requests, refuses the request or fails, the request fails as with [`OnUnavailable::Refuse`]. If
    /// [`unavailable`](Self::unavailable) is [`OnUnavailable::Wait`], the request waits for this endpoint before it
    /// fails. The session stays bound to the endpoint.
    ///
    /// The setting has no effect on
    ///
    /// - a request whose session is not bound to an endpoint,
    /// - a request whose session is bound to an endpoint, but this endpoint has left the pool,
    /// - a request for which [`except`](Self::except) returns `true`,
    /// - all requests in the mode [`Mode::hash`], which stores no endpoints of sessions.
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

    /// Limits how many sessions the clients of one source (an IP address or a network) may start in an interval: see
    /// [`SessionLimit`]. Default: no limit, because the application must first say how the addresses of clients are
    /// determined.
    ///
    /// If a request would start a session beyond the limit, the request is served, but its session is not stored. The
    /// outcome of the request is [`AffinityOutcome::Unbound`](crate::AffinityOutcome::Unbound), and
    /// [`AffinityStats::limited`] counts it. The limit does not apply to sessions that are already stored: they
    /// continue, and may move to other endpoints. The limit applies to the modes with a session store: [`Mode::table`]
    /// and [`Mode::learn`].
    #[must_use]
    pub fn session_limit(mut self, limit: SessionLimit) -> Self {
        self.settings.new_sessions = Some(Arc::new(NewSessions::new(limit)));
        self
    }

    /// Sets the closure `now`, which returns the current time for the dates in cookies and tokens, and for the
    /// intervals of [`SessionLimit`]. Default: [`SystemTime::now`], which is also used if `now` panics.
    #[must_use]
    pub fn clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.settings.now = Arc::new(now);
        self
    }

    /// Returns how many requests had each outcome since this `Affinity` was created. All clones share the counters.
    pub fn stats(&self) -> AffinityStats {
        self.shared.counters.stats()
    }

    /// Returns the size of the session store of the mode and what the store has counted. `None` if the mode has no store
    /// ([`Mode::table`] and [`Mode::learn`] have one), or if the store of the application does not report it.
    ///
    /// If several pools share a store, its numbers are those of all pools together.
    pub fn store_stats(&self) -> Option<StoreStats> {
        self.shared.mode.store()?.store_stats()
    }
}

/// Why a [`Mode`] cannot be used with a pool. Returned by [`Affinity::new`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMode {
    /// The mode is [`Mode::hash`], but the pool's strategy does not use the keys of requests. Hashing strategies such
    /// as [`Maglev`](equipoise_core::Maglev) use them.
    #[error(
        "the mode hash needs a strategy that uses keys: use a pool with a strategy such as maglev, ring or rendezvous, \
         or use the mode table"
    )]
    NoKeys,
    /// The mode is [`Mode::cookie`], and its [`EndpointNaming`](crate::EndpointNaming) is invalid or cannot name an
    /// endpoint of the pool.
    #[error(transparent)]
    Naming(#[from] InvalidNaming),
}

impl fmt::Debug for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Affinity")
            .field("missing", &self.settings.on_unavailable.missing)
            .field("unavailable", &self.settings.on_unavailable.unavailable)
            .field("max_share", &self.settings.max_share)
            .finish_non_exhaustive()
    }
}
