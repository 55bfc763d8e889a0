//! Samples and events of pools in a monitor. Time is paused: it moves on when nothing else can.

mod events;
mod logged;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use equipoise_core::{
    Availability, EndpointId, EndpointSpec, Failure, ManualClock, PickRequest, Pool, RoundRobin, Verdict,
};
use tokio::{sync::watch, time::Instant};

use super::*;
use crate::{
    Monitor, WatchedListener, WatchedPool,
    report::{CertificateReport, Reading},
};

type Feed = watch::Receiver<Arc<Live>>;

fn pool(ids: &[&str]) -> Pool<()> {
    let pool = Pool::new(RoundRobin::new());
    pool.update(ids.iter().map(EndpointSpec::new), |_| ()).unwrap();
    pool
}

fn monitor(pool: &Pool<()>) -> Monitor {
    let monitor = Monitor::new();
    monitor.add_pool(WatchedPool::new("web", pool));
    monitor
}

fn serve(pool: &Pool<()>, times: usize) {
    (0..times).for_each(|_| pool.pick(&PickRequest::new()).unwrap().finish(Verdict::Success));
}

/// Waits for the state after so many seconds.
async fn after(feed: &mut Feed, seconds: u64) -> Arc<Live> {
    Arc::clone(&*feed.wait_for(|live| live.seconds >= seconds).await.unwrap())
}

async fn next(events: &mut MonitorEvents) -> MonitorEventKind {
    match events.next().await.unwrap() {
        Received::Event(event) => event.kind,
        Received::Dropped(dropped) => panic!("{dropped} events were dropped"),
    }
}

/// The kinds of the events that there are within the next two seconds.
async fn kinds(events: &mut MonitorEvents) -> Vec<&'static str> {
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut kinds = Vec::new();
    while let Some(Received::Event(event)) = events.try_next() {
        kinds.push(event.kind.as_str());
    }
    kinds
}

fn rates(samples: &std::collections::VecDeque<Sample>) -> Vec<f32> {
    samples.iter().map(|sample| sample.rate).collect()
}

fn membership(pool: &str, added: &[&str], removed: &[&str]) -> MonitorEventKind {
    let ids = |ids: &[&str]| ids.iter().map(EndpointId::from).collect();
    MonitorEventKind::Membership {
        pool: pool.into(),
        added: ids(added),
        removed: ids(removed),
        replaced: Vec::new(),
        changed: Vec::new(),
        retargeted: Vec::new(),
        unlisted: 0,
    }
}

#[tokio::test(start_paused = true)]
async fn each_second_has_a_sample_of_the_pool_and_of_its_endpoints() {
    let pool = pool(&["a:80", "b:80"]);
    serve(&pool, 40);
    let monitor = monitor(&pool);
    let _guard = monitor.spawn();
    let mut feed = monitor.live_feed();
    for (second, requests) in [(1, 6), (2, 0), (3, 10)] {
        serve(&pool, requests);
        let lease = pool.pick(&PickRequest::new()).unwrap();
        assert_eq!(after(&mut feed, second).await.pools[0].samples.back().unwrap().in_flight, 1);
        lease.finish(Verdict::Failure(Failure::Server));
    }
    let live = monitor.live();
    let history = &live.pools[0];
    assert_eq!(rates(&history.samples), [6.0, 1.0, 11.0]);
    assert_eq!(history.samples.iter().map(|sample| sample.errors).collect::<Vec<_>>(), [0.0, 1.0, 1.0]);
    let sums: Vec<f32> = history.endpoints.iter().map(|samples| rates(samples).iter().sum()).collect();
    assert_eq!(sums.iter().sum::<f32>(), 18.0);
    assert_eq!((live.seconds, live.snapshot.pools[0].stats.attempts.total), (3, 59));
}

#[tokio::test(start_paused = true)]
async fn a_history_has_the_last_seconds_only() {
    let pool = pool(&["a:80"]);
    let monitor = monitor(&pool);
    let _guard = monitor.spawn_with(LiveSettings::new().samples(3));
    let mut feed = monitor.live_feed();
    for second in 1..=5 {
        serve(&pool, second);
        after(&mut feed, second as u64).await;
    }
    let history = Arc::clone(&monitor.live().pools[0]);
    assert_eq!((rates(&history.samples), rates(&history.endpoints[0])), (vec![3.0, 4.0, 5.0], vec![3.0, 4.0, 5.0]));
}

#[tokio::test(start_paused = true)]
async fn a_change_of_a_pool_makes_a_new_state_at_once_and_no_sample() {
    let pool = pool(&["a:80", "b:80"]);
    let monitor = monitor(&pool);
    let _guard = monitor.spawn();
    let mut feed = monitor.live_feed();
    after(&mut feed, 1).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    serve(&pool, 4);
    let began = Instant::now();
    pool.drain("b:80").unwrap();
    let drained = |live: &Arc<Live>| live.snapshot.pools[0].endpoints[1].status.availability == Availability::Draining;
    let live = Arc::clone(&*feed.wait_for(drained).await.unwrap());
    assert!(began.elapsed() < Duration::from_millis(5), "{:?}", began.elapsed());
    assert_eq!((live.seconds, live.pools[0].samples.len()), (1, 1));
    // The requests before and after the change are in one sample.
    serve(&pool, 3);
    assert_eq!(rates(&after(&mut feed, 2).await.pools[0].samples), [0.0, 7.0]);
}

