//! Endpoints that have left: the totals of the pool keep their counts.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use equipoise_core::{
    Availability, EndpointSpec, EndpointStatus, Failure, LatencyHistogram, Lease, ManualClock, PickRequest, Pool,
    PoolBuilder, PoolStats, RoundRobin, Verdict,
};

fn builder(clock: &Arc<ManualClock>) -> PoolBuilder<Arc<()>> {
    Pool::builder(RoundRobin::new()).clock(clock.clone())
}

fn pick(pool: &Pool<Arc<()>>, id: &str) -> Lease<Arc<()>> {
    pool.pick(&PickRequest::new().prefer(&id.into())).expect("it is up")
}

fn add(pool: &Pool<Arc<()>>, id: &str) {
    pool.add(EndpointSpec::new(id), Arc::new(())).expect("a valid endpoint");
}

/// Returns the ids of the listed endpoints, each with its successes and its requests in flight.
fn listed(pool: &Pool<Arc<()>>) -> Vec<(String, u64, u64)> {
    let counts = |departed: &equipoise_core::DepartedEndpoint| {
        let requests = departed.status.requests;
        (departed.status.id.to_string(), requests.success, requests.in_flight)
    };
    pool.departed().iter().map(counts).collect()
}

#[test]
fn an_endpoint_that_left_is_listed_with_what_it_was_and_counts_until_its_last_lease_ends() {
    let clock = Arc::new(ManualClock::new());
    let pool = builder(&clock).stripes(2).latency_histograms(true).build();
    let spec = EndpointSpec::new("a:80").weight(3).zone("eu-1").max_in_flight(9);
    pool.add(spec, Arc::new(())).unwrap();
    add(&pool, "b:80");
    pick(&pool, "a:80").finish(Verdict::Success);
    let mut held = pick(&pool, "a:80");
    held.count_bytes(10, 20);
    pool.drain("a:80").unwrap();
    pool.remove("a:80").unwrap();
    clock.advance(Duration::from_secs(5));
    held.first_byte();
    held.count_bytes(1, 2);

    let departed = pool.departed().remove(0);
    let status = &departed.status;
    assert_eq!(
        (status.id.as_str(), status.address.as_str(), departed.left_ago),
        ("a:80", "a:80", Duration::from_secs(5))
    );
    assert_eq!((status.weight, status.zone.as_deref(), status.max_in_flight), (3, Some("eu-1"), Some(9)));
    assert_eq!((status.availability, status.in_flight, status.requests.success), (Availability::Draining, 1, 1));
    clock.advance(Duration::from_secs(1));
    held.finish(Verdict::Failure(Failure::Transport));
    let status = pool.departed().remove(0).status;
    assert_eq!((status.requests.total, status.requests.failure_transport, status.in_flight), (2, 1, 0));
    assert_eq!((status.bytes_sent, status.bytes_received), (11, 22));
    let times =
        [status.latency, status.duration].map(|times| times.map(|times| (times.count(), times.sum().as_secs())));
    assert_eq!(times, [Some((2, 5)), Some((2, 6))]);
    let stats = pool.stats();
    assert_eq!((stats.attempts, stats.bytes_sent, stats.requests()), (status.requests, 11, 2));
}

#[test]
fn an_id_that_comes_back_is_another_endpoint() {
    let clock = Arc::new(ManualClock::new());
    let pool = builder(&clock).build();
    for _ in 0..2 {
        add(&pool, "a:80");
        pick(&pool, "a:80").finish(Verdict::Success);
        pool.remove("a:80").unwrap();
    }
    add(&pool, "a:80");
    // Another address is another endpoint, too.
    pool.replace(EndpointSpec::new("c:80").with_id("a:80"), Arc::new(())).unwrap();
    let left = pool.departed();
    let addresses: Vec<_> =
        left.iter().map(|left| (left.status.address.as_str(), left.status.requests.total)).collect();
    assert_eq!(addresses, [("a:80", 1), ("a:80", 1), ("a:80", 0)]);
    assert!(left.windows(2).all(|pair| pair[0].status.joined < pair[1].status.joined));
    assert_eq!(pool.stats().attempts.success, 2);
    assert_eq!(pool.stats(), pool.status().stats);
}

