use std::{
    fmt, mem,
    sync::Arc,
    time::{Instant, SystemTime},
};

use parking_lot::Mutex;

#[cfg(feature = "live")]
use crate::live::hub::Hub;
#[cfg(feature = "gateway")]
use crate::source::WatchedFunction;
use crate::{
    report::{BuildInfo, Snapshot},
    source::{WatchedListener, WatchedPool},
};

/// Reads the counters of pools, listeners and functions of a gateway, for metrics and the status page. Clones share the same
/// pools, listeners and functions.
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
    #[cfg(feature = "gateway")]
    functions: Vec<WatchedFunction>,
}

/// Puts an item in the place of the one with the same name, or at the end. Returns the old one, because dropping it may
/// run code of the user, which must not happen while a lock is held.
fn put<T>(list: &mut Vec<T>, item: T, name: impl Fn(&T) -> &Arc<str>) -> Option<T> {
    match list.iter_mut().find(|old| name(old) == name(&item)) {
        Some(old) => Some(mem::replace(old, item)),
        None => {
            list.push(item);
            None
        }
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
        drop(self.change_pools(|watched| put(&mut watched.pools, pool, |pool| &pool.name)));
    }

    /// Adds a listener. A listener with the same name is replaced, in its place.
    pub fn add_listener(&self, listener: WatchedListener) {
        let old = put(&mut self.inner.watched.lock().listeners, listener, |listener| &listener.name);
        // Without the lock: the functions of the listener may own values that use this monitor when they are dropped.
        drop(old);
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
        for pool in pools {
            put(&mut new_pools, pool, |pool: &WatchedPool| &pool.name);
        }
        for listener in listeners {
            put(&mut new_listeners, listener, |listener: &WatchedListener| &listener.name);
        }
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
        let removed = {
            let listeners = &mut self.inner.watched.lock().listeners;
            listeners.iter().position(|listener| *listener.name == *name).map(|at| listeners.remove(at))
        };
        // Dropped without the lock, as in `add_listener`.
        removed.is_some()
    }

    /// Adds a function of a gateway. A function with the same name is replaced, in its place.
    #[cfg(feature = "gateway")]
    #[cfg_attr(docsrs, doc(cfg(feature = "gateway")))]
    pub fn add_function(&self, function: WatchedFunction) {
        let old = put(&mut self.inner.watched.lock().functions, function, |function| &function.name);
        // Dropped without the lock, as in `add_listener`.
        drop(old);
    }

    /// Replaces all functions of a gateway at once, for example after a configuration was read again. If several have the
    /// same name, the last one counts. [`replace`](Self::replace) leaves functions as they are.
    #[cfg(feature = "gateway")]
    #[cfg_attr(docsrs, doc(cfg(feature = "gateway")))]
    pub fn replace_functions(&self, functions: impl IntoIterator<Item = WatchedFunction>) {
        let mut new = Vec::new();
        for function in functions {
            put(&mut new, function, |function: &WatchedFunction| &function.name);
        }
        let old = mem::replace(&mut self.inner.watched.lock().functions, new);
        drop(old);
    }

    /// Removes a function of a gateway. Returns whether the monitor had a function of this name.
    #[cfg(feature = "gateway")]
    #[cfg_attr(docsrs, doc(cfg(feature = "gateway")))]
    pub fn remove_function(&self, name: &str) -> bool {
        let removed = {
            let functions = &mut self.inner.watched.lock().functions;
            functions.iter().position(|function| *function.name == *name).map(|at| functions.remove(at))
        };
        removed.is_some()
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
        let watched = self.inner.watched.lock().clone();
        #[cfg(feature = "gateway")]
        let functions = watched.functions.iter().map(WatchedFunction::report).collect();
        #[cfg(not(feature = "gateway"))]
        let functions = Vec::new();
        let Watched { build, pools, listeners, .. } = watched;
        let snapshot = Snapshot {
            at: SystemTime::now(),
            uptime: self.inner.started.elapsed(),
            build,
            pools: pools.iter().map(WatchedPool::report).collect(),
            listeners: listeners.iter().map(WatchedListener::report).collect(),
            functions,
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

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread, time::Duration};

    use super::*;

    /// Sends the number of listeners of a monitor when it is dropped.
    struct Looks(Monitor, mpsc::Sender<usize>);

    impl Drop for Looks {
        fn drop(&mut self) {
            let _ = self.1.send(self.0.snapshot().listeners.len());
        }
    }

    #[test]
    fn what_a_listener_owns_may_use_the_monitor_when_it_is_dropped() {
        let (sender, dropped) = mpsc::channel();
        let monitor = Monitor::new();
        // On a thread of its own, so that a lock that is held makes the test fail, not hang.
        thread::spawn(move || {
            let listener = || {
                let looks = Looks(monitor.clone(), sender.clone());
                WatchedListener::new("front", "http").readings(move |_| drop(looks.1.clone()))
            };
            monitor.add_listener(listener());
            monitor.add_listener(listener());
            assert!(monitor.remove_listener("front"));
            monitor.add_listener(listener());
            monitor.replace([], []);
        });
        for listeners in [1, 0, 0] {
            assert_eq!(dropped.recv_timeout(Duration::from_secs(60)), Ok(listeners));
        }
    }
}
