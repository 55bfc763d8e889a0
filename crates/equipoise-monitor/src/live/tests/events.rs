//! Events: what makes one, and what subscribers get.

use super::*;

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