#[test]
fn a_target_is_dropped_with_the_last_lease_although_its_endpoint_is_listed() {
    let clock = Arc::new(ManualClock::new());
    let pool = builder(&clock).build();
    let target = Arc::new(());
    pool.add(EndpointSpec::new("a:80"), Arc::clone(&target)).unwrap();
    let lease = pick(&pool, "a:80");
    pool.remove("a:80").unwrap();
    assert_eq!((Arc::strong_count(&target), listed(&pool)), (2, vec![("a:80".to_owned(), 0, 1)]));
    drop(lease);
    assert_eq!((Arc::strong_count(&target), listed(&pool)), (1, vec![("a:80".to_owned(), 0, 0)]));
}

#[test]
fn what_is_listed_no_longer_still_counts_in_the_totals() {
    let clock = Arc::new(ManualClock::new());
    let pool = builder(&clock).keep_departed(Duration::from_secs(60)).build();
    add(&pool, "a:80");
    add(&pool, "b:80");
    pick(&pool, "b:80").finish(Verdict::Success);
    let (first, second) = (pick(&pool, "a:80"), pick(&pool, "a:80"));
    pool.remove("a:80").unwrap();
    first.finish(Verdict::Success);
    clock.advance(Duration::from_secs(30));
    pool.remove("b:80").unwrap();
    clock.advance(Duration::from_secs(30));
    assert_eq!(listed(&pool), [("b:80".to_owned(), 1, 0)]);
    assert_eq!((pool.stats().attempts.success, pool.stats().attempts.in_flight), (2, 1));
    second.finish(Verdict::Success);
    assert_eq!((pool.stats().attempts.success, pool.stats().attempts.in_flight), (3, 0));
    clock.advance(Duration::from_secs(60));
    assert_eq!((listed(&pool), pool.stats().attempts.success), (vec![], 3));
    assert_eq!(pool.status().stats.attempts.total, 3);
}

#[test]
fn without_a_time_no_endpoint_is_listed_and_nothing_is_lost() {
    let clock = Arc::new(ManualClock::new());
    let pool = builder(&clock).keep_departed(Duration::ZERO).build();
    add(&pool, "a:80");
    pick(&pool, "a:80").finish(Verdict::Neutral);
    pool.update([], |_| unreachable!("no endpoint joins")).unwrap();
    assert_eq!((listed(&pool), pool.stats().attempts.neutral), (vec![], 1));
}

#[test]
fn the_last_thousand_are_listed_and_the_totals_keep_the_others() {
    let clock = Arc::new(ManualClock::new());
    let pool = builder(&clock).build();
    let all = |from: usize| (from..from + 600).map(|n| EndpointSpec::new(format!("e{n}:80")));
    for from in [0, 600, 1_200] {
        pool.update(all(from), |_| Arc::new(())).unwrap();
        for _ in 0..600 {
            pool.pick(&PickRequest::new()).unwrap().finish(Verdict::Success);
        }
    }
    pool.update([], |_| unreachable!("no endpoint joins")).unwrap();
    let listed = listed(&pool);
    assert_eq!((listed.len(), listed.first()), (1_000, Some(&("e800:80".to_owned(), 1, 0))));
    assert_eq!(pool.stats().attempts.success, 1_800);
}

#[test]
fn a_target_may_use_the_pool_when_it_is_dropped_with_the_last_lease() {
    struct Reads(Pool<Option<Self>>);
    impl Drop for Reads {
        fn drop(&mut self) {
            assert_eq!(self.0.stats().attempts.in_flight, 0);
            self.0.add(EndpointSpec::new("b:80"), None).unwrap();
        }
    }
    let pool: Pool<Option<Reads>> = Pool::new(RoundRobin::new());
    pool.add(EndpointSpec::new("a:80"), Some(Reads(pool.clone()))).unwrap();
    let lease = pool.pick(&PickRequest::new()).unwrap();
    pool.remove("a:80").unwrap();
    drop(lease);
    let status = pool.status();
    assert_eq!((status.endpoints.len(), status.departed.len(), status.stats.attempts.cancelled), (1, 1, 1));
}

