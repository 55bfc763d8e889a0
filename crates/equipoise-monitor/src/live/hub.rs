//! What a monitor keeps for its events and samples: recorded events, subscribers, and the newest state.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::SystemTime,
};

use parking_lot::Mutex;
use tokio::sync::{Notify, broadcast, watch};

use super::{
    certificates::Certificates,
    event::{MonitorEvent, MonitorEventKind},
    feed::{Feeds, Happened},
    history::Live,
    log::log,
    sampler::Sampler,
    subscribe::MonitorEvents,
};
use crate::source::WatchedPool;

/// The number of events that are kept for new readers.
const MAX_RECENT: usize = 100;

/// The number of events that a subscriber may be late by.
const MAX_LATE: usize = 1_024;

/// The part of a [`Monitor`](crate::Monitor) that its events and samples need.
pub(crate) struct Hub {
    recorded: Mutex<Recorded>,
    subscribers: broadcast::Sender<Arc<MonitorEvent>>,
    live: watch::Sender<Arc<Live>>,
    /// Wakes the task: a pool has changed, or something else has happened that a new state should show soon.
    wake: Arc<Notify>,
    following: Mutex<Following>,
    /// Locked by the task that works, so that there is only one.
    work: Arc<tokio::sync::Mutex<Work>>,
}

/// What one task leaves for the next one.
#[derive(Default)]
pub(super) struct Work {
    pub(super) sampler: Sampler,
    pub(super) certificates: Certificates,
}

#[derive(Default)]
struct Recorded {
    last_id: u64,
    recent: VecDeque<Arc<MonitorEvent>>,
}

#[derive(Default)]
struct Following {
    /// The number of tasks that were spawned and have not ended. While it is 0, pools are not followed.
    tasks: usize,
    feeds: Feeds,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            recorded: Mutex::default(),
            subscribers: broadcast::Sender::new(MAX_LATE),
            live: watch::Sender::new(Arc::new(Live::empty())),
            wake: Arc::default(),
            following: Mutex::default(),
            work: Arc::default(),
        }
    }
}

impl Hub {
    /// Records an event: gives it a number, keeps it, sends it to subscribers and logs it.
    pub(super) fn record(&self, at: SystemTime, kind: MonitorEventKind) {
        // Logged first and without the lock, because formatters are code of the user, which may use the monitor.
        log(&kind);
        let mut recorded = self.recorded.lock();
        recorded.last_id += 1;
        let event = Arc::new(MonitorEvent { id: recorded.last_id, at, kind });
        if recorded.recent.len() == MAX_RECENT {
            recorded.recent.pop_front();
        }
        recorded.recent.push_back(Arc::clone(&event));
        // Sent under the lock, so that all readers see the events in the order of their numbers. It does not wait. An
        // error means that there is no subscriber.
        let _ = self.subscribers.send(event);
    }

    /// Records an event that the program reports.
    pub(super) fn record_now(&self, kind: MonitorEventKind) {
        self.record(SystemTime::now(), kind);
        self.wake.notify_one();
    }

    pub(super) fn subscribe(&self) -> MonitorEvents {
        MonitorEvents::new(self.subscribers.subscribe())
    }

    pub(super) fn recent(&self) -> Vec<Arc<MonitorEvent>> {
        self.recorded.lock().recent.iter().cloned().collect()
    }

    /// Follows the pools of a monitor that had the pools `before` and has the pools `now`, if a task reads what is
    /// followed. Returns the events for the difference. Called while the list of pools is locked, so that calls are in
    /// the order of changes.
    pub(crate) fn pools_changed(&self, before: &[WatchedPool], now: &[WatchedPool]) -> Vec<MonitorEventKind> {
        let mut following = self.following.lock();
        if following.tasks > 0 {
            following.feeds.follow(now, &self.wake);
        }
        drop(following);
        let named = |pools: &[WatchedPool], name: &str| pools.iter().position(|pool| *pool.name == *name);
        let removed = before.iter().filter(|pool| named(now, &pool.name).is_none());
        let removed = removed.map(|pool| MonitorEventKind::PoolRemoved { pool: Arc::clone(&pool.name) });
        let others = now.iter().filter_map(|pool| {
            let name = Arc::clone(&pool.name);
            match named(before, &name) {
                None => Some(MonitorEventKind::PoolAdded { pool: name }),
                Some(at) if before[at].is_same_pool(pool) => None,
                Some(_) => Some(MonitorEventKind::PoolReplaced { pool: name }),
            }
        });
        removed.chain(others).collect()
    }

    /// Records the events that [`pools_changed`](Self::pools_changed) has returned.
    pub(crate) fn record_all(&self, kinds: Vec<MonitorEventKind>) {
        kinds.into_iter().for_each(|kind| self.record_now(kind));
    }

    /// Counts a task that will read what is followed, and begins to follow the pools if it is the first one. Called
    /// while the list of pools is locked.
    pub(super) fn task_began(&self, pools: &[WatchedPool]) {
        let mut following = self.following.lock();
        following.tasks += 1;
        if following.tasks == 1 {
            following.feeds.follow(pools, &self.wake);
        }
    }

    /// Counts a task as ended, and stops following the pools if it was the last one.
    pub(super) fn task_ended(&self) {
        let mut following = self.following.lock();
        following.tasks = following.tasks.saturating_sub(1);
        let feeds = if following.tasks == 0 { std::mem::take(&mut following.feeds) } else { Feeds::default() };
        drop(following);
        // Dropped without the lock, because it may drop the last handle of a pool, with its targets.
        drop(feeds);
    }

    pub(super) fn has_task(&self) -> bool {
        self.following.lock().tasks > 0
    }

    /// Waits until something has happened in the pools, and returns it. Only one task may wait.
    pub(super) async fn happened(&self) -> Vec<Happened> {
        let poll = |context: &mut Context<'_>| {
            // A statement of its own, so that the lock is released before anything is dropped.
            let (happened, _ended) = self.following.lock().feeds.poll(context);
            happened
        };
        poll_fn(poll).await
    }

    /// Returns what has happened, without waiting, and whether a new state is wanted.
    pub(super) fn drain(&self) -> (Vec<Happened>, bool) {
        let is_woken = std::pin::pin!(self.wake.notified()).enable();
        let (happened, _ended) = self.following.lock().feeds.poll(&mut Context::from_waker(Waker::noop()));
        match happened {
            Poll::Ready(happened) => (happened, true),
            Poll::Pending => (Vec::new(), is_woken),
        }
    }

    /// Waits until something may have happened.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    pub(super) fn live(&self) -> &watch::Sender<Arc<Live>> {
        &self.live
    }

    pub(super) fn work(&self) -> Arc<tokio::sync::Mutex<Work>> {
        Arc::clone(&self.work)
    }
}
