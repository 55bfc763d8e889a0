use std::time::Duration;

use allocation_counter::measure;
use equipoise_core::{
    LeastConnections, Maglev, P2c, PeakEwma, PickRequest, Pool, RoundRobin, Spillover, Tier, Verdict,
};

use crate::{
    common::{clocked, id, spec},
    maintenance,
    nesting::nests,
};

const SEED: u64 = 0xa110c2;

fn costs_nothing(pool: &Pool<()>, what: &str) {
    let tried = [id(1), id(2)];
    let round_trips = || {
        for key in 0..100u32 {
            let key = key.to_le_bytes();
            let request = PickRequest::new().key(&key);
            let request = if key[0] % 3 == 0 { request.exclude(&tried) } else { request };
            pool.pick(&request).expect("an endpoint").finish(Verdict::Success);
        }
    };
    round_trips();
    assert_eq!(measure(round_trips).count_total, 0, "{what}");
}

#[test]
fn no_nest_allocates_when_it_picks() {
    let all = [
        nests(P2c::new),
        nests(PeakEwma::new),
        nests(RoundRobin::new),
        nests(Maglev::new),
        nests(LeastConnections::new),
    ];
    for strategy in all.into_iter().flatten() {
        for zones in [&["a"][..], &["a", "b", "b", "b"]] {
            let (pool, clock) = clocked(strategy.clone(), &[1], SEED);
            let specs = |n| (0..n).map(|at| spec(at).zone(zones[at % zones.len()]).weight(1 + at as u32 % 3));
            pool.update(specs(9), |_| ()).expect("valid specs");
            costs_nothing(&pool, &format!("{strategy:?}"));
            pool.update(specs(12), |_| ()).expect("valid specs");
            clock.advance(Duration::from_secs(7));
            costs_nothing(&pool, &format!("{strategy:?} while some are starting"));
        }
    }
}

#[test]
fn spilling_allocates_nothing() {
    let pool = Pool::<()>::builder(P2c::new()).spillover(Spillover::ENVOY).build();
    pool.update((0..12).map(|at| spec(at).tier(Tier::new(at as u8 / 4))), |_| ()).expect("valid specs");
    maintenance(&pool, [0, 3, 4, 5]);
    costs_nothing(&pool, "spillover");
}
