//! An explanation returns what a pick would do, and changes nothing.

use equipoise_core::{
    AnyStrategy, Availability, CandidateResult, EndpointId, PickRequest, Pool, RoundRobin, SeededEntropy, Tier,
};

use crate::{
    common::{at, id, in_flight, pick, pool_of, spec, specs},
    strategies,
};

const SEED: u64 = 6;

#[test]
fn an_explanation_names_the_endpoint_of_the_next_pick() {
    for weights in [&[1, 1, 1][..], &[5, 1, 1, 2], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 50]] {
        for strategy in strategies() {
            // Two pools with the same random numbers: one explains, and the other picks.
            let [explains, picks] = [(), ()].map(|()| pool_of(strategy.clone(), weights, SEED));
            let turns = matches!(format!("{strategy:?}"), name if name.contains("RoundRobin"));
            for _ in 0..50 {
                let tried = [id(1)];
                for request in [PickRequest::new(), PickRequest::new().exclude(&tried)] {
                    if turns {
                        let explained = picks.explain(&request).picked.expect("valid");
                        assert_eq!(explained, *picks.pick(&request).expect("valid").endpoint().id());
                    }
                }
            }
            let request = PickRequest::new();
            for _ in 0..50 {
                if !turns {
                    // A pick that need not check endpoints draws fewer random numbers than its explanation. Excluding
                    // an unknown endpoint makes both check.
                    let unknown = [id(99)];
                    let request = request.exclude(&unknown);
                    let explained = explains.explain(&request).picked.expect("valid");
                    assert_eq!(explained, *picks.pick(&request).expect("valid").endpoint().id(), "{strategy:?}");
                }
            }
        }
    }
}

#[test]
fn an_explanation_takes_no_turn_no_permit_and_no_lease() {
    let pool = pool_of(RoundRobin::new(), &[1, 1, 1], SEED);
    pool.update([0, 1, 2].map(|at| spec(at).max_in_flight(1)), |_| ()).expect("valid");
    for _ in 0..10 {
        assert_eq!(pool.explain(&PickRequest::new()).picked, Ok(id(0)));
    }
    assert_eq!(in_flight(&pool), [0, 0, 0]);
    let order: Vec<_> = (0..3).map(|_| pick(&pool)).collect();
    assert_eq!(order.iter().map(at).collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn every_member_gets_the_reason_why_it_was_not_picked() {
    for strategy in strategies() {
        let pool: Pool<()> =
            Pool::<()>::builder(strategy.clone()).entropy(std::sync::Arc::new(SeededEntropy::new(SEED))).build();
        let mut all = specs(&[1, 1, 1, 0, 1, 1, 1]);
        all[4] = spec(4).max_in_flight(1);
        all[6] = spec(6).tier(Tier::BACKUP);
        pool.update(all, |_| ()).expect("valid");
        pool.set_availability("e1", Availability::Maintenance).expect("valid");
        pool.drain("e2").expect("valid");
        let bound = id(4);
        let _full = pool.pick(&PickRequest::new().prefer(&bound)).expect("valid");
        let tried = [id(5)];
        let explanation = pool.explain(&PickRequest::new().exclude(&tried));
        let results: Vec<CandidateResult> = explanation.candidates.iter().map(|candidate| candidate.result).collect();
        let due = [
            CandidateResult::Picked,
            CandidateResult::Maintenance,
            CandidateResult::Draining,
            CandidateResult::NoWeight,
            CandidateResult::Full,
            CandidateResult::Excluded,
            CandidateResult::NotConsidered,
        ];
        assert_eq!(results, due, "{strategy:?}");
        let text = explanation.to_string();
        assert!(text.starts_with("picked e0 at revision ") && !text.ends_with('\n'), "{text}");
        assert_eq!(text.lines().count(), 1 + due.len(), "{text}");
    }
}

#[test]
fn an_exclusion_is_reported_even_if_the_picker_did_not_check_the_endpoint() {
    for strategy in strategies() {
        let pool = pool_of(strategy.clone(), &[1; 20], SEED);
        let tried: Vec<EndpointId> = [3, 7, 11].map(id).into();
        for _ in 0..20 {
            let explanation = pool.explain(&PickRequest::new().exclude(&tried));
            for slot in [3, 7, 11] {
                assert_eq!(explanation.candidates[slot].result, CandidateResult::Excluded, "{strategy:?}");
            }
        }
    }
}

#[test]
fn a_preference_is_explained_as_such() {
    let pool = pool_of(AnyStrategy::new(RoundRobin::new()), &[1, 1], SEED);
    pool.update([0, 1].map(|at| spec(at).max_in_flight(1)), |_| ()).expect("valid");
    let bound = id(1);
    let request = PickRequest::new().prefer(&bound);
    assert_eq!(pool.explain(&request).candidates[1].result, CandidateResult::Preferred);
    let _full = pool.pick(&request).expect("valid");
    let explanation = pool.explain(&request);
    assert_eq!((explanation.picked, explanation.candidates[1].result), (Ok(id(0)), CandidateResult::Full));
}
