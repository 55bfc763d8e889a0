use allocation_counter::measure;
use equipoise_core::{AnyStrategy, Availability, BoundedLoad, EndpointId, PickRequest, Verdict};

use crate::{
    common::{id, pool_of},
    keys::{SEED, keys, placements},
};

#[test]
fn a_pick_allocates_nothing() {
    let tried: Vec<EndpointId> = (0..90).map(id).collect();
    for (name, strategy) in placements() {
        for strategy in [strategy.clone(), AnyStrategy::new(BoundedLoad::new(strategy))] {
            for weights in [vec![1; 100], (1..=100).collect()] {
                let pool = pool_of(strategy.clone(), &weights, SEED);
                let keys = keys(100, 60);
                let round = || {
                    for key in &keys {
                        let request = PickRequest::new().key(key);
                        for request in [request, request.exclude(&tried), PickRequest::new()] {
                            pool.pick(&request).expect("an endpoint is left").finish(Verdict::Success);
                        }
                    }
                };
                round();
                assert_eq!(measure(round).count_total, 0, "{name}");
                for id in &tried {
                    pool.set_availability(id.clone(), Availability::Maintenance).expect("a member");
                }
                assert_eq!(measure(round).count_total, 0, "{name}, nine of ten down");
            }
        }
    }
}