#[tokio::test(start_paused = true)]
async fn one_change_makes_one_state_and_its_event_is_recorded_before() {
    let pool = pool(&["a:80", "b:80"]);
    let monitor = monitor(&pool);
    let _guard = monitor.spawn();
    let mut feed = monitor.live_feed();
    for second in 1..=20 {
        let tick = after(&mut feed, second).await.tick;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let before = monitor.recent().len();
        pool.set_max_in_flight("a:80", Some(second as u32)).unwrap();
        feed.changed().await.unwrap();
        assert_eq!(monitor.recent().len(), before + 1);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(feed.borrow_and_update().tick, tick + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn there_are_at_most_ten_states_in_a_second_while_a_pool_changes_all_the_time() {
    let pool = pool(&["a:80", "b:80"]);
    let monitor = monitor(&pool);
    let _guard = monitor.spawn();
    let mut feed = monitor.live_feed();
    let first = after(&mut feed, 1).await.tick;
    for step in 0..1_000 {
        let availability = if step % 2 == 0 { Availability::Unhealthy } else { Availability::Up };
        pool.set_availability("a:80", availability).unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let states = monitor.live().tick - first;
    assert!((2..=11).contains(&states), "{states}");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_comes_back_is_counted_from_zero() {
    let pool = pool(&["a:80", "b:80"]);
    let monitor = monitor(&pool);
    let _guard = monitor.spawn();
    let mut feed = monitor.live_feed();
    serve(&pool, 8);
    after(&mut feed, 1).await;
    pool.remove("a:80").unwrap();
    pool.add(EndpointSpec::new("a:80"), ()).unwrap();
    pool.add(EndpointSpec::new("c:80"), ()).unwrap();
    serve(&pool, 9);
    let live = after(&mut feed, 2).await;
    let (report, history) = (&live.snapshot.pools[0], &live.pools[0]);
    let of = |id: &str| report.endpoints.iter().position(|endpoint| endpoint.status.id.as_str() == id).unwrap();
    assert_eq!(rates(&history.endpoints[of("c:80")]), [3.0]);
    assert_eq!(rates(&history.endpoints[of("a:80")]).last(), Some(&3.0));
    assert_eq!(rates(&history.endpoints[of("b:80")]), [4.0, 3.0]);
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_added_later_is_not_sampled_from_its_beginning() {
    let (first, second) = (pool(&["a:80"]), pool(&["b:80"]));
    let monitor = monitor(&first);
    let _guard = monitor.spawn();
    let mut feed = monitor.live_feed();
    after(&mut feed, 1).await;
    serve(&second, 1_000);
    tokio::time::sleep(Duration::from_millis(500)).await;
    monitor.add_pool(WatchedPool::new("late", &second));
    feed.wait_for(|live| live.pools.len() == 2).await.unwrap();
    serve(&second, 2);
    // In half of a second.
    let live = after(&mut feed, 2).await;
    let rate = rates(&live.pools[1].samples);
    assert!(rate.len() == 1 && (rate[0] - 4.0).abs() < 0.1, "{rate:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_replaces_another_one_keeps_the_history_and_begins_at_zero() {
    let old = pool(&["a:80", "b:80"]);
    let monitor = monitor(&old);
    let _guard = monitor.spawn();
    let mut feed = monitor.live_feed();
    serve(&old, 10);
    after(&mut feed, 1).await;
    let new = pool(&["c:80", "b:80", "a:80"]);
    serve(&new, 300);
    tokio::time::sleep(Duration::from_millis(500)).await;
    monitor.replace([WatchedPool::new("other", &pool(&[])), WatchedPool::new("web", &new)], []);
    let is_there = |live: &Arc<Live>| live.pools.len() == 2;
    feed.wait_for(is_there).await.unwrap();
    serve(&new, 6);
    // In half of a second.
    let live = after(&mut feed, 2).await;
    let history = &live.pools[1];
    let near = |rates: Vec<f32>, exact: &[f32]| {
        assert!(rates.len() == exact.len() && rates.iter().zip(exact).all(|(a, b)| (a - b).abs() < 0.1), "{rates:?}");
    };
    near(rates(&history.samples), &[10.0, 12.0]);
    near(rates(&history.endpoints[0]), &[4.0]);
    near(rates(&history.endpoints[1]), &[5.0, 4.0]);
    near(rates(&history.endpoints[2]), &[5.0, 4.0]);
}

#[tokio::test(start_paused = true)]
async fn the_same_pool_in_a_new_list_has_no_gap() {
    let pool = pool(&["a:80"]);
    let monitor = monitor(&pool);
    let _guard = monitor.spawn();
    let mut feed = monitor.live_feed();
    let mut events = monitor.subscribe();
    for second in 1..=3 {
        serve(&pool, 5);
        monitor.replace([WatchedPool::new("web", &pool)], []);
        after(&mut feed, second).await;
    }
    assert_eq!(rates(&monitor.live().pools[0].samples), [5.0; 3]);
    assert!(kinds(&mut events).await.is_empty());
    pool.drain("a:80").unwrap();
    assert_eq!(kinds(&mut events).await, ["health"]);
}

#[tokio::test(start_paused = true)]
async fn only_the_pool_has_samples_if_it_has_too_many_endpoints() {
    let clock = Arc::new(ManualClock::new());
    let pool = Pool::<()>::builder(RoundRobin::new()).clock(clock.clone()).latency_histograms(true).build();
    let ids: Vec<String> = (0..600).map(|n| format!("{n}:80")).collect();
    pool.update(ids.iter().map(EndpointSpec::new), |_| ()).unwrap();
    let monitor = monitor(&pool);
    let _guard = monitor.spawn_with(LiveSettings::new().max_endpoints(599));
    let mut feed = monitor.live_feed();
    for second in 1..=2 {
        for _ in 0..600 {
            let lease = pool.pick(&PickRequest::new()).unwrap();
            clock.advance(Duration::from_millis(10 * second));
            lease.finish(Verdict::Success);
        }
        after(&mut feed, second).await;
    }
    let history = Arc::clone(&monitor.live().pools[0]);
    let p50: Vec<f32> = history.samples.iter().filter_map(|sample| sample.p50).collect();
    assert!(p50.len() == 2 && (p50[0] / 10.0 - 1.0).abs() < 0.05 && (p50[1] / 20.0 - 1.0).abs() < 0.05, "{p50:?}");
    assert_eq!(history.endpoints.len(), 600);
    assert!(history.endpoints.iter().all(std::collections::VecDeque::is_empty));
    pool.remove("599:80").unwrap();
    let live = after(&mut feed, 3).await;
    assert!(live.pools[0].endpoints.iter().all(|samples| samples.len() == 1));
}

#[tokio::test(start_paused = true)]
async fn one_task_works_if_there_are_several_guards_and_another_one_takes_over() {
    let pool = pool(&["a:80"]);
    let monitor = monitor(&pool);
    let guards = [monitor.spawn(), monitor.spawn()];
    let mut events = monitor.subscribe();
    let mut feed = monitor.live_feed();
    let began = Instant::now();
    after(&mut feed, 3).await;
    assert_eq!(began.elapsed(), Duration::from_secs(3));
    pool.drain("a:80").unwrap();
    assert_eq!(kinds(&mut events).await, ["health"]);
    let [first, second] = guards;
    drop(first);
    pool.set_availability("a:80", Availability::Up).unwrap();
    assert_eq!(kinds(&mut events).await, ["health"]);
    let live = after(&mut feed, 8).await;
    assert_eq!(live.pools[0].samples.len() as u64, live.seconds);
    drop(second);
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_when_its_guard_is_dropped() {
    let pool = pool(&["a:80"]);
    let monitor = monitor(&pool);
    let guard = monitor.spawn();
    let mut events = monitor.subscribe();
    let mut feed = monitor.live_feed();
    after(&mut feed, 1).await;
    drop(guard);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(!monitor.hub().has_task());
    let seconds = feed.borrow().seconds;
    pool.drain("a:80").unwrap();
    assert!(kinds(&mut events).await.is_empty());
    assert_eq!(feed.borrow().seconds, seconds);
    // A state that is read is a new one nevertheless.
    let live = monitor.live();
    assert_eq!(live.snapshot.pools[0].endpoints[0].status.availability, Availability::Draining);
    drop(monitor);
    assert_eq!(events.next().await, None);
}

#[test]
fn a_task_goes_on_in_another_runtime() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let pool = pool(&["a:80"]);
    let monitor = monitor(&pool);
    let guards = [&first, &second].map(|runtime| {
        let _context = runtime.enter();
        monitor.spawn()
    });
    let mut events = monitor.subscribe();
    let mut check = |availability| {
        pool.set_availability("a:80", availability).unwrap();
        let event = async { tokio::time::timeout(Duration::from_secs(30), next(&mut events)).await.unwrap() };
        assert_eq!(second.block_on(event).as_str(), "health");
    };
    check(Availability::Draining);
    drop(first);
    check(Availability::Up);
    drop(guards);
}

#[tokio::test(start_paused = true)]
async fn readings_that_panic_are_missing_and_stop_nothing() {
    let monitor = monitor(&pool(&["a:80"]));
    let panics = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&panics);
    monitor.add_listener(WatchedListener::new("http", "http").readings(move |into| {
        into.push(Reading::gauge("open", "Open.", 1));
        assert!(!flag.load(Ordering::Relaxed), "in a reading");
    }));
    let readings = |live: &Live| live.snapshot.listeners[0].readings.len();
    let _guard = monitor.spawn();
    let mut feed = monitor.live_feed();
    assert_eq!(readings(&*after(&mut feed, 1).await), 1);
    panics.store(true, Ordering::Relaxed);
    assert_eq!(readings(&*after(&mut feed, 3).await), 0);
    panics.store(false, Ordering::Relaxed);
    assert_eq!(readings(&*after(&mut feed, 5).await), 1);
}
