use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use equipoise_core::{Availability, EndpointId, EndpointStatus, Explanation, PickRequest, Pool, Revision};
use parking_lot::Mutex;

/// A pool, without the type of its targets.
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

/// The members of a pool as the last request saw them. No task watches the pool: requests update the list.
pub(crate) struct PoolMembers {
    pool: Box<dyn AnyPool>,
    /// The membership revision of `present` plus 1; 0 before the first update.
    seen: AtomicU64,
    present: Mutex<Present>,
    /// The last [`MAX_DEPARTED`] endpoints that have left. Some of them may have joined again.
    departed: ArcSwap<HashSet<EndpointId>>,
}

/// Maximum number of endpoints that are remembered after they have left.
const MAX_DEPARTED: usize = 1024;

/// The members of the pool, in the order of their slots.
#[derive(Default)]
struct Present {
    /// The id and the address of each member.
    named: Vec<(EndpointId, String)>,
    joined: Vec<Revision>,
    /// The endpoints that have left, oldest first, each of them once.
    departed: VecDeque<EndpointId>,
}

impl Present {
    fn is(&self, endpoints: &[EndpointStatus]) -> bool {
        let one = |((id, address), joined): (&(EndpointId, String), &Revision), now: &EndpointStatus| {
            *id == now.id && *address == now.address && *joined == now.joined
        };
        self.named.len() == endpoints.len()
            && self.named.iter().zip(&self.joined).zip(endpoints).all(|(known, now)| one(known, now))
    }

    /// Adds endpoints that have left to `departed`, which has at most [`MAX_DEPARTED`] entries.
    fn remember(&mut self, left: Vec<EndpointId>) {
        for id in left {
            if !self.departed.contains(&id) {
                self.departed.push_back(id);
            }
        }
        let surplus = self.departed.len().saturating_sub(MAX_DEPARTED);
        self.departed.drain(..surplus);
    }

    /// Returns the members that are not in `endpoints`. Includes members that have left and joined again.
    fn left<'a>(&'a self, endpoints: &[EndpointStatus]) -> impl Iterator<Item = &'a EndpointId> {
        let now: HashMap<_, _> = endpoints.iter().map(|endpoint| (endpoint.id.clone(), endpoint.joined)).collect();
        let known = self.named.iter().zip(&self.joined);
        known.filter(move |((id, _), joined)| now.get(id) != Some(joined)).map(|((id, _), _)| id)
    }
}

impl PoolMembers {
    pub(crate) fn new(pool: impl AnyPool) -> Self {
        Self { pool: Box::new(pool), seen: AtomicU64::new(0), present: Mutex::default(), departed: ArcSwap::default() }
    }

    pub(crate) fn pool(&self) -> &dyn AnyPool {
        &*self.pool
    }

    /// Whether the pool has this endpoint. Takes O(1) time.
    pub(crate) fn contains(&self, id: &EndpointId) -> bool {
        self.pool.availability(id).is_some()
    }

    /// Whether the endpoint's availability accepts requests that are bound to it. If `forced`, every availability
    /// accepts them. `false` if the pool does not have the endpoint. Takes O(1) time.
    pub(crate) fn accepts(&self, id: &EndpointId, forced: bool) -> bool {
        let availability = self.pool.availability(id);
        availability.is_some_and(|now| forced || !matches!(now, Availability::Maintenance | Availability::Unhealthy))
    }

    /// Whether the pool has this endpoint, or the endpoint is one of the last [`MAX_DEPARTED`] that have left. Takes
    /// O(1) time.
    pub(crate) fn knows(&self, id: &EndpointId) -> bool {
        self.contains(id) || self.has_departed(id)
    }

    fn has_departed(&self, id: &EndpointId) -> bool {
        self.departed.load().contains(id)
    }

