use equipoise_core::{Jump, Maglev, Pool, Rendezvous};

use crate::{
    common::{id, pool_of, spec},
    keys::{SEED, even, keys, owners, placements},
};

/// The old and new endpoints of keys that moved.
fn moves(before: &[usize], after: &[usize]) -> Vec<(usize, usize)> {
    before.iter().copied().zip(after.iter().copied()).filter(|(before, after)| before != after).collect()
}

/// Returns the keys that move when `change` is applied.
fn moved(pool: &Pool<()>, keys: &[[u8; 8]], change: impl FnOnce(&Pool<()>)) -> Vec<(usize, usize)> {
    let before = owners(pool, keys);
    change(pool);
    moves(&before, &owners(pool, keys))
}

#[test]
fn under_maglev_a_removal_moves_few_keys_of_other_endpoints() {
    // Published figures for this table size: 10.25, 1.56 and 0.67 % of all keys move.
    for (n, percent, count) in [(10, 10.25, 20_000), (100, 1.56, 40_000), (1_000, 0.67, 60_000)] {
        let keys = keys(count, 10);
        let share = 100.0
            * moved(&even(Maglev::new(), n), &keys, |pool| {
                pool.remove(id(3)).expect("a member");
            })
            .len() as f64
            / count as f64;
        // The permitted difference is a tenth, because other implementations differ in details, plus three standard
        // deviations of the sample.
        let sample = 3.0 * (percent / 100.0 / count as f64).sqrt() * 100.0;
        assert!((share - percent).abs() < percent / 10.0 + sample, "{n} endpoints: {share} %");
    }
}

#[test]
fn under_ring_and_rendezvous_a_removal_spreads_the_keys_over_all_others() {
    for (name, strategy) in placements().into_iter().filter(|(name, _)| ["ring", "rendezvous"].contains(name)) {
        let keys = keys(20_000, 11);
        let pool = even(strategy, 10);
        let gone = moved(&pool, &keys, |pool| drop(pool.remove(id(3)).expect("a member")));
        assert!(gone.iter().all(|&(from, _)| from == 3), "{name}");
        for other in [0, 1, 2, 4, 5, 6, 7, 8, 9] {
            assert!(gone.iter().any(|&(_, to)| to == other), "{name}: nothing went to {other}");
        }
        // When the endpoint is added again, it gets the same keys.
        let back = moved(&pool, &keys, |pool| drop(pool.add(spec(3), ()).expect("a new id")));
        assert!(back.iter().all(|&(_, to)| to == 3) && back.len() == gone.len(), "{name}");
    }
}

#[test]
fn under_rendezvous_nothing_moves_but_what_a_weight_gains_or_loses() {
    let keys = keys(20_000, 12);
    let pool = pool_of(Rendezvous::new(), &[1, 2, 3, 4], SEED);
    let gained = moved(&pool, &keys, |pool| drop(pool.set_weight(id(1), 12).expect("a member")));
    assert!(gained.iter().all(|&(_, to)| to == 1));
    // The share of the endpoint rises from 2/10 to 12/20.
    assert!((7_700..8_300).contains(&gained.len()), "{}", gained.len());
    let lost = moved(&pool, &keys, |pool| drop(pool.set_weight(id(1), 2).expect("a member")));
    assert!(lost.iter().all(|&(from, _)| from == 1) && lost.len() == gained.len());
    let gone = moved(&pool, &keys, |pool| drop(pool.set_weight(id(3), 0).expect("a member")));
    assert!(gone.iter().all(|&(from, _)| from == 3));
}

#[test]
fn under_jump_a_further_endpoint_takes_its_share_and_nothing_else_moves() {
    let keys = keys(150_000, 13);
    let pool = even(Jump::new(), 100);
    let joined = moved(&pool, &keys, |pool| drop(pool.add(spec(100), ()).expect("a new id")));
    assert!(joined.iter().all(|&(_, to)| to == 100));
    let percent = 100.0 * joined.len() as f64 / keys.len() as f64;
    assert!((percent - 100.0 / 101.0).abs() < 0.04, "{percent} % moved");
    let left = moved(&pool, &keys, |pool| drop(pool.remove(id(100)).expect("a member")));
    assert!(left.iter().all(|&(from, _)| from == 100) && left.len() == joined.len());
}

#[test]
fn limits_move_nothing() {
    let keys = keys(2_000, 14);
    for (name, strategy) in placements() {
        let pool = even(strategy, 12);
        let moved = moved(&pool, &keys, |pool| {
            pool.update((0..12).map(|at| spec(at).max_in_flight(10)), |_| ()).expect("valid");
        });
        assert!(moved.is_empty(), "{name}");
    }
}
