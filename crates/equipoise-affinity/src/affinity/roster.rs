use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
};

use equipoise_core::{Availability, EndpointId, EndpointStatus, Explanation, PickRequest, Pool, Revision};
use parking_lot::Mutex;

use crate::mode::InvalidValues;

/// The pool, whatever its targets are.
pub(crate) trait AnyPool: Send + Sync + 'static {
    fn membership(&self) -> Revision;
    fn endpoints(&self) -> Vec<EndpointStatus>;
    fn availability(&self, id: &EndpointId) -> Option<Availability>;
    fn explain(&self, request: &PickRequest<'_>) -> Explanation;
}

impl<T: Send + Sync + 'static> AnyPool for Pool<T> {
    fn membership(&self) -> Revision {
        Pool::membership(self)
    }

    fn endpoints(&self) -> Vec<EndpointStatus> {
        Pool::endpoints(self)
    }

    fn availability(&self, id: &EndpointId) -> Option<Availability> {
        Pool::availability(self, id.as_str())
    }

    fn explain(&self, request: &PickRequest<'_>) -> Explanation {
        Pool::explain(self, request)
    }
}

/// Who is in the pool, as of the last request that looked: no task follows it.
pub(crate) struct Roster {
    pool: Box<dyn AnyPool>,
    /// The membership's revision that `present` is of, and one more; 0 before the first look.
    seen: AtomicU64,
    present: Mutex<HashMap<EndpointId, Revision>>,
}

impl Roster {
    pub(crate) fn new(pool: impl AnyPool) -> Self {
        Self { pool: Box::new(pool), seen: AtomicU64::new(0), present: Mutex::default() }
    }

    pub(crate) fn pool(&self) -> &dyn AnyPool {
        &*self.pool
    }

    /// Tells who has left and who is there, if that has changed since it was last told. One atomic load if not.
    pub(crate) fn follow(
        &self,
        left: impl Fn(&EndpointId),
        there: impl Fn(&[(EndpointId, String)]) -> Result<(), InvalidValues>,
    ) -> Result<(), InvalidValues> {
        let seen = self.seen.load(Ordering::Acquire);
        if self.pool.membership().get().wrapping_add(1) == seen {
            return Ok(());
        }
        // Whoever holds the lock tells them; that need not hold up others.
        let Some(mut present) = self.present.try_lock() else { return Ok(()) };
        // Before the look: what changes after it is found by the next request.
        let revision = self.pool.membership().get().wrapping_add(1);
        if self.seen.load(Ordering::Acquire) == revision {
            return Ok(());
        }
        let endpoints = self.pool.endpoints();
        let now: HashMap<EndpointId, Revision> =
            endpoints.iter().map(|endpoint| (endpoint.id.clone(), endpoint.joined)).collect();
        for (id, _) in present.iter().filter(|(id, joined)| now.get(*id) != Some(joined)) {
            left(id);
        }
        let named = there(&endpoints.into_iter().map(|endpoint| (endpoint.id, endpoint.address)).collect::<Vec<_>>());
        *present = now;
        self.seen.store(revision, Ordering::Release);
        named
    }
}
