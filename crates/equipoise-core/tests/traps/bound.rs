//! Requests that are bound to an endpoint, and where they go if this endpoint cannot serve them.

use std::collections::BTreeMap;

use equipoise_core::{
    Availability, Binding, BindingOutcome, CandidateResult, EndpointId, EndpointSpec, Lease, MissReason, P2c,
    PickError, PickRequest, Pool, Random, RoundRobin, Tier, Verdict,
};

fn pool_of(ids: &[&str]) -> Pool<()> {
    let pool = Pool::new(RoundRobin::new());
    pool.update(ids.iter().map(EndpointSpec::new), |_| ()).expect("valid endpoints");
    pool
}

fn pick(pool: &Pool<()>, binding: &Binding) -> Lease<()> {
    pool.pick(&PickRequest::new().bound(binding)).expect("an endpoint")
}

fn taken(pool: &Pool<()>, binding: &Binding) -> (String, BindingOutcome) {
    let lease = pick(pool, binding);
    (lease.endpoint().id().to_string(), lease.binding_outcome())
}

#[test]
fn a_bound_request_gets_its_endpoint_while_that_takes_bound_requests() {
    let pool = pool_of(&["a", "b", "c"]);
    let binding = Binding::to("b").session(b"s");
    for availability in [Availability::Up, Availability::Draining, Availability::Probation] {
        pool.set_availability("b", availability).expect("b is there");
        assert_eq!(taken(&pool, &binding), ("b".to_owned(), BindingOutcome::Kept), "{availability}");
    }
    pool.set_availability("b", Availability::Up).expect("b is there");
    pool.set_weight("b", 0).expect("b is there");
    assert_eq!(taken(&pool, &binding), ("b".to_owned(), BindingOutcome::Kept), "without weight");
}

#[test]
fn the_outcome_says_why_the_bound_endpoint_was_not_taken() {
    let missed = |prepare: &dyn Fn(&Pool<()>) -> Option<Lease<()>>| {
        let pool = pool_of(&["a", "b", "c"]);
        let held = prepare(&pool);
        let (id, preference) = taken(&pool, &Binding::to("b"));
        drop(held);
        assert_ne!(id, "b");
        preference
    };
    let set = |availability| {
        move |pool: &Pool<()>| pool.set_availability("b", availability).map(|_| None).expect("b is there")
    };
    assert_eq!(
        missed(&|pool| pool.remove("b").map(|_| None).expect("b is there")),
        BindingOutcome::Missed(MissReason::Gone)
    );
    assert_eq!(missed(&set(Availability::Maintenance)), BindingOutcome::Missed(MissReason::Maintenance));
    assert_eq!(missed(&set(Availability::Unhealthy)), BindingOutcome::Missed(MissReason::Unhealthy));
    let hold = |pool: &Pool<()>| Some(pick(pool, &Binding::to("b")));
    let full = |pool: &Pool<()>| pool.set_max_in_flight("b", Some(1)).map(|_| hold(pool)).expect("b is there");
    assert_eq!(missed(&full), BindingOutcome::Missed(MissReason::Full));
    let tried =
        |pool: &Pool<()>| pool.set_availability("b", Availability::Probation).map(|_| hold(pool)).expect("b is there");
    assert_eq!(missed(&tried), BindingOutcome::Missed(MissReason::OnProbation));

    let pool = pool_of(&["a", "b", "c"]);
    let tried = [EndpointId::from("b")];
    let binding = Binding::to("b");
    let lease = pool.pick(&PickRequest::new().bound(&binding).exclude(&tried)).expect("a and c are left");
    assert_eq!(lease.binding_outcome(), BindingOutcome::Missed(MissReason::Excluded));
    assert_eq!(pool.pick(&PickRequest::new()).expect("all are up").binding_outcome(), BindingOutcome::Unbound);
}

#[test]
fn balancers_agree_on_the_substitute() {
    let one = pool_of(&["a", "b", "c", "d", "e"]);
    let other = Pool::new(P2c::new());
    other.update(["e", "d", "c", "b", "a"].map(EndpointSpec::new), |_| ()).expect("valid endpoints");
    for pool in [&one, &other] {
        pool.set_availability("c", Availability::Maintenance).expect("c is there");
    }
    let mut shares = BTreeMap::<String, u32>::new();
    for session in 0..1000u32 {
        let binding = Binding::to("c").session(session.to_le_bytes());
        let (id, preference) = taken(&one, &binding);
        assert_eq!((id.clone(), preference), taken(&other, &binding));
        assert_eq!(preference, BindingOutcome::Missed(MissReason::Maintenance));
        *shares.entry(id).or_default() += 1;
    }
    // The mean is 250, and the standard deviation is 14.
    assert_eq!(shares.len(), 4);
    assert!(shares.values().all(|share| (190..=310).contains(share)), "{shares:?}");
}

#[test]
fn the_sessions_of_one_that_has_died_spread_by_weight() {
    let pool = Pool::new(Random::new());
    let specs = [("home", 1), ("light", 1), ("heavy", 9)].map(|(id, weight)| EndpointSpec::new(id).weight(weight));
    pool.update(specs, |_| ()).expect("valid endpoints");
    pool.set_availability("home", Availability::Unhealthy).expect("it is there");
    let heavy =
        (0..2000u32).filter(|n| taken(&pool, &Binding::to("home").session(n.to_le_bytes())).0 == "heavy").count();
    assert!((1740..=1860).contains(&heavy), "1800 expected: {heavy}");
}

