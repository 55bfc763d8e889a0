//! What changes in the pools of a monitor: the changes of each pool, and those of its health, as events.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll},
    time::SystemTime,
};

use equipoise_core::{
    __private::{ChangeWatch, PoolChange},
    EndpointId,
};
#[cfg(feature = "health")]
use equipoise_health::{AvailabilityChange, AvailabilityChanges, Health};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::event::MonitorEventKind;
use crate::source::WatchedPool;

/// The source of a change of availability that does not come from health checks.
pub(super) const SOURCE_POOL: &str = "pool";

/// The maximum number of endpoints in the changes of one pool that wait for the monitor's task. If there are more, further
/// changes are only counted. It bounds the memory if the task cannot run.
const MAX_QUEUED: usize = 16_384;

/// When something happened, and what.
pub(super) type Happened = (SystemTime, MonitorEventKind);

/// The changes of all pools of a monitor, as long as a task reads them.
#[derive(Default)]
pub(super) struct Feeds {
    pools: Vec<PoolFeed>,
    #[cfg(feature = "health")]
    health: Vec<HealthFeed>,
}

impl Feeds {
    /// Begins to follow the pools of `watched` that are not followed yet. Those that are not in `watched` are followed
    /// no longer, after the changes that they have had until now were read.
    pub(super) fn follow(&mut self, watched: &[WatchedPool], wake: &Arc<Notify>) {
        for feed in &mut self.pools {
            if !watched.iter().any(|pool| feed.pool.is_same_pool(pool)) {
                feed.watch = None;
            }
        }
        for pool in watched {
            match self.pools.iter_mut().find(|feed| feed.watch.is_some() && feed.pool.is_same_pool(pool)) {
                Some(feed) => feed.pool = pool.clone(),
                None => self.pools.push(PoolFeed::new(pool.clone(), wake)),
            }
        }
        #[cfg(feature = "health")]
        {
            for feed in &mut self.health {
                feed.is_watched = watched.iter().any(|pool| feed.is_of(pool));
            }
            for pool in watched.iter().filter(|pool| pool.health.is_some()) {
                if !self.health.iter().any(|feed| feed.is_watched && feed.is_of(pool)) {
                    self.health.extend(HealthFeed::new(pool));
                }
            }
        }
        wake.notify_one();
    }

    /// Returns what has happened since the last call, roughly in the order of time. The task of `context` is woken when
    /// the health of an endpoint changes. Changes of pools wake the `wake` of [`follow`](Self::follow).
    ///
    /// Also returns what is followed no longer. Drop it without a lock: it may be the last handle of a pool.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> (Poll<Vec<Happened>>, Self) {
        let (mut happened, mut ended) = (Vec::new(), Self::default());
        self.pools.iter_mut().for_each(|feed| feed.read(&mut happened));
        ended.pools = self.pools.extract_if(.., |feed| feed.watch.is_none()).collect();
        #[cfg(feature = "health")]
        {
            self.health.iter_mut().for_each(|feed| feed.read(context, &mut happened));
            ended.health = self.health.extract_if(.., |feed| !feed.is_watched).collect();
        }
        #[cfg(not(feature = "health"))]
        let _ = context;
        if happened.is_empty() {
            return (Poll::Pending, ended);
        }
        // Stable, and pools come first: the health of an endpoint changes after it has joined.
        happened.sort_by_key(|(at, _)| *at);
        (Poll::Ready(happened), ended)
    }
}

struct PoolFeed {
    pool: WatchedPool,
    queue: Arc<Mutex<Queue>>,
    /// `None` if the pool is not watched any more.
    watch: Option<ChangeWatch>,
}

#[derive(Default)]
struct Queue {
    changes: VecDeque<(SystemTime, PoolChange)>,
    /// The number of endpoints in the changes.
    endpoints: usize,
    /// The number of changes for which there was no room.
    missed: u64,
}

impl Queue {
    fn add(&mut self, change: PoolChange) {
        let PoolChange { members, weights, limits, availabilities, .. } = &change;
        let lists = [&members.added, &members.removed, &members.replaced, &members.changed, &members.retargeted];
        let endpoints = lists.map(Vec::len).iter().sum::<usize>() + weights.len() + limits.len() + availabilities.len();
        // A single change may be larger than the maximum. Later ones must not overtake the one that was missed.
        if self.missed > 0 || !self.changes.is_empty() && self.endpoints + endpoints > MAX_QUEUED {
            self.missed += 1;
            return;
        }
        self.endpoints += endpoints;
        self.changes.push_back((SystemTime::now(), change));
    }
}

