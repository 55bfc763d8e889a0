//! Forced bindings, which ignore the availability of their endpoint.

use equipoise_core::{
    Availability, Binding, BindingOutcome, CandidateResult, EndpointId, EndpointSpec, MissReason, PickError,
    PickRequest, Pool, Verdict,
};

fn pool() -> Pool<()> {
    let pool = Pool::default();
    pool.update(["a", "b"].map(|id| EndpointSpec::new(id).max_in_flight(1)), |_| ()).expect("valid");
    pool
}

fn forced() -> Binding {
    Binding::to("b").strict().forced()
}

#[test]
fn every_state_admits_a_forced_request() {
    for availability in [
        Availability::Up,
        Availability::Unhealthy,
        Availability::Probation,
        Availability::Draining,
        Availability::Maintenance,
    ] {
        let pool = pool();
        pool.set_availability("b", availability).expect("a member");
        let binding = forced();
        let request = PickRequest::new().bound(&binding);
        let lease = pool.pick(&request).expect("forced");
        assert_eq!(
            (lease.endpoint().id().as_str(), lease.binding_outcome()),
            ("b", BindingOutcome::Kept),
            "{availability}"
        );
        let full = PickError::Bound { missed: MissReason::Full };
        assert_eq!(pool.pick(&request).map(|_| ()), Err(full), "limits hold");
        drop(lease);
        let explanation = pool.explain(&request);
        assert_eq!(explanation.picked, Ok(EndpointId::from("b")));
        assert!(explanation.candidates.iter().any(|candidate| candidate.result == CandidateResult::Preferred));
    }
}

#[test]
fn a_forced_request_decides_a_probation_if_it_comes_first_and_does_not_wait_for_it_otherwise() {
    let pool = Pool::default();
    pool.update(["a", "b"].map(EndpointSpec::new), |_| ()).expect("valid");
    pool.set_availability("b", Availability::Probation).expect("a member");
    let (binding, bound) = (forced(), Binding::to("b").strict());
    let first = pool.pick(&PickRequest::new().bound(&binding)).expect("forced");
    let on_probation = PickError::Bound { missed: MissReason::OnProbation };
    assert_eq!(pool.pick(&PickRequest::new().bound(&bound)).map(|_| ()), Err(on_probation));
    let second = pool.pick(&PickRequest::new().bound(&binding)).expect("forced");
    second.finish(Verdict::Success);
    drop(first);
    assert!(pool.pick(&PickRequest::new().bound(&bound)).is_ok(), "the first one has said nothing");
}

#[test]
fn what_has_left_or_is_excluded_cannot_be_forced() {
    let (pool, binding, tried) = (pool(), forced(), [EndpointId::from("b")]);
    let picked = |request: PickRequest<'_>| pool.pick(&request).map(|_| ());
    let excluded = PickError::Bound { missed: MissReason::Excluded };
    assert_eq!(picked(PickRequest::new().bound(&binding).exclude(&tried)), Err(excluded));
    pool.remove("b").expect("a member");
    assert_eq!(picked(PickRequest::new().bound(&binding)), Err(PickError::Bound { missed: MissReason::Gone }));
}
