//! Keys while servers come and go.

use equipoise_sim::{Fault, KeyMoves, Keys};

use crate::common::{secs, strategy, tens};

/// Moves of a hundred keys on 20 servers, one of which is removed for a while.
fn moves(name: &str) -> KeyMoves {
    let removed = Fault::removed(3).from(secs(20)).lasting(secs(20));
    let scenario = tens(20).clients(3).keys(Keys::zipf(100, 0.5)).lasting(secs(60)).fault(removed);
    scenario.run(&strategy(name)).expect("a report").keys.expect("there are keys")
}

#[test]
fn under_ring_and_rendezvous_only_necessary_moves_happen() {
    for name in ["ring", "rendezvous"] {
        let moves = moves(name);
        assert!(moves.moved > 0 && moves.moved == moves.forced, "{name}: {moves:?}");
    }
}

#[test]
fn maglev_moves_few_more_keys_than_necessary() {
    let moves = moves("maglev");
    assert!(moves.forced > 0 && moves.avoidable() < 0.005, "{moves:?}");
}

#[test]
fn strategies_without_hashing_move_nearly_all_keys() {
    let moves = moves("random");
    assert!(moves.avoidable() > 0.9, "{moves:?}");
}

#[test]
fn without_membership_changes_no_key_moves() {
    for name in ["maglev", "ring", "rendezvous", "jump"] {
        let scenario = tens(20).clients(3).keys(Keys::zipf(100, 1.0));
        let moves = scenario.run(&strategy(name)).expect("a report").keys.expect("there are keys");
        assert!(moves.moved == 0 && moves.repeated > 500, "{name}: {moves:?}");
    }
}
