use super::*;

fn key(n: u32) -> [u8; 32] {
    let mut key = [0; 32];
    key[..4].copy_from_slice(&n.to_be_bytes());
    key
}

fn alive(table: &SessionTable, sessions: u32) -> usize {
    let keys: std::collections::HashSet<_> = table.sessions().map(|session| session.key().to_vec()).collect();
    (0..sessions).filter(|&n| keys.contains(key(n).as_slice())).count()
}

#[test]
fn a_flood_of_a_million_leaves_sessions_alone_that_were_used_once_before_it() {
    let (table, _) = table(20_000);
    for n in 0..10_000 {
        table.bind(&key(n), &id("a"), None);
        bound(&table, &key(n));
    }
    for n in 10_000..1_010_000 {
        table.bind(&key(n), &id("b"), None);
        assert!(table.len() <= 20_000);
    }
    assert_eq!(alive(&table, 10_000), 10_000);
    assert_eq!((table.len(), table.stats().evictions), (20_000, 990_000));
    assert_eq!(table.sessions().count(), 20_000);
}

#[test]
fn sessions_that_begin_during_a_flood_stay_once_they_are_used() {
    let (table, _) = table(20_000);
    for n in 1_000_000..1_100_000 {
        table.bind(&key(n), &id("b"), None);
    }
    // Each session is used again after 500 more keys. It is still in the cold tenth of the table at that time.
    let mut flood = 2_000_000..;
    for n in 0..10_000 {
        table.bind(&key(n), &id("a"), None);
        for _ in 0..5 {
            table.bind(&key(flood.next().unwrap()), &id("b"), None);
        }
        if let Some(used) = n.checked_sub(100) {
            bound(&table, &key(used));
        }
    }
    for _ in 0..1_000_000 {
        table.bind(&key(flood.next().unwrap()), &id("b"), None);
    }
    let alive = alive(&table, 10_000);
    assert!(alive >= 9_800, "{alive}");
}

#[test]
fn a_session_that_returns_after_an_eviction_survives_the_flood() {
    let (table, _) = table(20_000);
    let mut flood = 2_000_000..;
    let mut flooded = |by| (&mut flood).take(by).for_each(|n| table.bind(&key(n), &id("b"), None));
    flooded(30_000);
    for n in 0..100 {
        table.bind(&key(n), &id("a"), None);
    }
    // These keys evict the sessions from the cold tenth. Their keys are still remembered, because the shards remember
    // keys up to half of the capacity.
    flooded(8_000);
    let lost = 100 - alive(&table, 100);
    for n in 0..100 {
        table.bind(&key(n), &id("a"), None);
    }
    flooded(500_000);
    let stay = alive(&table, 100);
    assert!(lost > 90 && stay > 80, "{lost} were lost, {stay} stayed");
}

#[test]
fn sessions_that_lost_their_endpoint_stand_the_flood_nearly_all() {
    let (table, _) = table(20_000);
    for n in 0..1_000 {
        table.bind(&key(n), &id("a"), None);
        bound(&table, &key(n));
    }
    table.left(&id("a"));
    for n in 0..1_000 {
        assert_eq!(bound(&table, &key(n)), None);
        table.bind(&key(n), &id("b"), Some(&id("a")));
    }
    for n in 10_000..200_000 {
        table.bind(&key(n), &id("b"), None);
    }
    let alive = alive(&table, 1_000);
    assert!(alive >= 940, "{alive}");
}

#[test]
fn a_table_full_of_sessions_in_use_gives_a_tenth_to_new_sessions() {
    let (table, _) = table(2_000);
    for n in 0..2_000 {
        table.bind(&key(n), &id("a"), None);
        (0..5).for_each(|_| drop(bound(&table, &key(n))));
    }
    for n in 2_000..3_000 {
        table.bind(&key(n), &id("a"), None);
    }
    assert_eq!(table.len(), 2_000);
    let alive = alive(&table, 2_000);
    assert!(alive >= 1_780, "{alive}");
}

#[test]
fn what_has_ended_makes_room_first() {
    let (table, clock) = table_with(SessionTable::builder().capacity(1_000).idle_timeout(secs(10)));
    for n in 0..1_000 {
        table.bind(&key(n), &id("a"), None);
    }
    clock.advance(secs(11));
    for n in 1_000..2_000 {
        table.bind(&key(n), &id("a"), None);
    }
    assert_eq!(table.stats(), TableStats { expirations: 1_000, ..TableStats::default() });
}

#[test]
fn four_fifths_of_a_table_in_use_outlast_a_flood_of_ten_times_its_size() {
    let (table, _) = table(20_000);
    (0..16_000).for_each(|n| table.bind(&key(n), &id("a"), None));
    for round in 1..=10 {
        (0..16_000).for_each(|n| drop(bound(&table, &key(n))));
        (0..20_000).for_each(|n| table.bind(&key(round * 1_000_000 + n), &id("b"), None));
    }
    let alive = alive(&table, 16_000);
    assert!(alive >= 15_900, "{alive}");
}

#[test]
fn no_capacity_is_ever_exceeded_and_a_full_table_holds_all_of_it() {
    for capacity in [1, 2, 3, 255, 256, 511, 1_000, 1_023, 5_000, 20_001] {
        let (table, _) = table(capacity);
        for n in 0..10 * capacity as u32 + 10_000 {
            table.bind(&key(1_000_000 + n), &id("a"), None);
            if n % 64 == 0 {
                assert!(table.len() <= capacity);
            }
        }
        assert_eq!((table.len(), table.sessions().count()), (capacity, capacity));
    }
}

#[test]
fn a_table_below_1024_fills_up_before_a_session_is_evicted_and_a_larger_one_nearly() {
    for (capacity, evictions) in [(1, 0), (2, 0), (1_023, 0), (10_000, 500), (100_000, 2_500)] {
        let (table, _) = table(capacity);
        for n in 0..capacity as u32 {
            table.bind(&key(n), &id("a"), None);
        }
        assert_eq!(table.len() as u64 + table.stats().evictions, capacity as u64);
        assert!(table.stats().evictions <= evictions, "{capacity}: {}", table.stats().evictions);
    }
}
