use std::{
    fmt,
    sync::Arc,
    time::{Instant, SystemTime},
};

use parking_lot::Mutex;

#[cfg(feature = "live")]
use crate::live::hub::Hub;
use crate::{
    report::{BuildInfo, Snapshot},
    source::{WatchedListener, WatchedPool},
};

/// Reads the counters of pools and listeners, for metrics and the status page. Clones share the same pools and
/// listeners.
///
/// A monitor has no counter of its own: [`snapshot`](Self::snapshot) reads what the pools have counted. It needs no task,
/// except for events and samples of each second (feature `live`).
#[derive(Clone, Default)]
pub struct Monitor {
    inner: Arc<Inner>,
}

struct Inner {
    started: Instant,
    watched: Mutex<Watched>,
    #[cfg(feature = "live")]
    hub: Hub,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            watched: Mutex::default(),
            #[cfg(feature = "live")]
            hub: Hub::default(),
        }
    }
}

#[derive(Clone, Default)]
struct Watched {
    build: BuildInfo,
    pools: Vec<WatchedPool>,
    listeners: Vec<WatchedListener>,
}

/// Puts a pool or a listener into a list, in the place of the one with the same name, or at the end.
fn put<T>(list: &mut Vec<T>, item: T, name: impl Fn(&T) -> &Arc<str>) {
    match list.iter_mut().find(|old| name(old) == name(&item)) {
        Some(old) => *old = item,
        None => list.push(item),
    }
}

impl Monitor {
    /// Creates a monitor without pools and listeners.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the name and the version of the program, for the metric `equipoise_build_info` and the status page.
    pub fn build_info(&self, program: impl Into<String>, version: impl Into<String>) {
        let build = BuildInfo { program: program.into(), version: version.into(), ..BuildInfo::default() };
        self.inner.watched.lock().build = build;
    }

    /// Adds a pool. A pool with the same name is replaced, in its place.
    pub fn add_pool(&self, pool: WatchedPool) {
        self.change_pools(|watched| put(&mut watched.pools, pool, |pool| &pool.name));
    }

    /// Adds a listener. A listener with the same name is replaced, in its place.
    pub fn add_listener(&self, listener: WatchedListener) {
        put(&mut self.inner.watched.lock().listeners, listener, |listener| &listener.name);
    }

    /// Replaces all pools and listeners at once, for example after a configuration was read again. If several pools or
    /// several listeners have the same name, the last one counts.
    pub fn replace(
        &self,
        pools: impl IntoIterator<Item = WatchedPool>,
        listeners: impl IntoIterator<Item = WatchedListener>,
    ) {
        // Collected before the lock is taken, because the iterators may use this monitor.
        let (mut new_pools, mut new_listeners) = (Vec::new(), Vec::new());
        pools.into_iter().for_each(|pool: WatchedPool| put(&mut new_pools, pool, |pool| &pool.name));
        listeners.into_iter().for_each(|listener| put(&mut new_listeners, listener, |listener| &listener.name));
        self.change_pools(|watched| {
            watched.pools = new_pools;
            watched.listeners = new_listeners;
        });
    }

    /// Removes a pool. Returns whether the monitor had a pool of this name.
    pub fn remove_pool(&self, name: &str) -> bool {
        self.change_pools(|watched| {
            let before = watched.pools.len();
            watched.pools.retain(|pool| *pool.name != *name);
            watched.pools.len() < before
        })
    }

    /// Removes a listener. Returns whether the monitor had a listener of this name.
    pub fn remove_listener(&self, name: &str) -> bool {
        let mut watched = self.inner.watched.lock();
        let before = watched.listeners.len();
        watched.listeners.retain(|listener| *listener.name != *name);
        watched.listeners.len() < before
    }

    /// Changes the pools, and records what has changed in their list.
    fn change_pools<R>(&self, change: impl FnOnce(&mut Watched) -> R) -> R {
        let mut watched = self.inner.watched.lock();
        let before = watched.clone();
        let result = change(&mut watched);
        #[cfg(feature = "live")]
        let events = self.inner.hub.pools_changed(&before.pools, &watched.pools);
        drop(watched);
        // Without the lock: the last handles of pools and proxies may be dropped, and events are logged.
        drop(before);
        #[cfg(feature = "live")]
        self.inner.hub.record_all(events);
        result
    }

    /// Reads all counters. Takes O(n) time for n endpoints. Picks do not wait for it.
    pub fn snapshot(&self) -> Snapshot {
        self.read().1
    }

    /// Reads all counters. Returns the pools that were read, too.
    pub(crate) fn read(&self) -> (Vec<WatchedPool>, Snapshot) {
        // Read without the lock, so that a slow reader holds up no change.
        let Watched { build, pools, listeners } = self.inner.watched.lock().clone();
        let snapshot = Snapshot {
            at: SystemTime::now(),
            uptime: self.inner.started.elapsed(),
            build,
            pools: pools.iter().map(WatchedPool::report).collect(),
            listeners: listeners.iter().map(WatchedListener::report).collect(),
        };
        (pools, snapshot)
    }

    /// Calls `f` with the pools, while their list is locked.
    #[cfg(feature = "live")]
    pub(crate) fn with_pools<R>(&self, f: impl FnOnce(&[WatchedPool]) -> R) -> R {
        f(&self.inner.watched.lock().pools)
    }

    #[cfg(feature = "live")]
    pub(crate) fn hub(&self) -> &Hub {
        &self.inner.hub
    }

    /// Returns the watched pools.
    #[cfg(feature = "page")]
    pub(crate) fn pools(&self) -> Vec<WatchedPool> {
        self.inner.watched.lock().pools.clone()
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let watched = self.inner.watched.lock();
        f.debug_struct("Monitor").field("pools", &watched.pools).field("listeners", &watched.listeners).finish()
    }
}
