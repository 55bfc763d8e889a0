//! What joins a mode, a pool and what is to happen when the two do not fit.

mod counters;
mod explained;
mod roster;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use equipoise_core::{Binding, EndpointId, Missed, Pool, Preference};
use equipoise_tower::{Placement, RequestHead, ServedBy};
use http::{Response, request::Parts};

use self::{counters::Counters, roster::Roster};
pub use self::{counters::Stats, explained::Explained};
use crate::{
    fallback::Fallback,
    guard::guarded,
    mode::{Answer, Home, InvalidValues, Kind, Memo, Mode},
    outcome::{Outcome, Unbound},
    store::{Lookup, StoreError},
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
    until: Option<f32>,
    lookup: Duration,
    now: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    except: Option<Arc<Except>>,
}

type Except = dyn Fn(RequestHead<'_>) -> bool + Send + Sync;

struct Shared {
    mode: Kind,
    roster: Roster,
    counters: Counters,
}

/// A request on its way: what is remembered of it until its response comes.
pub(crate) struct Track {
    home: Result<EndpointId, Unbound>,
    keyed: bool,
    session: Option<bytes::Bytes>,
    memo: Memo,
}

/// What is known of a request at once, and what has to be asked.
pub(crate) struct Sighting {
    pub(crate) lookup: Option<Lookup>,
    pub(crate) track: Track,
    /// Whether the session had an endpoint that has left.
    lost: bool,
}

impl Affinity {
    /// This mode over this pool: a request that has no binding goes where the strategy says, and one that cannot go
    /// where it belongs goes to whoever stands in, and stays there.
    ///
    /// # Errors
    ///
    /// When endpoints cannot be named in the mode's cookie. Of those that join later and cannot be named, a warning is
    /// logged, and nobody is bound to them.
    pub fn new<T: Send + Sync + 'static>(pool: &Pool<T>, mode: Mode) -> Result<Self, InvalidValues> {
        let shared = Shared { mode: mode.0, roster: Roster::new(pool.clone()), counters: Counters::default() };
        let settings = Settings {
            missing: Fallback::Rebind,
            unavailable: Fallback::Rebind,
            until: None,
            lookup: Duration::from_millis(100),
            now: Arc::new(SystemTime::now),
            except: None,
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

    /// What happens to a request whose endpoint cannot take it: it has left, is closed or unfit, has just failed it, or
    /// is at its limit.
    #[must_use]
    pub fn unavailable(mut self, fallback: Fallback) -> Self {
        self.settings.unavailable = fallback;
        self
    }

    /// An endpoint that is at its limit, or would get more than `factor` times its share of what its tier has in flight,
    /// is left, and come back to when it has less: the session does not move. For caches, and for inference servers that
    /// keep what they have read, where home is better than elsewhere and waiting is worse than both. See
    /// [`Binding::until`]; usually from 1.2 to 2. What fails or leaves is still dealt with as
    /// [`unavailable`](Self::unavailable) says, of which only [`Fallback::Rebind`] fits.
    #[must_use]
    pub fn until_saturated(mut self, factor: f32) -> Self {
        self.settings.until = Some(factor);
        self
    }

    /// The longest that a request waits for the session store: 100 ms by default. A store that takes longer is away. A
    /// store with a shorter time limit of its own keeps to that.
    #[must_use]
    pub fn lookup_limit(mut self, longest: Duration) -> Self {
        self.settings.lookup = longest;
        self
    }

    /// Requests that are not bound, whatever they bring, and get no cookie: HAProxy's `ignore-persist`. A panic in it
    /// counts as `false`.
    #[must_use]
    pub fn except(mut self, except: impl Fn(RequestHead<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.settings.except = Some(Arc::new(except));
        self
    }

    /// Where the dates of cookies come from: the system's clock by default, and where this one panics.
    #[must_use]
    pub fn clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.settings.now = Arc::new(now);
        self
    }

    /// What has become of requests so far.
    pub fn stats(&self) -> Stats {
        self.shared.counters.stats()
    }

    fn now(&self) -> SystemTime {
        guarded(|| (self.settings.now)()).unwrap_or_else(SystemTime::now)
    }

    pub(crate) fn longest_lookup(&self) -> Duration {
        self.settings.lookup
    }

    /// Whom a request belongs to, so far as it can be told at once. What its endpoint is not to see is taken out.
    pub(crate) fn sight(&self, head: &mut Parts) -> Sighting {
        if let Err(unfit) = self.follow() {
            tracing::warn!("{unfit}");
        }
        let Shared { mode, roster, .. } = &*self.shared;
        let excepted = self.settings.except.as_ref().is_some_and(|except| {
            let head = RequestHead::of_parts(head);
            guarded(|| except(head)).unwrap_or(false)
        });
        let sought = match excepted {
            true => mode.disregard(head),
            false => mode.seek(head, self.now(), |id| roster.pool().takes(id)),
        };
        let (home, keyed, lookup, lost) = match sought.home {
            Home::Known(home) => (home, false, None, false),
            Home::Lost(why) => (Err(why), false, None, true),
            Home::Keyed => (Err(Unbound::Unknown), true, None, false),
            Home::Asked(lookup) => (Err(Unbound::Unknown), false, Some(lookup), false),
        };
        Sighting { lookup, track: Track { home, keyed, session: sought.session, memo: sought.memo }, lost }
    }

    /// Tells the mode who has left the pool and who is there.
    fn follow(&self) -> Result<(), InvalidValues> {
        let Shared { mode, roster, .. } = &*self.shared;
        roster.follow(|id| mode.left(id), |endpoints| mode.there(endpoints))
    }

    /// Where the request is to go; or why it has no binding, if it may then not go anywhere.
    pub(crate) fn place(
        &self,
        sighting: Sighting,
        found: Option<Result<Option<EndpointId>, StoreError>>,
    ) -> Result<(Track, Placement), Unbound> {
        let Sighting { mut track, lost, .. } = sighting;
        if let Some(found) = found {
            track.home = found.map_err(Unbound::from).and_then(|id| id.ok_or(Unbound::Unknown));
        }
        let mut placement = Placement::new();
        if track.keyed {
            if let Some(key) = &track.session {
                placement = placement.key(key.clone());
            }
            return Ok((track, placement));
        }
        let fallback = match &track.home {
            Ok(_) => self.settings.unavailable,
            Err(Unbound::Off) => Fallback::Rebind,
            Err(_) => self.settings.missing,
        };
        match (&track.home, fallback) {
            (Err(why), Fallback::Refuse) => return Err(*why),
            (_, Fallback::Wait(longest)) => placement = placement.wait(longest),
            _ => {}
        }
        if let Some(mut binding) = self.binding(&track, lost) {
            if track.home.is_ok() && fallback != Fallback::Rebind {
                binding = binding.strict();
            }
            placement = placement.binding(binding);
        }
        Ok((track, placement))
    }

    fn binding(&self, track: &Track, lost: bool) -> Option<Binding> {
        let mut binding = match &track.home {
            Ok(home) => Binding::to(home.clone()),
            // No endpoint has an empty id: it is gone, and the session says who stands in.
            Err(_) if lost => Binding::to(""),
            Err(_) => return None,
        };
        if let Some(session) = &track.session {
            binding = binding.session(session);
        }
        if let Some(factor) = self.settings.until {
            binding = binding.until(factor);
        }
        Some(binding)
    }

    /// A request was placed, or not let in.
    pub(crate) fn count(&self, placed: &Result<(Track, Placement), Unbound>) {
        let counters = &self.shared.counters;
        match placed {
            Ok((Track { home: Err(why), keyed: false, .. }, _)) => counters.unbound(*why),
            Ok(_) => {}
            Err(why) => {
                counters.unbound(*why);
                counters.refused();
            }
        }
    }

    /// Remembers who answered, tells the client what it is to bring next time, and notes on the response how the request
    /// was bound.
    pub(crate) fn settle<B>(&self, track: Track, response: &mut Response<B>) {
        let Track { home, keyed, session, memo } = track;
        let served = response.extensions().get().map(|ServedBy(id)| id.clone());
        let Some(served) = served else { return };
        let preference = response.extensions().get().copied().unwrap_or(Preference::Free);
        let missed = match preference {
            Preference::Missed(missed) => Some(missed),
            _ => None,
        };
        let away = self.settings.until.is_some() && missed.is_some_and(Missed::is_overflow);
        let kept = home.as_ref().is_ok_and(|home| *home == served);
        let answer = Answer {
            served: &served,
            home: home.as_ref().ok(),
            binds: !(kept || away && home.is_ok()),
            session: session.as_deref(),
            status: response.status(),
            now: self.now(),
        };
        let bound = self.shared.mode.settle(memo, &answer, response.headers_mut());
        let outcome = match (home, missed) {
            _ if keyed => Outcome::Keyed,
            (Ok(_), _) if kept => Outcome::Kept,
            (Ok(home), Some(why)) if away => Outcome::Away { home, why },
            (Ok(from), why) => Outcome::Moved { from, why: why.unwrap_or(Missed::Gone) },
            (Err(why), _) if bound => Outcome::New(why),
            (Err(why), _) => Outcome::Unbound(why),
        };
        self.shared.counters.answered(&outcome);
        response.extensions_mut().insert(outcome);
    }
}

impl From<StoreError> for Unbound {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Away { .. } => Self::StoreAway,
            StoreError::Garbage { .. } => Self::StoreGarbage,
        }
    }
}

impl fmt::Debug for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Affinity")
            .field("missing", &self.settings.missing)
            .field("unavailable", &self.settings.unavailable)
            .field("until", &self.settings.until)
            .finish_non_exhaustive()
    }
}
