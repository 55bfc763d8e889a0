//! What joins a mode, a pool and what is to happen when the two do not fit.

mod explained;
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

pub use self::{explained::Explained, session_limit::SessionLimit, stats::Stats};
use self::{session_limit::NewSessions, stats::Counters};
use crate::{
    fallback::Fallback,
    guard::guarded,
    members::PoolMembers,
    mode::{InvalidValues, Kind, Mode},
};

/// Who comes back where: a [`Mode`] over a pool.
///
/// Cheap to clone; clones share counters. [`AffinityLayer`](crate::AffinityLayer) puts it over a
/// [`Balance`](equipoise_tower::Balance).
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

/// A condition on requests.
type Rule = dyn Fn(RequestHead<'_>) -> bool + Send + Sync;

struct Shared {
    mode: Kind,
    members: PoolMembers,
    counters: Counters,
}

impl Affinity {
    /// This mode over this pool: a request that has no binding goes where the strategy says, and one that cannot go
    /// where it belongs goes to whoever stands in, and stays there.
    ///
    /// # Errors
    ///
    /// When the mode leaves placing to a strategy that does not go by keys, or endpoints cannot be named in its cookie. Of
    /// those that join later and cannot be named, a warning is logged, and nobody is bound to them.
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

    /// What happens to a request that has no binding.
    #[must_use]
    pub fn missing(mut self, fallback: Fallback) -> Self {
        self.settings.missing = fallback;
        self
    }

    /// What happens to a request whose endpoint cannot take it: it is closed or unfit, has just failed it, or is at its
    /// limit. (One that has left the pool is no endpoint: its sessions go where its stand-ins are, or where
    /// [`missing`](Self::missing) says otherwise, are refused.)
    #[must_use]
    pub fn unavailable(mut self, fallback: Fallback) -> Self {
        self.settings.unavailable = fallback;
        self
    }

    /// An endpoint that would get more than `factor` times its share of what its tier has in flight is left, as one that is
    /// at its limit is, and come back to when it has less: the session does not move (unless the backend itself sets the
    /// cookie, and the one that helps out does). For caches, and for inference servers that
    /// keep what they have read, where home is better than elsewhere and waiting is worse than both. See
    /// [`Binding::max_share`](equipoise_core::Binding::max_share); usually from 1.2 to 2. What fails or leaves is still dealt with as
    /// [`unavailable`](Self::unavailable) says, of which only [`Fallback::Rebind`] fits.
    #[must_use]
    pub fn until_saturated(mut self, factor: f32) -> Self {
        self.settings.max_share = Some(factor);
        self
    }

    /// The longest that a request waits for the session store: 100 ms by default. A store that takes longer is away. A
    /// store with a shorter time limit of its own keeps to that. Less than 1 ms counts as 1 ms.
    #[must_use]
    pub fn lookup_limit(mut self, longest: Duration) -> Self {
        self.settings.lookup_timeout = longest.max(Duration::from_millis(1));
        self
    }

    /// Requests that are not bound, whatever they bring, and get no cookie: HAProxy's `ignore-persist`. A panic in it
    /// counts as `false`.
    #[must_use]
    pub fn except(mut self, except: impl Fn(RequestHead<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.settings.except = Some(Arc::new(except));
        self
    }

    /// Requests for which `force` returns `true` go to the endpoint that they are bound to in whatever state it is, also
    /// closed or unfit: HAProxy's `force-persist`, for operators who try a server in maintenance before clients may. A
    /// source address or a cookie of the operator's browser makes a good condition. A panic in it counts as `false`.
    ///
    /// Such a request never goes elsewhere, as if [`unavailable`](Self::unavailable) were [`Fallback::Refuse`] (or
    /// [`Fallback::Wait`], if that is set): if the endpoint is at its limit, refuses or fails, the request fails. Limits
    /// hold, and the session stays bound. It changes nothing for a request without a binding, whose endpoint is not in the
    /// pool, or that [`except`](Self::except) holds for; nor with [`Mode::hash`], which has no bindings.
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

    /// Limits how many sessions the clients behind one address may begin: see [`SessionLimit`]. Default: no limit, since
    /// where a client's address is found depends on the proxies in front.
    ///
    /// A request beyond the limit is served like any other, but nothing is remembered of it
    /// ([`Outcome::Unbound`](crate::Outcome::Unbound); counted in [`Stats::limited`]). Sessions that are known already go on
    /// and may move. It holds for modes with a session store, [`Mode::table`] and [`Mode::learn`]; others keep nothing.
    #[must_use]
    pub fn session_limit(mut self, limit: SessionLimit) -> Self {
        self.settings.new_sessions = Some(Arc::new(NewSessions::new(limit)));
        self
    }

    /// Where the dates of cookies come from: the system's clock by default, and where this one panics.
    #[must_use]
    pub fn clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.settings.now = Arc::new(now);
        self
    }

    fn now(&self) -> SystemTime {
        guarded(|| (self.settings.now)()).unwrap_or_else(SystemTime::now)
    }

    fn follow(&self) -> Result<(), InvalidValues> {
        self.shared.mode.follow(&self.shared.members)
    }

    /// What has become of requests so far.
    pub fn stats(&self) -> Stats {
        self.shared.counters.stats()
    }
}

/// Why a mode does not fit a pool.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMode {
    /// [`Mode::hash`] over a pool whose strategy pays no heed to keys.
    #[error(
        "the pool's strategy does not place by key: use one that does, such as maglev, ring or rendezvous, or a table"
    )]
    NoKeys,
    /// Endpoints cannot be named in the mode's cookie.
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
