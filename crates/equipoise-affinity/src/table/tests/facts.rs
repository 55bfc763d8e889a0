use std::collections::HashSet;

use equipoise_core::Timestamp;

use super::*;

#[test]
fn a_session_is_found_until_it_is_ended() {
    let (table, _) = table(10);
    assert_eq!(bound(&table, b"k"), None);
    table.bind(b"k", &id("a"), None);
    assert_eq!(bound(&table, b"k"), Some(id("a")));
    assert_eq!(bound(&table, b"other"), None);
    table.unbind(b"k");
    table.unbind(b"k");
    assert_eq!(bound(&table, b"k"), None);
    assert!(table.is_empty());
    assert_eq!(table.stats(), TableStats::default());
}

#[test]
fn a_session_expires_when_it_is_not_used() {
    let (table, clock) = table_with(SessionTable::builder().idle_timeout(secs(10)));
    table.bind(b"k", &id("a"), None);
    for _ in 0..5 {
        clock.advance(secs(10));
        assert_eq!(bound(&table, b"k"), Some(id("a")), "a hit starts the idle time again");
    }
    clock.advance(secs(10) + TICK);
    assert_eq!(bound(&table, b"k"), None);
    assert!(table.is_empty(), "reading removes it");
    assert_eq!(table.stats().expirations, 1);
}

#[test]
fn idle_is_half_an_hour_unless_said_otherwise() {
    let (table, clock) = table(10);
    table.bind(b"k", &id("a"), None);
    clock.advance(secs(1_800));
    assert_eq!(bound(&table, b"k"), Some(id("a")));
    clock.advance(secs(1_801));
    assert_eq!(bound(&table, b"k"), None);
}

#[test]
fn no_session_expires_early_whatever_the_tick() {
    for offset in [0, 1, 50_000_000, 99_999_999] {
        let (table, clock) = table_with(SessionTable::builder().idle_timeout(Duration::from_millis(150)));
        clock.advance(Duration::from_nanos(offset));
        table.bind(b"k", &id("a"), None);
        clock.advance(Duration::from_millis(150));
        assert_eq!(bound(&table, b"k"), Some(id("a")));
        clock.advance(Duration::from_millis(200) + 2 * TICK);
        assert_eq!(bound(&table, b"k"), None);
    }
}

#[test]
fn a_session_in_use_ends_with_its_lifetime() {
    let (table, clock) = table_with(SessionTable::builder().idle_timeout(None).lifetime(secs(60)));
    table.bind(b"k", &id("a"), None);
    for _ in 0..60 {
        clock.advance(secs(1));
        assert_eq!(bound(&table, b"k"), Some(id("a")));
        table.bind(b"k", &id("a"), None);
    }
    clock.advance(TICK);
    assert_eq!(bound(&table, b"k"), None);
}

#[test]
fn moving_a_session_does_not_prolong_its_lifetime() {
    let (table, clock) = table_with(SessionTable::builder().idle_timeout(None).lifetime(secs(60)));
    table.bind(b"k", &id("a"), None);
    clock.advance(secs(50));
    table.bind(b"k", &id("b"), Some(&id("a")));
    clock.advance(secs(10));
    assert_eq!(bound(&table, b"k"), Some(id("b")));
    assert_eq!(table.sessions().next().unwrap().age(), secs(60));
    clock.advance(secs(1));
    assert_eq!(bound(&table, b"k"), None);
}

#[test]
fn without_expiry_a_session_stays() {
    let (table, clock) = table_with(SessionTable::builder().idle_timeout(None));
    table.bind(b"k", &id("a"), None);
    clock.set(Timestamp::from_nanos(u64::MAX));
    assert_eq!(bound(&table, b"k"), Some(id("a")));
    assert_eq!(table.sessions().next().unwrap().expires_in(), None);
}