#[test]
fn no_count_of_the_pool_goes_back_while_endpoints_leave_and_return() {
    const REQUESTS: u64 = 20_000;
    let clock = Arc::new(ManualClock::new());
    let pool = builder(&clock).stripes(2).keep_departed(Duration::from_millis(2)).build();
    add(&pool, "a:80");
    add(&pool, "b:80");
    let (done, failed) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let workers = [0u64, 1].map(|worker| {
            let (pool, failed) = (&pool, &failed);
            scope.spawn(move || {
                for request in 0..REQUESTS {
                    let Ok(mut lease) = pool.pick(&PickRequest::new()) else { panic!("an endpoint is always there") };
                    lease.count_bytes(1, 2);
                    match (request + worker) % 5 {
                        0 => drop(lease),
                        1 => {
                            lease.finish(Verdict::Failure(Failure::Server));
                            failed.fetch_add(1, Ordering::Relaxed);
                        }
                        _ => {
                            lease.first_byte();
                            lease.finish(Verdict::Success);
                        }
                    }
                }
            })
        });
        scope.spawn(|| {
            for turn in 0.. {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                clock.advance(Duration::from_millis(1));
                let id = ["a:80", "b:80"][turn % 2];
                pool.remove(id).unwrap();
                add(&pool, id);
            }
        });
        scope.spawn(|| {
            let mut last = PoolStats::default();
            while !done.load(Ordering::Relaxed) {
                let now = pool.status();
                let sum = now.endpoints.iter().chain(now.departed.iter().map(|left| &left.status));
                assert!(sum.map(|status| status.requests.success).sum::<u64>() <= now.stats.attempts.success);
                let ended = now.stats.attempts.by_outcome().map(|(_, count)| count);
                assert_eq!(now.stats.attempts.total, ended.iter().sum::<u64>() + now.stats.attempts.in_flight);
                for (last, now) in last.attempts.by_outcome().into_iter().zip(now.stats.attempts.by_outcome()) {
                    assert!(last.1 <= now.1, "{} went back from {} to {}", last.0, last.1, now.1);
                }
                assert!(last.bytes_sent <= now.stats.bytes_sent && last.bytes_received <= now.stats.bytes_received);
                last = now.stats;
            }
        });
        let ended = workers.map(thread::ScopedJoinHandle::join);
        done.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok));
    });
    let stats = pool.stats();
    assert_eq!((stats.requests(), stats.attempts.total, stats.attempts.in_flight), (2 * REQUESTS, 2 * REQUESTS, 0));
    assert_eq!(stats.attempts.failure_server, failed.load(Ordering::Relaxed));
    assert_eq!(
        (stats.attempts.cancelled, stats.bytes_sent, stats.bytes_received),
        (2 * REQUESTS / 5, 2 * REQUESTS, 4 * REQUESTS)
    );
}

#[test]
fn an_endpoint_that_returns_keeps_its_earlier_counts_in_the_list() {
    let clock = Arc::new(ManualClock::new());
    let pool = builder(&clock).keep_departed(Duration::from_secs(60)).build();
    let leave_and_return = || {
        pool.pick(&PickRequest::new()).unwrap().finish(Verdict::Success);
        pool.remove("a:80").unwrap();
        add(&pool, "a:80");
    };
    add(&pool, "a:80");
    leave_and_return();
    clock.advance(Duration::from_secs(3_600));
    leave_and_return();
    // Both are older than the time, and the pool has an endpoint with their id.
    clock.advance(Duration::from_secs(3_600));
    assert_eq!(listed(&pool), [("a:80".to_owned(), 2, 0)]);
    // They are listed as long as the last one.
    pool.remove("a:80").unwrap();
    clock.advance(Duration::from_secs(59));
    assert_eq!(listed(&pool), [("a:80".to_owned(), 2, 0)]);
    clock.advance(Duration::from_secs(1));
    assert_eq!((pool.departed().len(), pool.stats().attempts.success), (0, 2));
}

/// Returns the successes and the attempts in flight of each id, with those of the endpoints that have left.
fn by_id(pool: &Pool<Arc<()>>) -> BTreeMap<String, (u64, u64)> {
    let status = pool.status();
    let mut sums = BTreeMap::new();
    for status in status.endpoints.iter().chain(status.departed.iter().map(|left| &left.status)) {
        let sum: &mut (u64, u64) = sums.entry(status.id.to_string()).or_default();
        *sum = (sum.0 + status.requests.success, sum.1 + status.requests.in_flight);
    }
    sums
}

