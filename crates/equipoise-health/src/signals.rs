//! What requests say, gathered where they end.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc, Weak,
        atomic::{
            AtomicU8, AtomicU32, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

use equipoise_core::{EndpointId, Failure, Strategy, Timestamp, Verdict};
use parking_lot::Mutex;

use crate::{
    machine::{Counts, Event, Signal, Trip},
    saturating_nanos,
    settings::Outliers,
    watched::Watched,
};

/// What the requests of one pool say about its endpoints, for a [`Machine`](crate::Machine): whoever drives one by hand
/// needs it; [`Health`](crate::Health) has its own. Clones share it.
///
/// Requests end on all threads at once, so there are atomics per endpoint; nothing is sent and nothing is lost: what
/// matters at once raises a flag, and the first flag raised wakes the driver.
///
/// ```
/// use equipoise_core::{EndpointSpec, Failure, P2c, PickRequest, Pool, Verdict};
/// use equipoise_health::{Event, Outliers, Signal, Signals, Trip};
///
/// let signals = Signals::new(Outliers::new().consecutive_failures(2));
/// let pool = Pool::new(signals.watch(P2c::new()));
/// pool.add(EndpointSpec::new("a:80"), ())?;
/// for _ in 0..2 {
///     pool.pick(&PickRequest::new())?.finish(Verdict::Failure(Failure::Server));
/// }
/// let said = signals.take();
/// assert!(matches!(&said[..], [Event::Signalled { signal: Signal::Tripped(Trip::Failures(2)), .. }]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Signals(Arc<Board>);

struct Board {
    rules: Option<Outliers>,
    /// By id, the newest last: one that is replaced lives on with its leases, and one that is made may be refused.
    all: Mutex<HashMap<EndpointId, Vec<Weak<Witness>>>>,
    raised: Mutex<Vec<Weak<Witness>>>,
    wake: Mutex<Option<Arc<dyn Fn() + Send + Sync>>>,
}

/// What the requests to one endpoint have said.
#[derive(Debug)]
pub(crate) struct Witness {
    id: EndpointId,
    rules: Outliers,
    /// In a row.
    failures: AtomicU32,
    gateway: AtomicU32,
    connection: AtomicU32,
    within: Within,
    counters: Counters,
    raised: AtomicU8,
    /// Nanoseconds; the longest that was asked for.
    pause: AtomicU64,
    /// Kept where requests that are given up [count](Outliers::on_abandon).
    usual: Usual,
    board: Weak<Board>,
    this: Weak<Witness>,
}

#[derive(Debug, Default)]
struct Counters {
    successes: AtomicU64,
    failures: AtomicU64,
    samples: AtomicU64,
    nanos: AtomicU64,
}

/// The usual time to the first byte: a moving average in nanoseconds, 0 before the first answer.
#[derive(Debug, Default)]
struct Usual(AtomicU64);

impl Usual {
    fn sample(&self, latency: Duration) {
        let latency = saturating_nanos(latency).max(1);
        let next = |usual: u64| match usual {
            0 => latency,
            _ => usual - usual / 16 + latency / 16,
        };
        let _ = self.0.fetch_update(Relaxed, Relaxed, |usual| Some(next(usual)));
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

const FAILURES: u8 = 1;
const GATEWAY: u8 = 2;
const CONNECTION: u8 = 4;
const WITHIN: u8 = 8;
const TRIAL_PASSED: u8 = 16;
const TRIAL_FAILED: u8 = 32;
const PAUSE: u8 = 64;

impl Witness {
    pub(crate) fn on_latency(&self, latency: Duration) {
        if self.rules.abandoned.is_some() {
            self.usual.sample(latency);
        }
        if self.rules.latency.is_some() {
            self.counters.samples.fetch_add(1, Relaxed);
            self.counters.nanos.fetch_add(saturating_nanos(latency), Relaxed);
        }
    }

    /// Whether a request that was given up after this time counts as a timeout.
    pub(crate) fn is_timeout(&self, waited: Duration) -> bool {
        let Some(times) = self.rules.abandoned else { return false };
        let usual = match self.usual.get() {
            // It has never answered: then it takes longer than any that does.
            0 => self.board.upgrade().map_or(0, |board| board.slowest_usual()),
            usual => usual,
        };
        usual > 0 && saturating_nanos(waited) as f64 >= times * usual as f64
    }

    pub(crate) fn on_outcome(&self, verdict: Verdict, now: Timestamp) {
        match verdict {
            Verdict::Success => self.succeeded(),
            Verdict::Failure(failure) => self.failed(failure, now),
            Verdict::Overloaded { retry_after: Some(time) } if self.rules.longest_pause.is_some() => self.pause(time),
            Verdict::Unavailable { retry_after } => match retry_after.filter(|time| !time.is_zero()) {
                Some(time) if self.rules.longest_pause.is_some() => self.pause(time),
                _ => self.failed(Failure::Gateway, now),
            },
            _ => {}
        }
    }

    fn pause(&self, time: Duration) {
        self.pause.fetch_max(saturating_nanos(time), Relaxed);
        self.raise(PAUSE);
    }

    fn succeeded(&self) {
        if self.rules.counts() {
            self.counters.successes.fetch_add(1, Relaxed);
        }
        // Looked at first, so that all goes well without writing.
        for row in [&self.failures, &self.gateway, &self.connection] {
            if row.load(Relaxed) != 0 {
                row.store(0, Relaxed);
            }
        }
    }

    /// The request on trial has ended. An endpoint that is only overloaded works.
    pub(crate) fn on_probation(&self, verdict: Verdict) {
        let failed = matches!(verdict, Verdict::Failure(_) | Verdict::Unavailable { .. });
        self.raise(if failed { TRIAL_FAILED } else { TRIAL_PASSED });
    }

    fn failed(&self, failure: Failure, now: Timestamp) {
        if self.rules.counts() {
            self.counters.failures.fetch_add(1, Relaxed);
        }
        let connection = matches!(failure, Failure::Connect | Failure::Transport | Failure::Timeout);
        let mut raised = 0;
        let mut row = |row: &AtomicU32, most: Option<u32>, flag, counts: bool| {
            let Some(most) = most else { return };
            if !counts {
                // Of another kind: so much for in a row.
                return row.store(0, Relaxed);
            }
            // Counted from the start again, in case it cannot be ejected now.
            if row.fetch_add(1, Relaxed) + 1 >= most {
                row.store(0, Relaxed);
                raised |= flag;
            }
        };
        row(&self.failures, self.rules.failures, FAILURES, true);
        row(&self.gateway, self.rules.gateway, GATEWAY, connection || failure == Failure::Gateway);
        row(&self.connection, self.rules.connection, CONNECTION, connection);
        if let Some((most, time)) = self.rules.within
            && self.within.count(now, time) >= most
        {
            self.within.forget();
            raised |= WITHIN;
        }
        if raised != 0 {
            self.raise(raised);
        }
    }

    fn raise(&self, flags: u8) {
        // Whoever raises the first flag says so; whoever comes until they are taken down adds theirs.
        if self.raised.fetch_or(flags, Release) == 0
            && let Some(board) = self.board.upgrade()
        {
            board.raised.lock().push(Weak::clone(&self.this));
            let wake = board.wake.lock().clone();
            if let Some(wake) = wake {
                wake();
            }
        }
    }

    /// What was raised, which is then taken down.
    fn take(&self) -> impl Iterator<Item = Signal> + use<> {
        let raised = self.raised.swap(0, Acquire);
        let trip = |most: Option<u32>, trip: fn(u32) -> Trip| Signal::Tripped(trip(most.unwrap_or_default()));
        let signals = [
            (FAILURES, trip(self.rules.failures, Trip::Failures)),
            (GATEWAY, trip(self.rules.gateway, Trip::Gateway)),
            (CONNECTION, trip(self.rules.connection, Trip::Connection)),
            (WITHIN, trip(self.rules.within.map(|(most, _)| most), Trip::Within)),
            (TRIAL_FAILED, Signal::TrialFailed),
            (TRIAL_PASSED, Signal::TrialPassed),
            (
                PAUSE,
                Signal::Pause(Duration::from_nanos(if raised & PAUSE != 0 { self.pause.swap(0, Relaxed) } else { 0 })),
            ),
        ];
        signals.into_iter().filter(move |(flag, _)| raised & flag != 0).map(|(_, signal)| signal)
    }

    fn count(&self) -> Counts {
        Counts {
            successes: self.counters.successes.swap(0, Relaxed),
            failures: self.counters.failures.swap(0, Relaxed),
            samples: self.counters.samples.swap(0, Relaxed),
            latency: Duration::from_nanos(self.counters.nanos.swap(0, Relaxed)),
        }
    }
}

impl Board {
    /// The slowest endpoint's usual time, in nanoseconds; 0 where none has answered. O(n).
    fn slowest_usual(&self) -> u64 {
        // Dropped after the lock, as one of them may be the last hold on its witness.
        let witnesses: Vec<Arc<Witness>> = self.all.lock().values().filter_map(|witnesses| newest(witnesses)).collect();
        witnesses.iter().map(|witness| witness.usual.get()).max().unwrap_or_default()
    }
}

impl Signals {
    /// For a pool whose requests are listened to by these rules; or not at all, by `None`.
    pub fn new(rules: impl Into<Option<Outliers>>) -> Self {
        let board =
            Board { rules: rules.into(), all: Mutex::default(), raised: Mutex::default(), wake: Mutex::default() };
        Self(Arc::new(board))
    }

    /// The strategy, with an ear for how requests end. It picks as before. For one pool.
    pub fn watch<S: Strategy>(&self, strategy: S) -> Watched<S> {
        Watched { inner: strategy, signals: self.clone() }
    }

    /// Whom to tell that there is something to [take](Self::take). Called on the threads on which requests end; must not
    /// block them.
    pub fn wake_by(&self, wake: impl Fn() + Send + Sync + 'static) {
        *self.0.wake.lock() = Some(Arc::new(wake));
    }

    /// What was said since the last time: [`Event::Signalled`].
    pub fn take(&self) -> Vec<Event> {
        let raised = std::mem::take(&mut *self.0.raised.lock());
        let mut events = Vec::new();
        for witness in raised.iter().filter_map(Weak::upgrade) {
            let signals = witness.take();
            // Not what somebody says who has left, or moved.
            if self.witness(&witness.id).is_some_and(|now| Arc::ptr_eq(&now, &witness)) {
                events.extend(signals.map(|signal| Event::Signalled { id: witness.id.clone(), signal }));
            }
        }
        events
    }

    /// What requests came to since the last time: [`Event::Counted`], the answer to
    /// [`Action::Count`](crate::Action::Count).
    pub fn count(&self) -> Event {
        // Out of the lock before any of them is dropped, which may be the last of it.
        let all: Vec<Arc<Witness>> = self.0.all.lock().values().filter_map(|witnesses| newest(witnesses)).collect();
        Event::Counted(all.iter().map(|witness| (witness.id.clone(), witness.count())).collect())
    }

    /// Whether there is any strategy that it listens to.
    #[cfg(feature = "tokio")]
    pub(crate) fn listens(&self) -> bool {
        !self.0.all.lock().is_empty()
    }

    pub(crate) fn rules(&self) -> Option<Outliers> {
        self.0.rules
    }

    /// A witness for an endpoint that joins.
    pub(crate) fn join(&self, id: &EndpointId) -> Option<Arc<Witness>> {
        let rules = self.0.rules?;
        let witness = Arc::new_cyclic(|this| Witness {
            id: id.clone(),
            rules,
            failures: AtomicU32::new(0),
            gateway: AtomicU32::new(0),
            connection: AtomicU32::new(0),
            within: Within::default(),
            counters: Counters::default(),
            raised: AtomicU8::new(0),
            pause: AtomicU64::new(0),
            usual: Usual::default(),
            board: Arc::downgrade(&self.0),
            this: Weak::clone(this),
        });
        self.0.all.lock().entry(id.clone()).or_default().push(Arc::downgrade(&witness));
        Some(witness)
    }

    fn witness(&self, id: &EndpointId) -> Option<Arc<Witness>> {
        newest(self.0.all.lock().get(id)?)
    }
}

/// The newest that is still there.
fn newest(witnesses: &[Weak<Witness>]) -> Option<Arc<Witness>> {
    witnesses.iter().rev().find_map(Weak::upgrade)
}

/// An endpoint that has left, with its last lease, leaves nothing behind. (A `Weak` alone keeps its allocation.)
impl Drop for Witness {
    fn drop(&mut self) {
        let Some(board) = self.board.upgrade() else { return };
        if let Entry::Occupied(mut witnesses) = board.all.lock().entry(self.id.clone()) {
            witnesses.get_mut().retain(|witness| !Weak::ptr_eq(witness, &self.this));
            if witnesses.get().is_empty() {
                witnesses.remove();
            }
        }
        if *self.raised.get_mut() != 0 {
            board.raised.lock().retain(|witness| !Weak::ptr_eq(witness, &self.this));
        }
    }
}

impl std::fmt::Debug for Signals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signals").field("rules", &self.0.rules).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Board {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Board").finish_non_exhaustive()
    }
}

/// Failures since the first of a window, in one word: when that was (units of 2²⁰ ns, about a millisecond) above, how many
/// below.
#[derive(Debug, Default)]
struct Within(AtomicU64);

impl Within {
    /// One more. Answers how many that makes.
    fn count(&self, now: Timestamp, window: Duration) -> u32 {
        let tick = (now.as_nanos() >> 20) as u32;
        let window = u64::try_from(window.as_nanos() >> 20).unwrap_or(u64::MAX);
        let next = |word: u64| {
            let (since, count) = ((word >> 32) as u32, word as u32);
            let is_over = count == 0 || u64::from(tick.wrapping_sub(since)) > window;
            let (since, count) = if is_over { (tick, 1) } else { (since, count.saturating_add(1)) };
            u64::from(since) << 32 | u64::from(count)
        };
        let before = self.0.fetch_update(Relaxed, Relaxed, |word| Some(next(word))).unwrap_or_default();
        next(before) as u32
    }

    fn forget(&self) {
        self.0.store(0, Relaxed);
    }
}
