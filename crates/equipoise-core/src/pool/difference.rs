//! Computes what a change of a pool has changed, from the snapshots before and after it.

use std::sync::Arc;

use super::{
    changes::{ChangeWatch, PoolChange},
    state::{Pool, Snapshot},
};
use crate::{
    ids::Slot,
    view::{Member, Members},
};

/// Calls `f` with each later change of the pool, exactly once and in the order of revisions, until the returned value
/// is dropped. A change that builds new pickers only is left out.
///
/// `f` runs on the thread that changes the pool, while the pool is locked for changes. It must be fast and must not use
/// the pool. A panic of `f` is ignored. Picks do not wait for `f`. As long as a pool is watched, each of its changes
/// costs O(n) more for n endpoints.
pub fn watch_changes<T>(pool: &Pool<T>, f: impl Fn(PoolChange) + Send + Sync + 'static) -> ChangeWatch {
    pool.inner.watchers.add(f)
}

/// Returns the difference between two successive snapshots. Takes O(n) time for n endpoints.
pub(super) fn difference(last: &Snapshot, next: &Snapshot) -> PoolChange {
    let mut change = PoolChange { revision: next.revision(), ..PoolChange::default() };
    let (old, new) = (last.members(), next.members());
    let same_members = Arc::ptr_eq(old, new);
    let capacity = old.slots.len().max(new.slots.len());
    for slot in (0..capacity as u32).map(Slot) {
        match (old.get(slot), new.get(slot)) {
            (None, None) => {}
            (None, Some(now)) => change.members.added.push(now.spec.id().clone()),
            (Some(then), None) => change.members.removed.push(then.spec.id().clone()),
            (Some(then), Some(now)) if Arc::ptr_eq(&then.endpoint, &now.endpoint) => {
                let id = || now.spec.id().clone();
                if !same_members {
                    settings(&mut change, (old, then), (new, now), slot);
                }
                let (from, to) = (last.availability(slot), next.availability(slot));
                change.availabilities.extend((from != to).then(|| (id(), from, to)));
            }
            (Some(then), Some(now)) if then.spec.id() == now.spec.id() => {
                change.members.replaced.push(now.spec.id().clone());
            }
            (Some(then), Some(now)) => {
                change.members.removed.push(then.spec.id().clone());
                change.members.added.push(now.spec.id().clone());
            }
        }
    }
    change
}

/// Adds what has changed in the settings of an endpoint that stays.
fn settings(change: &mut PoolChange, (old, then): (&Members, &Member), (new, now): (&Members, &Member), slot: Slot) {
    let id = || now.spec.id().clone();
    if then.spec != now.spec {
        change.members.changed.push(id());
    }
    let target = |members: &Members| members.handle(slot, 0).map(|handle| Arc::as_ptr(&handle.target).cast::<()>());
    if target(old) != target(new) {
        change.members.retargeted.push(id());
    }
    let (from, to) = (then.weight(), now.weight());
    change.weights.extend((from != to).then(|| (id(), from, to)));
    let (from, to) = (then.max_in_flight(), now.max_in_flight());
    change.limits.extend((from != to).then(|| (id(), from, to)));
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{
        endpoint::{Availability, EndpointSpec},
        ids::{EndpointId, Revision},
        pool::changes::Changes,
        sync::Mutex,
    };

    type Seen = Arc<Mutex<Vec<PoolChange>>>;

    fn watched() -> (Pool<u32>, Seen, ChangeWatch) {
        let pool: Pool<u32> = Pool::default();
        let seen = Seen::default();
        let sink = Arc::clone(&seen);
        let watch = watch_changes(&pool, move |change| sink.lock().push(change));
        (pool, seen, watch)
    }

    fn ids(texts: &[&str]) -> Vec<EndpointId> {
        texts.iter().map(EndpointId::from).collect()
    }

    fn spec(id: &str, address: &str) -> EndpointSpec {
        EndpointSpec::new(address).with_id(id)
    }

    #[test]
    fn each_change_is_told_once_with_its_revision() {
        let (pool, seen, _watch) = watched();
        pool.update([spec("a", "a:80"), spec("b", "b:80"), spec("c", "c:80")], |_| 1).unwrap();
        pool.update([spec("b", "b:80").weight(2), spec("c", "c:81"), spec("d", "d:80")], |_| 1).unwrap();
        pool.set_availability("b", Availability::Draining).unwrap();
        pool.set_max_in_flight("b", Some(7)).unwrap();
        pool.set_weight_percent("b", 50).unwrap();
        pool.replace(spec("d", "d:80"), 2).unwrap();
        let none = PoolChange::default;
        let revision = |n: u64| (0..n).fold(Revision::default(), |revision, _| revision.next());
        let expected = [
            PoolChange { members: Changes { added: ids(&["a", "b", "c"]), ..Changes::default() }, ..none() },
            PoolChange {
                members: Changes {
                    added: ids(&["d"]),
                    removed: ids(&["a"]),
                    replaced: ids(&["c"]),
                    changed: ids(&["b"]),
                    ..Changes::default()
                },
                weights: vec![("b".into(), 1, 2)],
                ..none()
            },
            PoolChange { availabilities: vec![("b".into(), Availability::Up, Availability::Draining)], ..none() },
            PoolChange { limits: vec![("b".into(), None, Some(7))], ..none() },
            PoolChange { weights: vec![("b".into(), 2, 1)], ..none() },
            PoolChange { members: Changes { retargeted: ids(&["d"]), ..Changes::default() }, ..none() },
        ];
        let expected: Vec<PoolChange> =
            (1..).zip(expected).map(|(n, change)| PoolChange { revision: revision(n), ..change }).collect();
        assert_eq!(*seen.lock(), expected);
    }

    #[test]
    fn what_changes_nothing_is_not_told() {
        let (pool, seen, _watch) = watched();
        pool.add(spec("a", "a:80"), 1).unwrap();
        pool.update([spec("a", "a:80")], |_| 2).unwrap();
        pool.set_availability("a", Availability::Up).unwrap();
        pool.set_max_in_flight("a", None).unwrap();
        let snapshot = pool.inner.snapshot.load_full();
        pool.inner.publish(snapshot.rebuilt(&pool.inner.settings).unwrap());
        assert_eq!(seen.lock().len(), 1);
    }

    #[test]
    fn nothing_is_told_after_the_watch_was_dropped() {
        let (pool, seen, watch) = watched();
        drop(watch);
        pool.add(spec("a", "a:80"), 1).unwrap();
        assert!(seen.lock().is_empty());
        assert_eq!(Arc::strong_count(&seen), 1);
    }

    #[test]
    fn a_panic_of_the_function_is_ignored() {
        let pool: Pool<u32> = Pool::default();
        let _watch = watch_changes(&pool, |_| panic!("in the watch"));
        pool.add(spec("a", "a:80"), 1).unwrap();
        assert_eq!(pool.endpoints().len(), 1);
    }

    #[test]
    fn a_slot_that_another_endpoint_takes_is_a_removal_and_an_addition() {
        let (pool, seen, _watch) = watched();
        pool.add(spec("a", "a:80"), 1).unwrap();
        pool.update([spec("b", "b:80")], |_| 1).unwrap();
        let members = seen.lock().last().map(|change| change.members.clone());
        let expected = Changes { added: ids(&["b"]), removed: ids(&["a"]), ..Changes::default() };
        assert_eq!(members, Some(expected));
    }
}
