//! The counts of an endpoint's requests.

use std::{
    pin::Pin,
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use equipoise_core::{
    Acquire, EndpointSpec, Failure, ManualClock, PickRequest, Pool, RequestCounts, RoundRobin, Verdict,
};

const VERDICTS: [Verdict; 9] = [
    Verdict::Success,
    Verdict::Failure(Failure::Connect),
    Verdict::Failure(Failure::Transport),
    Verdict::Failure(Failure::Timeout),
    Verdict::Failure(Failure::Gateway),
    Verdict::Failure(Failure::Server),
    Verdict::Overloaded { retry_after: None },
    Verdict::Unavailable { retry_after: None },
    Verdict::Neutral,
];

fn pool(stripes: usize) -> Pool<u32> {
    let pool = Pool::builder(RoundRobin::new()).stripes(stripes).build();
    pool.add(EndpointSpec::new("a:80"), 1).expect("a valid endpoint");
    pool
}

fn finish(pool: &Pool<u32>, verdict: Verdict) {
    pool.pick(&PickRequest::new()).expect("it is up").finish(verdict);
}

fn counts(pool: &Pool<u32>) -> RequestCounts {
    pool.endpoints()[0].requests
}

#[test]
fn each_request_is_counted_once_by_its_first_verdict() {
    let pool = pool(1);
    for (times, verdict) in VERDICTS.into_iter().enumerate() {
        for _ in 0..=times {
            let mut lease = pool.pick(&PickRequest::new()).unwrap();
            lease.first_byte();
            lease.record(verdict);
            lease.record(Verdict::Failure(Failure::Transport));
        }
    }
    (0..10).for_each(|_| drop(pool.pick(&PickRequest::new()).unwrap()));
    let counts = counts(&pool);
    assert_eq!(counts.by_outcome().map(|(_, count)| count), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    assert_eq!((counts.total, counts.in_flight), (55, 0));
}

#[test]
fn a_request_is_in_flight_until_its_lease_ends_whatever_its_verdict() {
    let pool = pool(1);
    let mut lease = pool.pick(&PickRequest::new()).unwrap();
    lease.record(Verdict::Success);
    let during = counts(&pool);
    assert_eq!((during.total, during.in_flight, during.success), (1, 1, 0));
    drop(lease);
    let after = counts(&pool);
    assert_eq!((after.total, after.in_flight, after.success), (1, 0, 1));
}

#[test]
fn counts_survive_updates_and_new_targets_but_not_a_new_endpoint() {
    let pool = pool(2);
    finish(&pool, Verdict::Success);
    pool.update(["a:80", "b:80"].map(|id| EndpointSpec::new(id).weight(3)), |_| 2).unwrap();
    assert_eq!(counts(&pool).success, 1);
    let held = pool.pick(&PickRequest::new().prefer(&"a:80".into())).unwrap();
    for target in 3..6 {
        pool.replace(EndpointSpec::new("a:80"), target).unwrap();
        pool.pick(&PickRequest::new().prefer(&"a:80".into())).unwrap().finish(Verdict::Success);
    }
    assert_eq!((counts(&pool).success, counts(&pool).in_flight), (4, 1));
    held.finish(Verdict::Success);
    assert_eq!((counts(&pool).success, counts(&pool).total), (5, 5));
    pool.remove("a:80").unwrap();
    pool.add(EndpointSpec::new("a:80"), 6).unwrap();
    let again = pool.endpoints().into_iter().find(|endpoint| endpoint.id.as_str() == "a:80");
    assert_eq!(again.map(|endpoint| endpoint.requests), Some(RequestCounts::default()));
}

#[test]
fn requests_are_verdicts_cancelled_and_in_flight_while_threads_run() {
    const ROUNDS: usize = 20_000;
    for stripes in [1, 3] {
        let pool = pool(stripes);
        let (done, picked) = (AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            let workers = [0usize, 1, 2].map(|offset| {
                let (pool, picked) = (&pool, &picked);
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        picked.fetch_add(1, Ordering::SeqCst);
                        match VERDICTS.get((round + offset) % (VERDICTS.len() + 1)) {
                            Some(&verdict) => finish(pool, verdict),
                            None => drop(pool.pick(&PickRequest::new()).unwrap()),
                        }
                        if round % 1_000 == 0 {
                            pool.replace(EndpointSpec::new("a:80"), round as u32).unwrap();
                        }
                    }
                })
            });
            for _ in 0..2 {
                let (pool, done, picked) = (&pool, &done, &picked);
                scope.spawn(move || {
                    let mut last = RequestCounts::default();
                    while !done.load(Ordering::SeqCst) {
                        let now = counts(pool);
                        let ended: u64 = now.by_outcome().iter().map(|(_, count)| count).sum();
                        assert_eq!(now.total, ended + now.in_flight);
                        assert!(now.total <= picked.load(Ordering::SeqCst), "a request was counted twice");
                        for ((label, last), (_, now)) in last.by_outcome().into_iter().zip(now.by_outcome()) {
                            assert!(last <= now, "{label} went back from {last} to {now}");
                        }
                        last = now;
                    }
                });
            }
            let ended = workers.map(thread::ScopedJoinHandle::join);
            done.store(true, Ordering::SeqCst);
            assert!(ended.iter().all(Result::is_ok));
        });
        let counts = counts(&pool);
        assert_eq!((counts.total, counts.in_flight), (3 * ROUNDS as u64, 0));
        assert!(counts.by_outcome().iter().all(|&(_, count)| count == 3 * ROUNDS as u64 / 10), "{counts:?}");
    }
}

