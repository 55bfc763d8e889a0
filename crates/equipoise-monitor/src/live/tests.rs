//! Events and samples of pools in a monitor. Time is paused: it moves on when nothing else can.

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
async fn each_change_of_a_pool_is_one_event() {
    let pool = pool(&["a:80"]);
    let monitor = monitor(&pool);
    let _guard = monitor.spawn();
    let mut events = monitor.subscribe();
    let web = || Arc::<str>::from("web");
    let a = || EndpointId::from("a:80");

    pool.update(["a:80", "b:80"].map(EndpointSpec::new), |_| ()).unwrap();
    assert_eq!(next(&mut events).await, membership("web", &["b:80"], &[]));
    pool.set_max_in_flight("a:80", Some(7)).unwrap();
    let limit = MonitorEventKind::LimitChanged { pool: web(), endpoint: a(), from: None, to: Some(7) };
    assert_eq!(next(&mut events).await, limit);
    pool.set_weight_percent("a:80", 300).unwrap();
    let weight = MonitorEventKind::WeightChanged { pool: web(), endpoint: a(), from: 1, to: 3 };
    assert_eq!(next(&mut events).await, weight);
    pool.set_availability("a:80", Availability::Maintenance).unwrap();
    let health = MonitorEventKind::Health {
        pool: web(),
        endpoint: a(),
        from: "up",
        to: "maintenance",
        source: "pool",
        reason: String::new(),
    };
    assert_eq!(next(&mut events).await, health);
    pool.update([EndpointSpec::new("c:80").with_id("b:80"), EndpointSpec::new("a:80").weight(2)], |_| ()).unwrap();
    let MonitorEventKind::Membership { replaced, changed, .. } = next(&mut events).await else { panic!() };
    assert_eq!((replaced, changed), (vec!["b:80".into()], vec![a()]));
    let weight = MonitorEventKind::WeightChanged { pool: web(), endpoint: a(), from: 3, to: 6 };
    assert_eq!(next(&mut events).await, weight);
    pool.replace(EndpointSpec::new("a:80").weight(2), ()).unwrap();
    let MonitorEventKind::Membership { retargeted, .. } = next(&mut events).await else { panic!() };
    assert_eq!(retargeted, [a()]);
    assert!(kinds(&mut events).await.is_empty());

    // Without effect.
    pool.set_availability("a:80", Availability::Maintenance).unwrap();
    pool.set_max_in_flight("a:80", Some(7)).unwrap();
    assert!(kinds(&mut events).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_undone_at_once_is_two_events() {
    let pool = pool(&["a:80"]);
    let monitor = monitor(&pool);
    let _guard = monitor.spawn();
    let mut events = monitor.subscribe();
    pool.add(EndpointSpec::new("b:80"), ()).unwrap();
    pool.remove("b:80").unwrap();
    assert_eq!(next(&mut events).await, membership("web", &["b:80"], &[]));
    assert_eq!(next(&mut events).await, membership("web", &[], &["b:80"]));
    assert!(kinds(&mut events).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_change_is_lost_while_many_threads_change_pools() {
    // In total less than a subscriber may be late by.
    const CHANGES: u64 = 250;
    let pools: Vec<Pool<()>> = (0..2).map(|_| pool(&["a:80", "b:80"])).collect();
    let monitor = Monitor::new();
    for (n, pool) in pools.iter().enumerate() {
        monitor.add_pool(WatchedPool::new(format!("pool {n}"), pool));
    }
    let _guard = monitor.spawn();
    let mut events = monitor.subscribe();
    let changed = Arc::new(AtomicU64::new(0));
    let threads = pools.iter().flat_map(|pool| [(pool, "x:80"), (pool, "y:80")]).map(|(pool, id)| {
        let (pool, changed) = (pool.clone(), Arc::clone(&changed));
        std::thread::spawn(move || {
            for n in 0..CHANGES {
                match n % 2 {
                    0 => pool.add(EndpointSpec::new(id), ()).map(drop).unwrap(),
                    _ => pool.remove(id).map(drop).unwrap(),
                }
                changed.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let threads: Vec<_> = threads.collect();
    let mut there: HashMap<(Arc<str>, EndpointId), bool> = HashMap::new();
    let (mut seen, mut last) = (0, None);
    while seen < 4 * CHANGES {
        let received = tokio::time::timeout(Duration::from_secs(60), events.next()).await.unwrap().unwrap();
        let Received::Event(event) = received else { panic!("{received:?}") };
        assert!(last.replace(event.id).is_none_or(|last| event.id == last + 1));
        let MonitorEventKind::Membership { pool, added, removed, .. } = event.kind else { panic!("{event:?}") };
        for (ids, joins) in [(added, true), (removed, false)] {
            for id in ids {
                assert_eq!(there.insert((Arc::clone(&pool), id), joins).unwrap_or(false), !joins);
            }
        }
        seen += 1;
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(changed.load(Ordering::Relaxed), seen);
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_does_not_read_holds_up_nothing_and_learns_what_it_has_lost() {
    let pool = pool(&["a:80"]);
    let monitor = monitor(&pool);
    let _guard = monitor.spawn();
    let (mut stuck, mut reads) = (monitor.subscribe(), monitor.subscribe());
    for n in 0..3_000 {
        pool.set_max_in_flight("a:80", Some(n + 1)).unwrap();
        assert_eq!(next(&mut reads).await.as_str(), "limit_changed");
    }
    assert_eq!(stuck.next().await, Some(Received::Dropped(3_000 - 1_024)));
    let Some(Received::Event(event)) = stuck.next().await else { panic!() };
    assert_eq!(
        event.kind,
        MonitorEventKind::LimitChanged {
            pool: "web".into(),
            endpoint: "a:80".into(),
            from: Some(3_000 - 1_024),
            to: Some(3_000 - 1_023),
        }
    );
    let mut rest = 0;
    while let Some(Received::Event(_)) = stuck.try_next() {
        rest += 1;
    }
    assert_eq!(rest, 1_023);
    assert_eq!(monitor.recent().len(), 100);
}

#[tokio::test(start_paused = true)]
async fn changes_are_counted_if_the_task_cannot_run() {
    let pool = pool(&["a:80"]);
    let monitor = monitor(&pool);
    let _guard = monitor.spawn();
    let mut events = monitor.subscribe();
    // The task cannot run until this one waits.
    for n in 0..20_000 {
        pool.set_max_in_flight("a:80", Some(n + 1)).unwrap();
    }
    let mut dropped = 0;
    let missed = loop {
        match events.next().await.unwrap() {
            Received::Dropped(more) => dropped += more,
            Received::Event(event) => match event.kind {
                MonitorEventKind::ChangesMissed { changes, .. } => break changes,
                _ => dropped += 1,
            },
        }
    };
    assert_eq!((dropped, missed), (16_384, 20_000 - 16_384));
    pool.set_max_in_flight("a:80", None).unwrap();
    assert_eq!(next(&mut events).await.as_str(), "limit_changed");
}

#[tokio::test(start_paused = true)]
async fn lists_of_endpoints_are_bounded() {
    let pool = pool(&["a:80"]);
    let monitor = monitor(&pool);
    let _guard = monitor.spawn();
    let mut events = monitor.subscribe();
    let ids: Vec<String> = (0..1_000).map(|n| format!("{n}:80")).collect();
    pool.update(ids.iter().map(EndpointSpec::new), |_| ()).unwrap();
    let MonitorEventKind::Membership { added, removed, unlisted, .. } = next(&mut events).await else { panic!() };
    assert_eq!((added.len(), removed.len(), unlisted), (256, 1, 744));
}

#[tokio::test(start_paused = true)]
async fn pools_that_come_and_go_are_events_also_without_a_task() {
    let (a, b) = (pool(&["a:80"]), pool(&["b:80"]));
    let monitor = Monitor::new();
    let mut events = monitor.subscribe();
    monitor.add_pool(WatchedPool::new("web", &a));
    monitor.add_pool(WatchedPool::new("web", &a));
    monitor.add_pool(WatchedPool::new("web", &b));
    monitor.replace([WatchedPool::new("web", &b), WatchedPool::new("api", &a), WatchedPool::new("api", &a)], []);
    assert!(monitor.remove_pool("web"));
    assert!(!monitor.remove_pool("web"));
    let expected = ["pool_added", "pool_replaced", "pool_added", "pool_removed"];
    assert_eq!(kinds(&mut events).await, expected);
    let ids: Vec<u64> = monitor.recent().iter().map(|event| event.id).collect();
    assert_eq!(ids, [1, 2, 3, 4]);
    assert_eq!(monitor.live().snapshot.pools.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_left_the_monitor_has_no_events_and_is_dropped() {
    let dropped = Arc::new(());
    let pool: Pool<Arc<()>> = Pool::default();
    pool.add(EndpointSpec::new("a:80"), Arc::clone(&dropped)).unwrap();
    let monitor = Monitor::new();
    monitor.add_pool(WatchedPool::new("web", &pool));
    let _guard = monitor.spawn();
    let mut events = monitor.subscribe();
    let mut feed = monitor.live_feed();
    after(&mut feed, 1).await;
    pool.drain("a:80").unwrap();
    monitor.remove_pool("web");
    pool.remove("a:80").unwrap();
    pool.add(EndpointSpec::new("a:80"), Arc::clone(&dropped)).unwrap();
    let mut all = kinds(&mut events).await;
    all.sort_unstable();
    assert_eq!(all, ["health", "pool_removed"]);
    drop(pool);
    assert_eq!(Arc::strong_count(&dropped), 1);
}

#[tokio::test(start_paused = true)]
async fn a_monitor_whose_task_has_ended_does_not_keep_pools_that_left_it() {
    for endpoints in [1, 1_000] {
        let target = Arc::new(());
        let pool: Pool<Arc<()>> = Pool::default();
        let ids: Vec<String> = (0..endpoints).map(|n| format!("{n}:80")).collect();
        pool.update(ids.iter().map(EndpointSpec::new), |_| Arc::clone(&target)).unwrap();
        let monitor = Monitor::new();
        monitor.add_pool(WatchedPool::new("web", &pool));
        let guard = monitor.spawn();
        after(&mut monitor.live_feed(), 2).await;
        drop(guard);
        tokio::time::sleep(Duration::from_secs(1)).await;
        monitor.remove_pool("web");
        drop(pool);
        assert_eq!(Arc::strong_count(&target), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_expires_soon_is_one_event() {
    let monitor = Monitor::new();
    let not_after = SystemTime::now() + Duration::from_secs(5 * 24 * 3_600);
    monitor.add_listener(WatchedListener::new("https", "http").certificates(move |all| {
        all.push(CertificateReport {
            source: "site.pem".to_owned(),
            names: vec!["a.test".to_owned()],
            is_default: true,
            not_after,
        });
    }));
    let _guard = monitor.spawn();
    let mut events = monitor.subscribe();
    let MonitorEventKind::CertificateExpiring { listener, expires_in, .. } = next(&mut events).await else { panic!() };
    assert_eq!((&*listener, expires_in.as_secs() / (24 * 3_600)), ("https", 4));
    after(&mut monitor.live_feed(), 200).await;
    assert!(kinds(&mut events).await.is_empty());
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

#[cfg(feature = "health")]
mod health {
    use equipoise_health::{AdminState, Health};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn changes_by_health_are_events_once_with_their_reasons() {
        let pool = pool(&["a:80", "b:80"]);
        let health = Health::builder().build().unwrap();
        let _checks = health.spawn(&pool);
        let monitor = Monitor::new();
        monitor.add_pool(WatchedPool::new("web", &pool).health(&health));
        let _guard = monitor.spawn();
        let mut events = monitor.subscribe();
        health.set_admin_state("a:80", AdminState::Maintenance);
        let MonitorEventKind::Health { pool: name, endpoint, from, to, source, reason } = next(&mut events).await
        else {
            panic!()
        };
        assert_eq!((&*name, endpoint.as_str(), from, to, source), ("web", "a:80", "up", "maintenance", "operator"));
        assert!(!reason.is_empty());
        health.set_admin_state("a:80", AdminState::Ready);
        assert_eq!(kinds(&mut events).await, ["health"]);
        assert_eq!(pool.availability("a:80"), Some(Availability::Up));
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_list_of_pools_neither_loses_nor_repeats_changes_of_health() {
        let pool = pool(&["a:80"]);
        let health = Health::builder().build().unwrap();
        let _checks = health.spawn(&pool);
        let monitor = Monitor::new();
        let replace = || monitor.replace([WatchedPool::new("web", &pool).health(&health)], []);
        replace();
        let _guard = monitor.spawn();
        let mut events = monitor.subscribe();
        for state in [AdminState::Maintenance, AdminState::Ready] {
            health.set_admin_state("a:80", state);
            pool.changed(pool.revision()).await;
            replace();
        }
        assert_eq!(kinds(&mut events).await, ["health", "health"]);
        // A pool without health reports its availability itself.
        monitor.add_pool(WatchedPool::new("web", &pool));
        pool.drain("a:80").unwrap();
        assert_eq!(kinds(&mut events).await, ["health"]);
    }
}

mod logged {
    use std::io::Write;

    use parking_lot::Mutex;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    /// The lines that `f` writes to the log, as text.
    fn lines(f: impl FnOnce()) -> Vec<String> {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).without_time().with_writer(lines.clone()).finish();
        tracing::subscriber::with_default(subscriber, f);
        let text = String::from_utf8(lines.0.lock().clone()).unwrap();
        text.lines().map(ToOwned::to_owned).collect()
    }

    #[test]
    fn each_event_is_one_line_and_texts_from_outside_are_escaped() {
        let monitor = Monitor::new();
        let hostile = "a\n\u{1b}[31mERROR {x} \"";
        let pool = || Arc::<str>::from(hostile);
        let endpoint = || EndpointId::from(hostile);
        let text = || hostile.to_owned();
        let events = [
            membership(hostile, &[hostile], &[]),
            MonitorEventKind::LimitChanged { pool: pool(), endpoint: endpoint(), from: None, to: Some(3) },
            MonitorEventKind::WeightChanged { pool: pool(), endpoint: endpoint(), from: 1, to: 3 },
            MonitorEventKind::PoolAdded { pool: pool() },
            MonitorEventKind::PoolRemoved { pool: pool() },
            MonitorEventKind::PoolReplaced { pool: pool() },
            MonitorEventKind::Reloaded { result: "ok", detail: text() },
            MonitorEventKind::Reloaded { result: "failed", detail: text() },
            MonitorEventKind::Command { pool: pool(), endpoint: endpoint(), state: "drain", by: text() },
            MonitorEventKind::CertificateExpiring {
                listener: text(),
                source: text(),
                names: vec![text()],
                expires_in: Duration::ZERO,
            },
            MonitorEventKind::ChangesMissed { pool: pool(), changes: 3 },
            MonitorEventKind::Health {
                pool: pool(),
                endpoint: endpoint(),
                from: "up",
                to: "draining",
                source: "pool",
                reason: String::new(),
            },
        ];
        for event in events {
            let lines = lines(|| monitor.record(event.clone()));
            let [line] = &lines[..] else { panic!("{lines:?}") };
            assert!(line.contains("equipoise::event: "), "{line}");
            let level = match &event {
                MonitorEventKind::Reloaded { result: "failed", .. } => "ERROR",
                MonitorEventKind::ChangesMissed { .. } => " WARN",
                _ => " INFO",
            };
            assert!(line.contains(&format!("{level} equipoise::event: ")), "{line}");
            assert!(!line.contains('\u{1b}'), "{line}");
        }
    }

    #[test]
    fn a_change_by_health_is_not_logged_again() {
        let event = MonitorEventKind::Health {
            pool: "web".into(),
            endpoint: "a:80".into(),
            from: "up",
            to: "unhealthy",
            source: "checks",
            reason: "refused".to_owned(),
        };
        assert!(lines(|| Monitor::new().record(event)).is_empty());
    }

    #[test]
    fn a_long_list_is_cut_in_the_log() {
        let ids: Vec<String> = (0..30).map(|n| format!("{n}:80")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let lines = lines(|| Monitor::new().record(membership("web", &ids, &[])));
        assert!(lines[0].contains("\"19:80\", and 10 more]"), "{lines:?}");
    }
}

#[cfg(feature = "serde")]
#[test]
fn an_event_is_serialized_as_one_map() {
    let monitor = Monitor::new();
    monitor.record(MonitorEventKind::LimitChanged {
        pool: "web".into(),
        endpoint: "a:80".into(),
        from: None,
        to: Some(3),
    });
    monitor.record(membership("web", &["b:80"], &[]));
    let mut json = serde_json::to_value(monitor.recent()).unwrap();
    for event in json.as_array_mut().unwrap() {
        assert!(event["at"].as_f64().unwrap() > 1e9);
        event["at"] = 0.into();
    }
    let expected = serde_json::json!([
        { "id": 1, "at": 0, "kind": "limit_changed", "pool": "web", "endpoint": "a:80", "from": null, "to": 3 },
        { "id": 2, "at": 0, "kind": "membership", "pool": "web", "added": ["b:80"], "removed": [], "replaced": [],
          "changed": [], "retargeted": [], "unlisted": 0 },
    ]);
    assert_eq!(json, expected);
}