#[test]
fn a_clock_that_goes_back_ends_nothing_and_keeps_nothing_forever() {
    let (table, clock) = table_with(SessionTable::builder().idle_timeout(secs(10)).lifetime(secs(100)));
    clock.advance(secs(1_000_000));
    for key in [b"read", b"left"] {
        table.bind(key, &id("a"), None);
    }
    clock.set(Timestamp::ZERO);
    assert_eq!(bound(&table, b"read"), Some(id("a")));
    assert_eq!(table.sweep(), 0);
    assert_eq!(table.sessions().count(), 2);
    clock.advance(secs(10) + TICK);
    assert_eq!(table.sweep(), 2, "both count from when the clock was seen to be back");
}

#[test]
fn sessions_that_are_not_looked_up_are_swept() {
    let (table, clock) = table_with(SessionTable::builder().capacity(10_000).idle_timeout(secs(10)));
    for n in 0..5_000u32 {
        table.bind(&n.to_be_bytes(), &id("a"), None);
    }
    clock.advance(secs(11));
    table.bind(b"new", &id("a"), None);
    // Adding the new key has swept its own shard, one of sixteen.
    assert!(table.len() > 4_000);
    assert!(table.sweep() > 4_000);
    assert_eq!((table.len(), table.sweep(), table.stats().expirations), (1, 0, 5_000));
}

#[test]
fn binds_and_misses_sweep_along_the_way() {
    for miss in [false, true] {
        let (table, clock) = table_with(SessionTable::builder().capacity(100_000).idle_timeout(secs(10)));
        for n in 0..5_000u32 {
            table.bind(&n.to_be_bytes(), &id("a"), None);
        }
        clock.advance(secs(11));
        for n in 10_000..15_000u32 {
            if miss {
                bound(&table, &n.to_be_bytes());
            } else {
                table.bind(&n.to_be_bytes(), &id("a"), None);
            }
        }
        assert_eq!(table.stats().expirations, 5_000);
        assert_eq!(table.len(), if miss { 0 } else { 5_000 });
    }
}

#[test]
fn sessions_of_an_endpoint_that_has_left_are_void_even_if_it_comes_back() {
    let (table, _) = table(10_000);
    for n in 0..100u32 {
        table.bind(&n.to_be_bytes(), &id(if n % 2 == 0 { "a" } else { "b" }), None);
    }
    table.left(&id("a"));
    table.left(&id("unknown"));
    table.bind(&0u32.to_be_bytes(), &id("a"), None);
    for n in 0..100u32 {
        let expected = if n == 0 { Some(id("a")) } else { (n % 2 == 1).then(|| id("b")) };
        assert_eq!(bound(&table, &n.to_be_bytes()), expected);
    }
    assert_eq!((table.len(), table.stats().voided, table.stats().expirations), (51, 49 + 1, 0));
}

#[test]
fn endpoints_that_leave_and_return_repeatedly_use_no_memory() {
    let (table, _) = table(1_000);
    for n in 0..20_000u32 {
        let endpoint = id(&format!("{}", n % 7));
        table.bind(&(n % 500).to_be_bytes(), &endpoint, None);
        table.left(&endpoint);
    }
    assert_eq!(table.0.members.len(), 0);
    assert_eq!(table.sessions().count(), 0);
    table.sweep();
    assert!(table.is_empty());
}

#[test]
fn a_bind_that_knows_what_was_replaces_it_and_another_does_not() {
    let (table, _) = table(10);
    table.bind(b"k", &id("a"), None);
    table.bind(b"k", &id("b"), None);
    assert_eq!(bound(&table, b"k"), Some(id("a")));
    table.bind(b"k", &id("b"), Some(&id("c")));
    assert_eq!(bound(&table, b"k"), Some(id("a")));
    table.bind(b"k", &id("b"), Some(&id("a")));
    assert_eq!(bound(&table, b"k"), Some(id("b")));
    table.left(&id("b"));
    table.bind(b"k", &id("c"), Some(&id("b")));
    assert_eq!(bound(&table, b"k"), Some(id("c")));
}

