//! Keys while servers come and go.

use equipoise_sim::{Fault, KeyMoves, Keys};

use crate::common::{secs, strategy, tens};

/// Of a hundred keys on 20 servers, one of which is away for a while.
fn moves(name: &str) -> KeyMoves {
    let away = Fault::away(3).from(secs(20)).lasting(secs(20));
    let scenario = tens(20).clients(3).keys(Keys::zipf(100, 0.5)).lasting(secs(60)).fault(away);
    scenario.run(&strategy(name)).expect("a report").keys.expect("there are keys")
}

#[test]
fn under_ring_and_rendezvous_only_those_move_that_must() {
    for name in ["ring", "rendezvous"] {
        let moves = moves(name);
        assert!(moves.moved > 0 && moves.moved == moves.forced, "{name}: {moves:?}");
    }
}

#[test]
fn maglev_moves_few_others() {
    let moves = moves("maglev");
    assert!(moves.forced > 0 && moves.beyond_the_ideal() < 0.005, "{moves:?}");
}

#[test]
fn who_does_not_place_by_key_moves_nearly_all() {
    let moves = moves("random");
    assert!(moves.beyond_the_ideal() > 0.9, "{moves:?}");
}

#[test]
fn without_changes_nothing_moves() {
    for name in ["maglev", "ring", "rendezvous", "jump"] {
        let scenario = tens(20).clients(3).keys(Keys::zipf(100, 1.0));
        let moves = scenario.run(&strategy(name)).expect("a report").keys.expect("there are keys");
        assert!(moves.moved == 0 && moves.repeated > 500, "{name}: {moves:?}");
    }
}
