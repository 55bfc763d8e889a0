//! Strategies that are built from text.

use equipoise_core::{AnyStrategy, Failure, Maglev, PickRequest, Strategy as _, Verdict};

use crate::{
    common::{pool_of, specs},
    spec,
};

#[test]
fn settings_reach_the_strategy() {
    // A strategy built from text sends a key to the same endpoint as the strategy built from its type.
    let by_name = pool_of(spec("maglev(table=4099, seed=7)").build(), &[1, 2, 3, 4], 1);
    let by_type = pool_of(Maglev::new().table_size(4099).unwrap().seed(7), &[1, 2, 3, 4], 1);
    let other = pool_of(Maglev::new(), &[1, 2, 3, 4], 1);
    let mut differs = false;
    for n in 0..100u32 {
        let key = n.to_le_bytes();
        let request = PickRequest::new().key(&key);
        let [a, b, c] = [&by_name, &by_type, &other].map(|pool| pool.pick(&request).unwrap().endpoint().id().clone());
        assert_eq!(a, b);
        differs |= a != c;
    }
    assert!(differs);
}

#[test]
fn a_wrapped_strategy_learns_through_its_wrappers() {
    // Only requests at `e0` fail. Peak-EWMA is inside three wrappers, gets these verdicts, and picks `e0` less often.
    let pool = pool_of(spec("slow-start(bounded-load(maglev(fallback=peak-ewma), factor=8))").build(), &[1, 1], 1);
    let mut served = [0; 2];
    for _ in 0..100 {
        let lease = pool.pick(&PickRequest::new()).unwrap();
        let at = lease.endpoint().slot().index();
        served[at] += 1;
        lease.finish(if at == 0 { Verdict::Failure(Failure::Server) } else { Verdict::Success });
    }
    assert!(served[0] < 10, "{served:?}");
}

#[test]
fn a_wrapper_needs_what_it_wraps_needs() {
    assert!(spec("slow-start(bounded-load(ring))").build().needs().places_by_key());
    assert!(!AnyStrategy::from(spec("slow-start(p2c)")).needs().places_by_key());
}

#[test]
fn each_build_is_a_strategy_of_its_own() {
    let spec = spec("bounded-load(least-connections)");
    let pools = [1, 2].map(|seed| pool_of(spec.build(), &[1, 1], seed));
    let leases: Vec<_> = (0..4).map(|_| pools[0].pick(&PickRequest::new()).unwrap()).collect();
    assert_eq!(pools[1].endpoints().iter().map(|endpoint| endpoint.in_flight).sum::<u32>(), 0);
    pools[1].update(specs(&[1, 1, 1]), |_| ()).unwrap();
    assert!(pools[1].pick(&PickRequest::new()).is_ok());
    drop(leases);
}