#[test]
fn a_substitute_that_goes_down_moves_only_the_requests_that_it_had() {
    let pool = pool_of(&["a", "b", "c", "d"]);
    pool.set_availability("a", Availability::Maintenance).expect("a is there");
    let stand_in = |session: u32| taken(&pool, &Binding::to("a").session(session.to_le_bytes())).0;
    let before: Vec<String> = (0..300).map(stand_in).collect();
    pool.set_availability("d", Availability::Maintenance).expect("d is there");
    for (session, before) in before.iter().enumerate().filter(|(_, before)| *before != "d") {
        assert_eq!(stand_in(session as u32), *before);
    }
    pool.set_availability("d", Availability::Up).expect("d is there");
    assert!((0..300).map(stand_in).eq(before.iter().cloned()));
}

#[test]
fn the_substitute_is_neither_excluded_nor_full_and_of_the_first_tier_with_room() {
    let pool = pool_of(&["a", "b", "c"]);
    pool.add(EndpointSpec::new("spare").tier(Tier::BACKUP), ()).expect("a valid endpoint");
    pool.set_availability("a", Availability::Maintenance).expect("a is there");
    let binding = Binding::to("a").session(b"s");
    let first = EndpointId::from(taken(&pool, &binding).0);
    let second = if first.as_str() == "b" { "c" } else { "b" };
    let request = PickRequest::new().bound(&binding);
    let excluding =
        |tried: &[EndpointId]| pool.pick(&request.exclude(tried)).map(|lease| lease.endpoint().id().to_string());
    assert_eq!(excluding(std::slice::from_ref(&first)).as_deref(), Ok(second));
    assert_eq!(excluding(&["b".into(), "c".into()]).as_deref(), Ok("spare"));

    pool.set_max_in_flight_all([(first, Some(1)), (second.into(), Some(1))]).expect("they are there");
    let held = [pick(&pool, &binding), pick(&pool, &binding)];
    assert_eq!(held[1].endpoint().id().as_str(), second);
    assert_eq!(taken(&pool, &binding).0, "spare");
}

#[test]
fn without_a_session_the_strategy_stands_in() {
    let pool = pool_of(&["a", "b", "c"]);
    pool.set_availability("a", Availability::Maintenance).expect("a is there");
    let binding = Binding::to("a");
    let turn: Vec<String> = (0..4).map(|_| taken(&pool, &binding).0).collect();
    assert_eq!(turn, ["b", "c", "b", "c"]);
}

#[test]
fn a_strict_binding_fails_and_says_why() {
    let pool = pool_of(&["a", "b"]);
    let binding = Binding::to("a").session(b"s").strict();
    assert_eq!(taken(&pool, &binding).1, BindingOutcome::Kept);
    pool.set_availability("a", Availability::Maintenance).expect("a is there");
    let error = |request: &PickRequest<'_>| pool.pick(request).map(|_| ()).expect_err("a cannot be had");
    let request = PickRequest::new().bound(&binding);
    let refused = error(&request);
    assert_eq!(refused, PickError::Bound { missed: MissReason::Maintenance });
    assert!(refused.is_temporary());
    assert_eq!(
        refused.to_string(),
        "the request is strictly bound to an endpoint that cannot serve it: in maintenance"
    );
    pool.set_availability("a", Availability::Up).expect("a is there");
    assert!(!error(&request.exclude(&["a".into()])).is_temporary(), "it has failed this request");
}

#[test]
fn a_bound_endpoint_above_its_max_share_is_left_until_its_load_falls() {
    let pool = pool_of(&["a", "b", "c", "d"]);
    let binding = Binding::to("a").session(b"s").max_share(1.5);
    let on_a = |leases: &[Lease<()>]| leases.iter().filter(|lease| lease.endpoint().id().as_str() == "a").count();
    let leases: Vec<Lease<()>> = (0..16).map(|_| pick(&pool, &binding)).collect();
    // 1.5 · 16 / 4
    assert_eq!(on_a(&leases), 6);
    assert!(leases.iter().all(|lease| match lease.endpoint().id().as_str() {
        "a" => lease.binding_outcome() == BindingOutcome::Kept,
        _ => lease.binding_outcome() == BindingOutcome::Missed(MissReason::Overloaded),
    }));
    assert!(pool.endpoints().iter().all(|endpoint| endpoint.in_flight <= 6), "the substitute is bounded too");
    for lease in leases {
        lease.finish(Verdict::Success);
    }
    assert_eq!(taken(&pool, &binding), ("a".to_owned(), BindingOutcome::Kept));
}

#[test]
fn an_endpoint_above_its_share_takes_what_no_other_can() {
    let pool = pool_of(&["a", "b"]);
    pool.set_max_in_flight("b", Some(1)).expect("b is there");
    let binding = Binding::to("a").session(b"s").max_share(1.0);
    let leases: Vec<Lease<()>> = (0..4).map(|_| pick(&pool, &binding)).collect();
    let ids: Vec<&str> = leases.iter().map(|lease| lease.endpoint().id().as_str()).collect();
    assert_eq!(ids, ["a", "b", "a", "a"]);
}

#[test]
fn an_explanation_names_the_substitute_and_the_reason() {
    let pool = pool_of(&["a", "b", "c"]);
    pool.set_availability("a", Availability::Maintenance).expect("a is there");
    let binding = Binding::to("a").session(b"s");
    let explanation = pool.explain(&PickRequest::new().bound(&binding));
    assert_eq!(explanation.binding_outcome, BindingOutcome::Missed(MissReason::Maintenance));
    let stands_in = explanation.candidates.iter().find(|candidate| candidate.result == CandidateResult::StandIn);
    let picked = pick(&pool, &binding);
    assert_eq!(stands_in.map(|candidate| &candidate.status.id), Some(picked.endpoint().id()));
    assert!(
        explanation.to_string().contains("the endpoint that it is bound to is not used: in maintenance"),
        "{explanation}"
    );
}