#[test]
fn a_place_that_a_caller_never_got_is_not_a_request() {
    let pool: Pool<u32> = Pool::new(RoundRobin::new());
    pool.add(EndpointSpec::new("a:80").max_in_flight(1), 1).unwrap();
    let lease = pool.pick(&PickRequest::new()).unwrap();
    let mut waits = Box::pin(pool.acquire(&PickRequest::new()));
    let poll =
        |acquire: &mut Pin<Box<Acquire<u32>>>| Future::poll(acquire.as_mut(), &mut Context::from_waker(Waker::noop()));
    assert!(poll(&mut waits).is_pending());
    lease.finish(Verdict::Success);
    // The capacity goes to the waiting request, whose future is dropped before it takes the lease.
    assert!(pool.pick(&PickRequest::new()).is_err());
    drop(waits);
    assert_eq!((counts(&pool).total, counts(&pool).success), (1, 1));
    let mut next = Box::pin(pool.acquire(&PickRequest::new()));
    let Poll::Ready(Ok(lease)) = poll(&mut next) else { panic!("there is room") };
    drop(lease);
    assert_eq!((counts(&pool).total, counts(&pool).cancelled), (2, 1));
}

#[test]
fn latencies_are_kept_on_demand_for_all_targets_and_without_failures() {
    assert_eq!(pool(1).endpoints()[0].latency, None);
    let clock = Arc::new(ManualClock::new());
    let builder = Pool::builder(RoundRobin::new()).clock(clock.clone());
    let pool: Pool<u32> = builder.latency_histograms(true).build();
    pool.add(EndpointSpec::new("a:80"), 1).unwrap();
    for (millis, verdict) in [(5, Verdict::Success), (7, Verdict::Success), (1, Verdict::Failure(Failure::Server))] {
        let lease = pool.pick(&PickRequest::new()).unwrap();
        clock.advance(Duration::from_millis(millis));
        lease.finish(verdict);
        pool.replace(EndpointSpec::new("a:80"), 2).unwrap();
    }
    let latency = pool.endpoints().remove(0).latency.unwrap();
    assert_eq!((latency.count(), latency.sum()), (2, Duration::from_millis(12)));
    let bounds: Vec<_> = latency.buckets().map(|(bound, count)| (bound.as_millis(), count)).collect();
    assert_eq!(bounds, [(5, 1), (7, 1)]);
    assert_eq!(pool.explain(&PickRequest::new()).candidates[0].status.latency, None);
}

#[test]
fn the_whole_time_counts_for_requests_whose_response_has_begun() {
    let clock = Arc::new(ManualClock::new());
    let pool: Pool<u32> = Pool::builder(RoundRobin::new()).clock(clock.clone()).latency_histograms(true).build();
    pool.add(EndpointSpec::new("a:80"), 1).unwrap();
    let after = |millis| clock.advance(Duration::from_millis(millis));
    // A response whose body ends, one whose body breaks off, and one that is given up in its body.
    for verdict in [Some(Verdict::Success), Some(Verdict::Failure(Failure::Transport)), None] {
        let mut lease = pool.pick(&PickRequest::new()).unwrap();
        after(5);
        lease.first_byte();
        after(20);
        verdict.into_iter().for_each(|verdict| lease.record(verdict));
    }
    // A response without a body, no response, and one that was never wanted.
    for verdict in [Some(Verdict::Success), Some(Verdict::Failure(Failure::Timeout)), None] {
        let mut lease = pool.pick(&PickRequest::new()).unwrap();
        after(7);
        verdict.into_iter().for_each(|verdict| lease.record(verdict));
    }
    let status = pool.endpoints().remove(0);
    let times =
        [status.latency, status.duration].map(|times| times.map(|times| (times.count(), times.sum().as_millis())));
    assert_eq!(times, [Some((4, 22)), Some((4, 82))]);
}

#[test]
fn a_lease_that_is_withdrawn_is_no_request() {
    let pool = pool(1);
    let lease = pool.pick(&PickRequest::new()).unwrap();
    assert_eq!(counts(&pool).in_flight, 1);
    lease.withdraw();
    assert_eq!((counts(&pool), pool.stats().requests()), (RequestCounts::default(), 0));
}

#[test]
fn requests_are_first_attempts_and_those_without_an_attempt() {
    let pool: Pool<u32> = Pool::new(RoundRobin::new());
    let error = pool.pick(&PickRequest::new()).unwrap_err();
    pool.count_unserved(Some(&error));
    pool.add(EndpointSpec::new("a:80").max_in_flight(1), 1).unwrap();
    let lease = pool.pick(&PickRequest::new()).unwrap();
    let mut waits = Box::pin(pool.acquire(&PickRequest::new()));
    assert!(Future::poll(waits.as_mut(), &mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!((pool.stats().waiting, pool.stats().queued), (1, 1));
    drop(waits);
    pool.count_unserved(None);
    lease.finish(Verdict::Failure(Failure::Connect));
    pool.count_failover();
    pool.count_retry();
    finish(&pool, Verdict::Success);
    let stats = pool.stats();
    assert_eq!((stats.waiting, stats.queued, stats.retries, stats.failovers), (0, 1, 1, 1));
    let unserved: Vec<_> = stats.unserved.iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(unserved, [&("empty", 1), &("cancelled", 1)]);
    assert_eq!((stats.attempts.total, stats.requests()), (2, 3));
}
