//! Takes samples: compares each snapshot with the one of the last second.

use std::{collections::HashMap, sync::Arc, time::Duration};

use equipoise_core::{EndpointStatus, LatencyHistogram, RequestCounts, Revision};
use tokio::time::Instant;

use super::{
    history::{Live, LiveSettings, PoolHistory, push},
    sample::Sample,
};
use crate::{
    report::{EndpointReport, PoolReport, Snapshot},
    source::WatchedPool,
};

/// The minimum time that a sample covers. If a pool is first seen at the end of a second, its first sample is that of
/// the next second: a rate over less time would be that of few requests.
const MIN_ELAPSED: Duration = Duration::from_millis(100);

/// The maximum time between two samples of successive tasks that are compared with each other.
const MAX_GAP: Duration = Duration::from_secs(2);

/// Makes a [`Live`] of each snapshot.
pub(super) struct Sampler {
    pub(super) settings: LiveSettings,
    newest: Arc<Live>,
    /// What is known of each pool of the newest snapshot, in its order.
    pools: Vec<Tracked>,
}

struct Tracked {
    pool: WatchedPool,
    base: Base,
}

/// A reading of a pool with which the next sample is compared.
#[derive(Clone)]
struct Base {
    snapshot: Arc<Snapshot>,
    /// The position of the pool in the snapshot.
    at: usize,
    /// When the snapshot was taken.
    taken: Instant,
}

impl Base {
    fn report(&self) -> Option<&PoolReport> {
        self.snapshot.pools.get(self.at)
    }
}

impl Default for Sampler {
    fn default() -> Self {
        Self { settings: LiveSettings::new(), newest: Arc::new(Live::empty()), pools: Vec::new() }
    }
}

impl Sampler {
    /// Prepares for samples after another task has ended. If nothing was sampled for some time, forgets with which
    /// snapshot the next sample is compared: it would be the mean of a long time. The samples stay.
    pub(super) fn restart(&mut self, now: Instant) {
        self.pools.retain(|pool| now.saturating_duration_since(pool.base.taken) < MAX_GAP);
    }

    /// Drops the handles of pools. The samples stay.
    pub(super) fn forget_pools(&mut self) {
        self.pools.clear();
    }

    /// Returns the number of endpoints in the newest snapshot.
    pub(super) fn endpoints(&self) -> usize {
        self.newest.snapshot.pools.iter().map(|pool| pool.endpoints.len() + pool.departed.len()).sum()
    }

    /// Makes the next [`Live`] of a snapshot that was taken at `now` of these pools. If `is_second`, a second has ended:
    /// each pool and endpoint gets a sample.
    pub(super) fn advance(
        &mut self,
        pools: Vec<WatchedPool>,
        snapshot: Snapshot,
        now: Instant,
        is_second: bool,
    ) -> Arc<Live> {
        let snapshot = Arc::new(snapshot);
        let last = Arc::clone(&self.newest);
        let mut tracked: HashMap<Arc<str>, Tracked> =
            self.pools.drain(..).map(|it| (Arc::clone(&it.pool.name), it)).collect();
        let mut histories = Vec::with_capacity(pools.len());
        for (at, (pool, report)) in pools.into_iter().zip(&snapshot.pools).enumerate() {
            let mut history = history_of(&last, report);
            let mut base = Base { snapshot: Arc::clone(&snapshot), at, taken: now };
            let mut elapsed = Duration::ZERO;
            let known = tracked.remove(&pool.name).filter(|known| known.pool.is_same_pool(&pool));
            if let Some(known) = known {
                elapsed = now.saturating_duration_since(known.base.taken);
                if !is_second || elapsed < MIN_ELAPSED {
                    base = known.base;
                } else if let Some(before) = known.base.report() {
                    self.sample(Arc::make_mut(&mut history), before, report, elapsed);
                }
            }
            if is_second && elapsed < MIN_ELAPSED {
                // A sample without rates, so that all histories move on by one.
                self.sample(Arc::make_mut(&mut history), report, report, elapsed);
            }
            histories.push(history);
            self.pools.push(Tracked { pool, base });
        }
        let seconds = last.seconds + u64::from(is_second);
        self.newest = Arc::new(Live { tick: last.tick + 1, seconds, snapshot, pools: histories });
        Arc::clone(&self.newest)
    }

