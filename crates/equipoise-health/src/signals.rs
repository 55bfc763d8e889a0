//! What requests say, gathered where they end.

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use equipoise_core::{EndpointId, Failure, Timestamp, Verdict};
use parking_lot::Mutex;

use crate::{
    machine::{Counts, Signal, Trip},
    settings::Outliers,
};

/// What the requests to one endpoint have said. Atomics, because requests end on all threads at once; nothing is sent and
/// nothing is lost: what matters at once raises a flag, and the first flag raised wakes the driver.
#[derive(Debug)]
pub(crate) struct Signals {
    id: EndpointId,
    rules: Outliers,
    /// In a row.
    failures: AtomicU32,
    gateway: AtomicU32,
    connection: AtomicU32,
    within: Within,
    counters: Counters,
    on_trial: AtomicBool,
    raised: AtomicU8,
    /// Nanoseconds; the longest that was asked for.
    pause: AtomicU64,
    board: Weak<Board>,
    this: Weak<Signals>,
}

#[derive(Debug, Default)]
struct Counters {
    successes: AtomicU64,
    failures: AtomicU64,
    samples: AtomicU64,
    nanos: AtomicU64,
}

/// All signals of a pool's endpoints, and those that have something to say.
#[derive(Default)]
pub(crate) struct Board {
    all: Mutex<HashMap<EndpointId, Weak<Signals>>>,
    raised: Mutex<Vec<Arc<Signals>>>,
    wake: Mutex<Option<Box<dyn Fn() + Send + Sync>>>,
}

const FAILURES: u8 = 1;
const GATEWAY: u8 = 2;
const CONNECTION: u8 = 4;
const WITHIN: u8 = 8;
const TRIAL_PASSED: u8 = 16;
const TRIAL_FAILED: u8 = 32;
const PAUSE: u8 = 64;

impl Signals {
    pub(crate) fn sampled(&self, latency: Duration) {
        if self.rules.latency.is_some() {
            self.counters.samples.fetch_add(1, Relaxed);
            self.counters.nanos.fetch_add(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        }
    }

    pub(crate) fn observed(&self, verdict: Verdict, now: Timestamp) {
        match verdict {
            Verdict::Success => self.succeeded(),
            Verdict::Failure(failure) => self.failed(failure, now),
            Verdict::Overloaded { retry_after: Some(time) } if self.rules.longest_pause.is_some() => {
                self.pause.fetch_max(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Relaxed);
                self.raise(PAUSE);
            }
            _ => {}
        }
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
        if self.on_trial.load(Relaxed) && self.on_trial.swap(false, Relaxed) {
            self.raise(TRIAL_PASSED);
        }
    }

    fn failed(&self, failure: Failure, now: Timestamp) {
        if self.rules.counts() {
            self.counters.failures.fetch_add(1, Relaxed);
        }
        let connection = matches!(failure, Failure::Connect | Failure::Transport | Failure::Timeout);
        let mut raised = 0;
        let mut row = |row: &AtomicU32, most: Option<u32>, flag, counts: bool| {
            let Some(most) = most.filter(|_| counts) else { return };
            // Counted from the start again, in case it cannot be ejected now.
            if row.fetch_add(1, Relaxed) + 1 >= most {
                row.store(0, Relaxed);
                raised |= flag;
            }
        };
        row(&self.failures, self.rules.failures, FAILURES, true);
        row(&self.gateway, self.rules.gateway, GATEWAY, connection || failure == Failure::Gateway);
        row(&self.connection, self.rules.connection, CONNECTION, connection);
        if let Some((most, time)) = self.rules.within {
            raised |= if self.within.count(now, time) >= most { WITHIN } else { 0 };
        }
        if self.on_trial.load(Relaxed) && self.on_trial.swap(false, Relaxed) {
            raised |= TRIAL_FAILED;
        }
        if raised != 0 {
            self.raise(raised);
        }
    }

    /// The next verdict decides.
    pub(crate) fn try_out(&self) {
        self.on_trial.store(true, Relaxed);
    }

    pub(crate) fn id(&self) -> &EndpointId {
        &self.id
    }

    fn raise(&self, flags: u8) {
        // Whoever raises the first flag says so; whoever comes until they are taken down adds theirs.
        if self.raised.fetch_or(flags, Relaxed) == 0
            && let (Some(board), Some(this)) = (self.board.upgrade(), self.this.upgrade())
        {
            board.raised.lock().push(this);
            if let Some(wake) = &*board.wake.lock() {
                wake();
            }
        }
    }

    /// What was raised, which is then taken down.
    pub(crate) fn take(&self) -> impl Iterator<Item = Signal> + use<> {
        let raised = self.raised.swap(0, Relaxed);
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
    /// The signals of an endpoint that joins.
    pub(crate) fn join(self: &Arc<Self>, id: &EndpointId, rules: Outliers) -> Arc<Signals> {
        let signals = Arc::new_cyclic(|this| Signals {
            id: id.clone(),
            rules,
            failures: AtomicU32::new(0),
            gateway: AtomicU32::new(0),
            connection: AtomicU32::new(0),
            within: Within::default(),
            counters: Counters::default(),
            on_trial: AtomicBool::new(false),
            raised: AtomicU8::new(0),
            pause: AtomicU64::new(0),
            board: Arc::downgrade(self),
            this: Weak::clone(this),
        });
        self.all.lock().insert(id.clone(), Arc::downgrade(&signals));
        signals
    }

    pub(crate) fn get(&self, id: &EndpointId) -> Option<Arc<Signals>> {
        self.all.lock().get(id).and_then(Weak::upgrade)
    }

    /// Whom to tell that something was raised.
    pub(crate) fn wake_by(&self, wake: impl Fn() + Send + Sync + 'static) {
        *self.wake.lock() = Some(Box::new(wake));
    }

    /// Those that have something to say.
    pub(crate) fn raised(&self) -> Vec<Arc<Signals>> {
        std::mem::take(&mut *self.raised.lock())
    }

    /// What requests came to since the last time.
    pub(crate) fn count(&self) -> Vec<(EndpointId, Counts)> {
        let mut all = self.all.lock();
        all.retain(|_, signals| signals.strong_count() > 0);
        all.iter().filter_map(|(id, signals)| Some((id.clone(), signals.upgrade()?.count()))).collect()
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
}