    /// Updates the list if the members of the pool have changed since the last call. Calls `left` for each endpoint
    /// that has left, then `there` with the current members, and returns the result of `there`. Returns `None` if the
    /// members have not changed. Takes one atomic load if the membership revision has not changed, and O(n) time for n
    /// endpoints otherwise.
    ///
    /// If another thread is in this function: with `waits`, waits until that thread has finished; otherwise returns
    /// `None` at once.
    pub(crate) fn follow<R>(
        &self,
        waits: bool,
        left: impl Fn(&EndpointId),
        there: impl Fn(&[(EndpointId, String)]) -> R,
    ) -> Option<R> {
        let seen = self.seen.load(Ordering::Acquire);
        if self.pool.membership().get().wrapping_add(1) == seen {
            return None;
        }
        let present = if waits { Some(self.present.lock()) } else { self.present.try_lock() };
        let mut present = present?;
        // Read before the members, so that the next request finds a change that happens in between.
        let revision = self.pool.membership().get().wrapping_add(1);
        if self.seen.load(Ordering::Acquire) == revision {
            return None;
        }
        let endpoints = self.pool.endpoints();
        let mut told = None;
        if !present.is(&endpoints) {
            let gone: Vec<EndpointId> = present.left(&endpoints).cloned().collect();
            gone.iter().for_each(left);
            if !gone.is_empty() {
                present.remember(gone);
                self.departed.store(Arc::new(present.departed.iter().cloned().collect()));
            }
            let (ids, joined) = endpoints.into_iter().map(|now| ((now.id, now.address), now.joined)).unzip();
            present.named = ids;
            present.joined = joined;
            told = Some(there(&present.named));
        }
        self.seen.store(revision, Ordering::Release);
        told
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::{Cell, RefCell},
        sync::mpsc,
        thread,
    };

    use equipoise_core::{Availability, EndpointSpec};

    use super::*;

    fn pool() -> Pool<()> {
        let pool = Pool::default();
        pool.update(["a", "b"].map(EndpointSpec::new), |_| ()).unwrap();
        pool
    }

    #[test]
    fn changes_of_weight_and_availability_are_not_reported() {
        let (pool, reports, gone) = (pool(), Cell::new(0), RefCell::new(vec![]));
        let members = PoolMembers::new(pool.clone());
        let follow = || {
            let there = |_: &[_]| reports.set(reports.get() + 1);
            members.follow(false, |id| gone.borrow_mut().push(id.to_string()), there);
            reports.get()
        };
        assert_eq!(follow(), 1);
        pool.set_weight("a", 7).unwrap();
        assert_eq!(follow(), 1);
        pool.set_availability("a", Availability::Maintenance).unwrap();
        assert_eq!(follow(), 1);
        // A new address under the same id is another endpoint.
        pool.update([EndpointSpec::new("c").with_id("a"), EndpointSpec::new("b")], |_| ()).unwrap();
        assert_eq!(follow(), 2);
        pool.remove("b").unwrap();
        assert_eq!(follow(), 3);
        assert_eq!(*gone.borrow(), ["a", "b"]);
    }

    #[test]
    fn the_last_endpoints_that_left_are_remembered() {
        let pool = pool();
        let members = PoolMembers::new(pool.clone());
        let follow = || members.follow(false, |_| (), |_| ());
        follow();
        assert!(!members.has_departed(&"a".into()));
        pool.remove("a").unwrap();
        follow();
        assert!(members.has_departed(&"a".into()) && !members.has_departed(&"b".into()));
        pool.update((0..MAX_DEPARTED).map(|n| EndpointSpec::new(format!("{n}"))), |_| ()).unwrap();
        follow();
        pool.update(["x"].map(EndpointSpec::new), |_| ()).unwrap();
        follow();
        assert_eq!(members.departed.load().len(), MAX_DEPARTED);
        assert!(!members.has_departed(&"a".into()) && members.has_departed(&"7".into()));
    }

    #[test]
    fn a_call_that_waits_returns_after_the_report_and_others_at_once() {
        let pool = pool();
        let members = PoolMembers::new(pool.clone());
        let (begun, has_begun) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let reported = AtomicU64::new(0);
        thread::scope(|scope| {
            let (members, reported) = (&members, &reported);
            scope.spawn(move || {
                let there = |_: &[_]| {
                    begun.send(()).unwrap();
                    may_go_on.recv().unwrap();
                    reported.store(1, Ordering::Release);
                };
                members.follow(false, |_| (), there);
            });
            has_begun.recv().unwrap();
            members.follow(false, |_| (), |_| unreachable!("another thread is reporting"));
            assert_eq!(reported.load(Ordering::Acquire), 0);
            let waiting = scope.spawn(move || {
                members.follow(true, |_| (), |_| unreachable!("another thread has reported"));
                reported.load(Ordering::Acquire)
            });
            go_on.send(()).unwrap();
            assert_eq!(waiting.join().unwrap(), 1);
        });
    }
}