#[test]
fn long_keys_are_kept_as_distinct_digests() {
    let (table, _) = table(10);
    let (one, other) = ([b'x'; 4_096], {
        let mut key = [b'x'; 4_096];
        key[4_095] = b'y';
        key
    });
    table.bind(&one, &id("a"), None);
    table.bind(&other, &id("b"), None);
    table.bind(b"", &id("c"), None);
    assert_eq!(bound(&table, &one), Some(id("a")));
    assert_eq!(bound(&table, &other), Some(id("b")));
    assert_eq!(bound(&table, b""), Some(id("c")));
    let digests: Vec<_> =
        table.sessions().filter(TableSession::is_digest).map(|session| session.key().to_vec()).collect();
    assert_eq!(digests.len(), 2);
    // A digest that is shown cannot be used as a key.
    assert!(digests.iter().all(|digest| bound(&table, digest).is_none()));
}

#[test]
fn an_operator_sees_live_sessions_once_each() {
    let (table, clock) =
        table_with(SessionTable::builder().capacity(10_000).idle_timeout(secs(100)).lifetime(secs(1_000)));
    for n in 0..3_000u32 {
        table.bind(&n.to_be_bytes(), &id(if n < 1_000 { "a" } else { "b" }), None);
    }
    table.left(&id("a"));
    clock.advance(secs(30));
    let listed: Vec<_> = table.sessions().collect();
    let keys: HashSet<_> = listed.iter().map(|session| session.key().to_vec()).collect();
    assert_eq!((listed.len(), keys.len()), (2_000, 2_000));
    for session in &listed {
        assert_eq!(session.endpoint(), &id("b"));
        assert_eq!((session.age(), session.idle(), session.expires_in()), (secs(30), secs(30), Some(secs(70))));
    }
    assert_eq!(table.sessions().take(5).count(), 5);
}

#[test]
fn no_debug_output_shows_a_key() {
    let (table, _) = table(10);
    table.bind(b"secret", &id("a"), None);
    let shown = format!("{table:?} {:?} {:?}", table.sessions(), table.sessions().next());
    assert!(!shown.contains("secret") && !shown.contains("115, 101"), "{shown}");
}

#[test]
fn its_size_and_removals_are_in_the_stats_of_the_store() {
    let (table, clock) = table_with(SessionTable::builder().capacity(10).idle_timeout(secs(1)));
    for key in 0..20_u8 {
        table.bind(&[key], &id("a"), None);
    }
    clock.advance(secs(5));
    table.sweep();
    table.bind(b"k", &id("a"), None);
    let TableStats { evictions, expirations, .. } = table.stats();
    assert_eq!(evictions + expirations, 20);
    assert_eq!(
        table.store_stats(),
        Some(StoreStats {
            store: "table",
            sessions: Some(1),
            capacity: Some(10),
            connected: None,
            events: vec![("evictions", evictions), ("expirations", expirations), ("voided", 0)],
        })
    );
}

#[test]
fn a_clone_is_the_same_table() {
    let (table, _) = table(10);
    table.clone().bind(b"k", &id("a"), None);
    assert_eq!(bound(&table, b"k"), Some(id("a")));
}

#[test]
fn settings_out_of_range_are_errors_that_say_what_would_be_right() {
    let error = |builder: SessionTableBuilder| builder.build().unwrap_err().to_string();
    for capacity in [0, usize::MAX] {
        let expected = format!("capacity cannot be {capacity}: use 1 to 1073741824 sessions");
        assert_eq!(error(SessionTable::builder().capacity(capacity)), expected);
    }
    let zero = "cannot be 0: use a longer time, or None for no limit";
    assert_eq!(error(SessionTable::builder().idle_timeout(Duration::ZERO)), format!("idle_timeout {zero}"));
    assert_eq!(error(SessionTable::builder().lifetime(Duration::ZERO)), format!("lifetime {zero}"));
    assert!(SessionTable::builder().idle_timeout(Duration::MAX).lifetime(Duration::MAX).build().is_ok());
}
