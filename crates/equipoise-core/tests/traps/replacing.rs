//! Replacing the target of an endpoint that stays: the endpoint can be picked all the time and keeps its state, and the
//! old target is dropped with its last lease.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Waker},
};

use equipoise_core::{
    Availability, EndpointId, EndpointSpec, Failure, LeastConnections, PeakEwma, PickError, PickRequest, Pool,
    RoundRobin, TryUpdateError, UpdateError, Verdict,
};

use crate::{
    common::{in_flight, pick, spec},
    strategies,
};

#[test]
fn replacing_a_target_leaves_no_moment_without_the_endpoint() {
    let pool: Pool<usize> = Pool::new(RoundRobin::new());
    pool.add(spec(0), 0).unwrap();
    let (done, picks) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut newest = 0;
            while !done.load(Ordering::Relaxed) {
                let lease = pool.pick(&PickRequest::new()).expect("the endpoint never leaves");
                assert!(*lease.target() >= newest, "an older target after a newer one");
                newest = *lease.target();
                picks.fetch_add(1, Ordering::Relaxed);
            }
        });
        for target in 1.. {
            pool.replace(spec(0), target).unwrap();
            if target >= 2_000 && picks.load(Ordering::Relaxed) >= 2_000 {
                break;
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(in_flight(&pool), [0]);
}

#[test]
fn leases_keep_the_target_that_they_were_taken_with_and_count_all_the_same() {
    for strategy in strategies() {
        let pool: Pool<&str> = Pool::new(strategy);
        pool.add(spec(0), "first").unwrap();
        let first = pick(&pool);
        let changes = pool.replace(spec(0), "second").unwrap();
        assert_eq!(changes.retargeted, [EndpointId::from("e0")]);
        assert!(changes.added.is_empty() && changes.replaced.is_empty() && changes.changed.is_empty());
        let second = pick(&pool);
        pool.replace(spec(0), "third").unwrap();
        let third = pick(&pool);
        assert_eq!((*first.target(), *second.target(), *third.target()), ("first", "second", "third"));
        assert_eq!(in_flight(&pool), [3]);
        drop(first);
        assert_eq!(in_flight(&pool), [2]);
        pool.update([spec(0).weight(2)], |_| unreachable!()).unwrap();
        drop(second);
        drop(third);
        assert_eq!(in_flight(&pool), [0]);
    }
}

#[test]
fn an_old_target_goes_with_its_last_lease_and_at_once_without_one() {
    let pool: Pool<Arc<()>> = Pool::new(RoundRobin::new());
    let targets: Vec<Arc<()>> = (0..3).map(|_| Arc::default()).collect();
    pool.add(spec(0), Arc::clone(&targets[0])).unwrap();
    let lease = pick(&pool);
    pool.replace(spec(0), Arc::clone(&targets[1])).unwrap();
    assert_eq!(Arc::strong_count(&targets[0]), 2);
    drop(lease);
    pool.replace(spec(0), Arc::clone(&targets[2])).unwrap();
    // The thread that has just picked may keep the old snapshot for a moment. This pick loads the new one.
    drop(pick(&pool));
    assert_eq!(targets.iter().map(Arc::strong_count).collect::<Vec<_>>(), [1, 1, 2]);
}

#[test]
fn what_belongs_to_the_endpoint_is_kept() {
    let pool: Pool<u32> = Pool::new(LeastConnections::new());
    pool.update([spec(0).weight(4).max_in_flight(2), spec(1).weight(4)], |_| 0).unwrap();
    pool.set_weight_percent("e0", 50).unwrap();
    pool.set_availability("e0", Availability::Draining).unwrap();
    let before = pool.endpoints();
    let preferred = EndpointId::from("e0");
    let bound = PickRequest::new().prefer(&preferred);
    let lease = pool.pick(&bound).unwrap();
    pool.replace(spec(0).weight(4).max_in_flight(2), 1).unwrap();
    let mut after = pool.endpoints();
    assert_eq!(after[0].in_flight, 1);
    (after[0].in_flight, after[0].requests) = (0, before[0].requests);
    assert_eq!(after, before);
    // The lease on the old target still holds its permit.
    let second = pool.pick(&bound).unwrap();
    assert_eq!((second.endpoint().id().as_str(), *second.target()), ("e0", 1));
    assert_eq!(pool.pick(&bound).unwrap().endpoint().id().as_str(), "e1");
    drop(lease);
    assert_eq!(pool.pick(&bound).unwrap().endpoint().id().as_str(), "e0");
}

#[test]
fn the_strategy_remembers_failures_of_the_old_target() {
    let pool: Pool<u32> = Pool::new(PeakEwma::new());
    pool.add(spec(0), 0).unwrap();
    let score = || pool.explain(&PickRequest::new()).candidates[0].score.unwrap();
    let unharmed = score();
    pick(&pool).finish(Verdict::Failure(Failure::Connect));
    assert!(score() > unharmed);
    pool.replace(spec(0), 1).unwrap();
    assert!(score() > unharmed, "the endpoint is the same one");
}

#[test]
fn settings_and_addresses_of_the_spec_are_heeded() {
    let pool: Pool<u32> = Pool::default();
    let named = |address: &str| EndpointSpec::new(address).with_id("db");
    assert_eq!(pool.replace(named("a:80"), 1), Err(UpdateError::Unknown { id: "db".into() }));
    pool.add(named("a:80"), 1).unwrap();
    assert!(matches!(pool.add(named("a:80"), 2), Err(UpdateError::Exists { .. })));
    let changes = pool.replace(named("a:80").weight(7), 2).unwrap();
    assert_eq!((changes.changed.len(), changes.retargeted.len()), (1, 1));
    assert_eq!((pool.endpoints()[0].weight, *pick(&pool).target()), (7, 2));
    let old = pick(&pool);
    let changes = pool.replace(named("b:80"), 3).unwrap();
    assert_eq!((changes.replaced.len(), changes.retargeted.len()), (1, 0));
    assert_eq!(in_flight(&pool), [0], "another address is another endpoint");
    assert_eq!((*old.target(), *pick(&pool).target()), (2, 3));
}

#[test]
fn a_target_that_cannot_be_made_changes_nothing_and_its_error_is_kept() {
    let pool: Pool<u16> = Pool::default();
    pool.add(EndpointSpec::new("80"), 80).unwrap();
    let revision = pool.revision();
    let all = ["80", "81", "eighty"].map(EndpointSpec::new);
    let error = pool.try_update(all, |spec| spec.address().parse()).unwrap_err();
    let TryUpdateError::Make { id, source } = error else { panic!("{error}") };
    assert_eq!((id.as_str(), source), ("eighty", "x".parse::<u16>().unwrap_err()));
    assert_eq!((pool.revision(), pool.endpoints().len()), (revision, 1));
    let refused = pool.try_update([EndpointSpec::new("a b")], |_| Ok::<_, std::fmt::Error>(1));
    assert!(matches!(refused, Err(TryUpdateError::Update(UpdateError::Invalid(_)))));
    let changes = pool.try_update(["80", "81"].map(EndpointSpec::new), |spec| spec.address().parse()).unwrap();
    assert_eq!(changes.added, [EndpointId::from("81")]);
}

#[test]
fn an_update_may_replace_some_targets_and_keep_others() {
    let pool: Pool<u32> = Pool::new(RoundRobin::new());
    pool.update([spec(0), spec(1)], |_| 1).unwrap();
    let all = || [spec(0), spec(1), spec(2)];
    let no_target = pool.try_update_with(all(), |_, _| Ok::<_, std::fmt::Error>(None)).unwrap_err();
    assert_eq!(no_target, TryUpdateError::Update(UpdateError::NoTarget { id: "e2".into() }));
    let mut seen = Vec::new();
    let make = |spec: &EndpointSpec, present: Option<&u32>| {
        seen.push(present.copied());
        Ok::<_, std::fmt::Error>((spec.id().as_str() != "e0").then_some(2))
    };
    let changes = pool.try_update_with(all(), make).unwrap();
    assert_eq!(seen, [Some(1), Some(1), None]);
    assert_eq!((changes.retargeted, changes.added), (vec!["e1".into()], vec!["e2".into()]));
    let targets: Vec<u32> = (0..3).map(|_| *pick(&pool).target()).collect();
    assert_eq!(targets, [1, 2, 2]);
    let revision = pool.revision();
    assert!(pool.try_update_with(all(), |_, _| Ok::<_, std::fmt::Error>(None)).unwrap().is_empty());
    assert_eq!(pool.revision(), revision);
}

#[test]
fn an_endpoint_is_idle_when_the_leases_on_all_its_targets_have_ended() {
    let pool: Pool<u32> = Pool::new(RoundRobin::new());
    pool.add(spec(0), 0).unwrap();
    let first = pick(&pool);
    let mut idle = pool.idle("e0");
    let mut is_over = || Pin::new(&mut idle).poll(&mut Context::from_waker(Waker::noop())).is_ready();
    pool.replace(spec(0), 1).unwrap();
    let second = pick(&pool);
    assert!(!is_over());
    drop(first);
    assert!(!is_over());
    drop(second);
    assert!(is_over());
}

#[test]
fn a_thousand_replacements_under_one_long_lease_keep_nothing_but_its_target() {
    let pool: Pool<Arc<()>> = Pool::new(RoundRobin::new());
    let counted = Arc::new(());
    pool.add(spec(0), Arc::clone(&counted)).unwrap();
    let long = pick(&pool);
    for _ in 0..1_000 {
        pool.replace(spec(0), Arc::clone(&counted)).unwrap();
    }
    drop(pick(&pool));
    assert_eq!((Arc::strong_count(&counted), in_flight(&pool)), (3, vec![1]));
    drop(long);
    assert_eq!((Arc::strong_count(&counted), in_flight(&pool)), (2, vec![0]));
    assert_eq!(pool.pick(&PickRequest::new().exclude(&["e0".into()])).unwrap_err(), PickError::Excluded);
}