    /// Adds a sample to the history of a pool and to those of its endpoints.
    fn sample(&self, history: &mut PoolHistory, before: &PoolReport, after: &PoolReport, elapsed: Duration) {
        let max = self.settings.samples;
        let of_endpoints = after.endpoints.len() <= self.settings.max_endpoints;
        let earlier = Earlier::new(before, after);
        let mut all: Option<LatencyHistogram> = None;
        for (at, report) in after.endpoints.iter().enumerate() {
            let (then, now) = (earlier.status(at, report), &report.status);
            let latency = added(then, now);
            if let Some(samples) = history.endpoints.get_mut(at) {
                match of_endpoints {
                    true => {
                        let counts = then.map_or_else(RequestCounts::default, |then| then.requests);
                        push(samples, Sample::between(&counts, &now.requests, latency.as_ref(), elapsed), max);
                    }
                    false => *samples = Default::default(),
                }
            }
            add(&mut all, latency);
        }
        for (at, report) in after.departed.iter().enumerate() {
            add(&mut all, added(earlier.status(after.endpoints.len() + at, report), &report.status));
        }
        let sample = Sample::between(&before.stats.attempts, &after.stats.attempts, all.as_ref(), elapsed);
        push(&mut history.samples, sample, max);
    }
}

/// Returns the history of the pool with this name, in the order of the endpoints in the new report.
fn history_of(last: &Live, report: &PoolReport) -> Arc<PoolHistory> {
    let known = last.snapshot.pools.iter().zip(&last.pools).find(|(old, _)| old.name == report.name);
    match known {
        Some((old, history)) if old.endpoints.iter().map(id).eq(report.endpoints.iter().map(id)) => Arc::clone(history),
        Some((old, history)) => {
            let mut history = PoolHistory::clone(history);
            history.reorder(&old.endpoints, &report.endpoints);
            Arc::new(history)
        }
        None => {
            let endpoints = report.endpoints.iter().map(|_| Default::default()).collect();
            Arc::new(PoolHistory { samples: Default::default(), endpoints })
        }
    }
}

fn id(report: &EndpointReport) -> &str {
    report.status.id.as_str()
}

/// The statuses of the endpoints of a pool in an earlier report.
struct Earlier<'a> {
    before: &'a PoolReport,
    /// The statuses by id and the revision in which they joined. `None` if the endpoints are the same, in the same
    /// order, as in the later report.
    by_id: Option<HashMap<Key<'a>, &'a EndpointStatus>>,
}

/// An endpoint that leaves and comes back is another one: its counters begin at 0 again.
type Key<'a> = (&'a str, Revision);

fn key(report: &EndpointReport) -> Key<'_> {
    (report.status.id.as_str(), report.status.joined)
}

fn all(pool: &PoolReport) -> impl Iterator<Item = &EndpointReport> {
    pool.endpoints.iter().chain(&pool.departed)
}

impl<'a> Earlier<'a> {
    fn new(before: &'a PoolReport, after: &PoolReport) -> Self {
        let same = before.endpoints.len() == after.endpoints.len() && all(before).map(key).eq(all(after).map(key));
        let by_id = (!same).then(|| all(before).map(|report| (key(report), &report.status)).collect());
        Self { before, by_id }
    }

    /// Returns the earlier status of the endpoint that is at this position in the later report. `None` if it had not
    /// joined.
    fn status(&self, at: usize, report: &EndpointReport) -> Option<&'a EndpointStatus> {
        match &self.by_id {
            Some(by_id) => by_id.get(&key(report)).copied(),
            None => {
                let present = self.before.endpoints.len();
                let before = self.before.endpoints.get(at).or_else(|| self.before.departed.get(at - present));
                before.map(|report| &report.status)
            }
        }
    }
}

/// Returns the latencies that were added to a histogram.
fn added(before: Option<&EndpointStatus>, after: &EndpointStatus) -> Option<LatencyHistogram> {
    let after = after.latency.as_ref()?;
    match before.and_then(|before| before.latency.as_ref()) {
        Some(before) => Some(after.since(before)),
        None => Some(after.clone()),
    }
}

fn add(all: &mut Option<LatencyHistogram>, latency: Option<LatencyHistogram>) {
    match (all, latency) {
        (Some(all), Some(latency)) => all.add(&latency),
        (all @ None, latency) => *all = latency,
        (Some(_), None) => {}
    }
}
