//! With random pools, the picked endpoint is always usable, and an endpoint is picked if any is usable.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use equipoise_core::{
    Availability, BoundedLoad, EndpointId, LeastConnections, P2c, PeakEwma, PickRequest, Pool, Random, Rendezvous,
    Ring, RoundRobin, Tier,
};
use proptest::{collection::vec, prelude::*};

use crate::{
    common::{at, clocked, id, spec},
    nesting::nests,
};

const SEED: u64 = 0x9209;

#[derive(Clone, Debug)]
struct Turn {
    /// The weight of each endpoint.
    weights: Vec<u32>,
    /// The zone of each endpoint.
    zones: Vec<usize>,
    /// The tier of each endpoint.
    tiers: Vec<u8>,
    maintenance: Vec<usize>,
    excluded: Vec<usize>,
    seconds: u64,
}

fn turn() -> impl Strategy<Value = Turn> {
    (1usize..12).prop_flat_map(|n| {
        (vec(0u32..4, n), vec(0usize..3, n), vec(0u8..2, n), vec(0..n, 0..n), vec(0..n, 0..n), 0u64..20).prop_map(
            |(mut weights, zones, tiers, maintenance, excluded, seconds)| {
                weights[0] = 1;
                Turn { weights, zones, tiers, maintenance, excluded, seconds }
            },
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_usable_endpoint_is_picked_if_there_is_one(turns in vec(turn(), 1..6), which in 0usize..9) {
        let strategies = [
            nests(Random::new).swap_remove(which),
            nests(P2c::new).swap_remove(which),
            nests(RoundRobin::new).swap_remove(which),
            nests(PeakEwma::new).swap_remove(which),
            nests(Rendezvous::new).swap_remove(which),
            nests(LeastConnections::new).swap_remove(which),
            nests(|| BoundedLoad::new(Ring::new())).swap_remove(which),
        ];
        for strategy in strategies {
            let (pool, clock) = clocked(strategy, &[1], SEED);
            for turn in &turns {
                clock.advance(Duration::from_secs(turn.seconds));
                let specs = turn.weights.iter().enumerate().map(|(at, &weight)| {
                    let zone = ["a", "b", ""][turn.zones[at]];
                    spec(at).weight(weight).zone(zone).tier(Tier::new(turn.tiers[at]))
                });
                pool.update(specs, |_| ()).expect("valid specs");
                for at in 0..turn.weights.len() {
                    let in_maintenance = turn.maintenance.contains(&at);
                    let availability = if in_maintenance { Availability::Maintenance } else { Availability::Up };
                    pool.set_availability(id(at), availability).expect("a member");
                }
                let tried: Vec<EndpointId> = turn.excluded.iter().map(|&at| id(at)).collect();
                let usable = |at: usize| {
                    turn.weights[at] > 0 && !turn.maintenance.contains(&at) && !turn.excluded.contains(&at)
                };
                let any_usable = (0..turn.weights.len()).any(usable);
                for key in 0..10u32 {
                    let picked = pool.pick(&PickRequest::new().key(&key.to_le_bytes()).exclude(&tried));
                    prop_assert_eq!(picked.is_ok(), any_usable, "{:?}", picked);
                    if let Ok(lease) = picked {
                        prop_assert!(usable(at(&lease)));
                    }
                }
            }
        }
    }
}

#[test]
fn picks_go_on_while_members_and_availability_change() {
    const TURNS: usize = 60;
    let all = [nests(P2c::new), nests(LeastConnections::new), nests(Rendezvous::new)];
    for strategy in all.into_iter().flatten() {
        let pool: Pool<()> = Pool::new(strategy.clone());
        let members = |turn: usize| (0..4 + turn % 9).map(move |at| spec(at).zone(["a", "b"][(at + turn / 16) % 2]));
        pool.update(members(0), |_| ()).expect("valid specs");
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for thread in 0..2u32 {
                let (pool, done, strategy) = (&pool, &done, &strategy);
                scope.spawn(move || {
                    let mut key = thread;
                    while !done.load(Ordering::Relaxed) {
                        key = key.wrapping_add(2);
                        let picked = pool.pick(&PickRequest::new().key(&key.to_le_bytes()));
                        assert!(picked.is_ok(), "{strategy:?}: {picked:?}");
                    }
                });
            }
            for turn in 0..TURNS {
                pool.update(members(turn), |_| ()).expect("valid specs");
                for (at, availability) in [(1, Availability::Maintenance), (2, Availability::Draining)] {
                    let now = if turn % 3 == at { availability } else { Availability::Up };
                    pool.set_availability(id(at), now).expect("a member");
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        assert!(pool.endpoints().iter().all(|endpoint| endpoint.in_flight == 0), "{strategy:?}");
    }
}