#[test]
fn the_counts_of_an_id_do_not_decrease_however_often_its_address_changes() {
    const IDS: usize = 400;
    // Endpoints that leave in the time for which they are listed, and long after it.
    for pause in [1, 3_600] {
        let clock = Arc::new(ManualClock::new());
        let pool = builder(&clock).latency_histograms(true).build();
        let mut held = Vec::new();
        for deploy in 1..=6 {
            let specs =
                (0..IDS).map(|id| EndpointSpec::new(format!("10.0.{deploy}.1:1{id:04}")).with_id(format!("{id}")));
            pool.update(specs, |_| Arc::new(())).unwrap();
            (0..IDS).for_each(|id| pick(&pool, &id.to_string()).finish(Verdict::Success));
            held.push(pick(&pool, "7"));
            clock.advance(Duration::from_secs(pause));
            let sums = by_id(&pool);
            assert_eq!(sums.len(), IDS);
            for (id, sum) in sums {
                assert_eq!(sum, (deploy, if id == "7" { deploy } else { 0 }), "{id} after {deploy} changes");
            }
            assert!(pool.departed().len() <= 1_000, "{}", pool.departed().len());
        }
        held.into_iter().for_each(|lease| lease.finish(Verdict::Success));
        assert_eq!(by_id(&pool)["7"], (12, 0));
        let status = pool.status();
        let times = status.endpoints.iter().chain(status.departed.iter().map(|left| &left.status));
        assert_eq!(times.map(|status| status.duration.as_ref().unwrap().count()).sum::<u64>(), 6 * IDS as u64 + 6);
        assert_eq!(status.stats.attempts.success, 6 * IDS as u64 + 6);
    }
}

#[test]
fn the_limit_of_the_list_does_not_concern_ids_of_the_pool() {
    let clock = Arc::new(ManualClock::new());
    let pool = builder(&clock).build();
    for deploy in 1..=3 {
        let specs =
            (0..1_100).map(|id| EndpointSpec::new(format!("10.0.{deploy}.1:1{id:04}")).with_id(format!("{id}")));
        pool.update(specs, |_| Arc::new(())).unwrap();
        (0..1_100).for_each(|id| pick(&pool, &id.to_string()).finish(Verdict::Success));
    }
    assert!(by_id(&pool).values().all(|sum| *sum == (3, 0)));
    assert_eq!(pool.departed().len(), 1_100);
    pool.update([], |_| unreachable!("no endpoint joins")).unwrap();
    assert_eq!((pool.departed().len(), pool.stats().attempts.success), (1_000, 3_300));
}

#[test]
fn the_histograms_of_a_pool_lose_no_request() {
    let clock = Arc::new(ManualClock::new());
    let pool = builder(&clock).latency_histograms(true).keep_departed(Duration::from_secs(60)).build();
    for id in ["a:80", "b:80", "c:80"] {
        add(&pool, id);
        let mut lease = pool.pick(&PickRequest::new()).unwrap();
        clock.advance(Duration::from_millis(5));
        lease.first_byte();
        // The lease ends after its endpoint has left.
        pool.remove(id).unwrap();
        clock.advance(Duration::from_millis(5));
        lease.finish(Verdict::Success);
        clock.advance(Duration::from_secs(30));
    }
    let count = |histogram: Option<&LatencyHistogram>| histogram.map_or(0, LatencyHistogram::count);
    for listed in [1, 0] {
        let status = pool.status();
        assert_eq!(status.departed.len(), listed);
        let left = |of: fn(&EndpointStatus) -> Option<&LatencyHistogram>| {
            status.departed.iter().map(|left| count(of(&left.status))).sum::<u64>()
        };
        let latencies = left(|status| status.latency.as_ref()) + count(status.past_latency.as_ref());
        let durations = left(|status| status.duration.as_ref()) + count(status.past_duration.as_ref());
        assert_eq!((latencies, durations), (3, 3), "with {listed} endpoints in the list");
        clock.advance(Duration::from_secs(30));
    }
}