impl PoolFeed {
    fn new(pool: WatchedPool, wake: &Arc<Notify>) -> Self {
        let queue: Arc<Mutex<Queue>> = Arc::default();
        let (sink, wake) = (Arc::clone(&queue), Arc::clone(wake));
        // Called while the pool is locked for changes: it only puts the change into the queue.
        let watch = pool.pool.watch(Box::new(move |change| {
            sink.lock().add(change);
            wake.notify_one();
        }));
        Self { pool, queue, watch: Some(watch) }
    }

    fn read(&mut self, happened: &mut Vec<Happened>) {
        let Queue { changes, missed, .. } = std::mem::take(&mut *self.queue.lock());
        for (at, change) in changes {
            self.events(change, |event| happened.push((at, event)));
        }
        if missed > 0 {
            let pool = Arc::clone(&self.pool.name);
            happened.push((SystemTime::now(), MonitorEventKind::ChangesMissed { pool, changes: missed }));
        }
    }

    fn events(&self, change: PoolChange, mut event: impl FnMut(MonitorEventKind)) {
        let name = || Arc::clone(&self.pool.name);
        let members = change.members;
        if !members.is_empty() {
            let mut unlisted = 0;
            let mut list = |ids: Vec<EndpointId>| bounded(ids, &mut unlisted);
            let (added, removed, replaced) = (list(members.added), list(members.removed), list(members.replaced));
            let (changed, retargeted) = (list(members.changed), list(members.retargeted));
            event(MonitorEventKind::Membership {
                pool: name(),
                added,
                removed,
                replaced,
                changed,
                retargeted,
                unlisted,
            });
        }
        for (endpoint, from, to) in change.limits {
            event(MonitorEventKind::LimitChanged { pool: name(), endpoint, from, to });
        }
        for (endpoint, from, to) in change.weights {
            event(MonitorEventKind::WeightChanged { pool: name(), endpoint, from, to });
        }
        #[cfg(feature = "health")]
        if self.pool.health.is_some() {
            // The health reports them, with their reasons.
            return;
        }
        for (endpoint, from, to) in change.availabilities {
            event(MonitorEventKind::Health {
                pool: name(),
                endpoint,
                from: from.as_str(),
                to: to.as_str(),
                source: SOURCE_POOL,
                reason: String::new(),
            });
        }
    }
}

/// Returns the first ids of a list, and adds the number of the others to `unlisted`.
fn bounded(mut ids: Vec<EndpointId>, unlisted: &mut usize) -> Vec<EndpointId> {
    *unlisted += ids.len().saturating_sub(MonitorEventKind::MAX_LISTED);
    ids.truncate(MonitorEventKind::MAX_LISTED);
    ids.shrink_to_fit();
    ids
}

#[cfg(feature = "health")]
struct HealthFeed {
    name: Arc<str>,
    health: Health,
    changes: AvailabilityChanges,
    /// Whether the pool is still watched with this health.
    is_watched: bool,
}

#[cfg(feature = "health")]
impl HealthFeed {
    fn new(pool: &WatchedPool) -> Option<Self> {
        let health = pool.health.clone()?;
        Some(Self { name: Arc::clone(&pool.name), changes: health.changes(), health, is_watched: true })
    }

    fn is_of(&self, pool: &WatchedPool) -> bool {
        pool.name == self.name && pool.health.as_ref().is_some_and(|health| health.is_same(&self.health))
    }

    fn read(&mut self, context: &mut Context<'_>, happened: &mut Vec<Happened>) {
        while let Poll::Ready(Some(change)) = self.changes.poll_next(context) {
            let AvailabilityChange { id, from, to, source, reason, at, .. } = change;
            // The time of the change is on the clock of the health.
            let now = SystemTime::now();
            let at = now.checked_sub(self.health.now().since(at)).unwrap_or(now);
            happened.push((
                at,
                MonitorEventKind::Health {
                    pool: Arc::clone(&self.name),
                    endpoint: id,
                    from: from.as_str(),
                    to: to.as_str(),
                    source: source.as_str(),
                    reason,
                },
            ));
        }
    }
}
