//! What a change of a pool has changed, and the functions that are told.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use parking_lot::Mutex as NativeMutex;

use crate::{
    endpoint::Availability,
    ids::{EndpointId, Revision},
    strategy::picker::guarded,
};

/// What an update of a pool has changed: the ids of the endpoints that joined, left or changed. An endpoint that stayed
/// as it was is not listed. Returned by [`Pool::update`](crate::Pool::update) and the other methods that change the
/// list of endpoints, such as [`Pool::add`](crate::Pool::add).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changes {
    /// The ids of the endpoints that joined the pool, in the order of the specs that were passed to the update.
    pub added: Vec<EndpointId>,
    /// The ids of the endpoints that left the pool, in the order of their [slots](crate::Slot). These endpoints may
    /// still have requests in flight.
    pub removed: Vec<EndpointId>,
    /// The ids of the endpoints whose address changed, in the order of their [slots](crate::Slot). The pool treats an
    /// endpoint with a new address as a new endpoint without history. Such an id is in no other list.
    pub replaced: Vec<EndpointId>,
    /// The ids of the endpoints that stayed in the pool and got another weight, tier, zone or maximum number of
    /// requests in flight, in the order of their [slots](crate::Slot).
    pub changed: Vec<EndpointId>,
    /// The ids of the endpoints that stayed in the pool and got another target (what requests are sent with, such as a
    /// client), in the order of the specs that were passed to the update.
    pub retargeted: Vec<EndpointId>,
}

impl Changes {
    /// Returns whether the update changed nothing: all five lists are empty.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The difference between two successive revisions of a pool. The lists are in the order of slots. An endpoint that
/// joins, leaves or gets another address is in `members` only: it is not in the lists of weights, limits and
/// availabilities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolChange {
    /// The revision of the pool after the change.
    pub revision: Revision,
    /// The endpoints that joined, left, or got another address, other settings in their spec, or another target.
    pub members: Changes,
    /// The effective weights that have changed: endpoint, old weight, new weight.
    pub weights: Vec<(EndpointId, u32, u32)>,
    /// The effective maximum numbers of requests in flight that have changed: endpoint, old maximum, new maximum.
    pub limits: Vec<(EndpointId, Option<u32>, Option<u32>)>,
    /// The availabilities that have changed: endpoint, old availability, new availability.
    pub availabilities: Vec<(EndpointId, Availability, Availability)>,
}

impl PoolChange {
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.weights.is_empty() && self.limits.is_empty() && self.availabilities.is_empty()
    }
}

type Watcher = dyn Fn(PoolChange) + Send + Sync;

/// Keeps the function of `watch_changes` in use. When it is dropped, the function is not called again, except by a
/// change that is being made at this moment.
pub struct ChangeWatch(#[expect(dead_code, reason = "the pool has a weak reference to it")] Arc<Watcher>);

impl fmt::Debug for ChangeWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChangeWatch").finish_non_exhaustive()
    }
}

/// The functions that watch a pool. They are not part of its state, so loom does not model them.
#[derive(Default)]
pub(super) struct Watchers(NativeMutex<Vec<Weak<Watcher>>>);

impl Watchers {
    /// Adds a function, until the returned value is dropped.
    pub(super) fn add(&self, f: impl Fn(PoolChange) + Send + Sync + 'static) -> ChangeWatch {
        let watcher: Arc<Watcher> = Arc::new(f);
        let mut watchers = self.0.lock();
        watchers.retain(|watcher| watcher.strong_count() > 0);
        watchers.push(Arc::downgrade(&watcher));
        ChangeWatch(watcher)
    }

    /// Calls the functions with a change. Computes the change only if there is a function.
    pub(super) fn call(&self, change: impl FnOnce() -> PoolChange) {
        // Copied, so that a function is neither called nor dropped under the lock.
        let watchers: Vec<Arc<Watcher>> = self.0.lock().iter().filter_map(Weak::upgrade).collect();
        if watchers.is_empty() {
            return;
        }
        let change = change();
        if change.is_empty() {
            return;
        }
        for watcher in watchers {
            let change = change.clone();
            guarded(|| watcher(change));
        }
    }
}
