//! Strategies that break their contract.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use equipoise_core::{
    AnyStrategy, BuildError, Endpoint, EndpointSpec, FirstFit, Maglev, Needs, P2c, PickCx, PickError, PickRequest,
    Picker, Pool, RoundRobin, Slot, SlowStart, Strategy, Timestamp, UpdateError, Verdict, View,
};
use equipoise_sim::{Comparison, Contender, Control, InvalidScenario, Report, RunError, Scenario, Server, named};

use crate::common::{secs, tens};

/// A strategy with this pick function.
struct Odd(fn() -> Option<Slot>);

impl Strategy for Odd {
    type State = ();
    type Picker = Picks;

    fn state(&self, _: &EndpointSpec) {}

    fn build(&self, _: &View, _: Option<&Picks>) -> Result<Picks, BuildError> {
        Ok(Picks(self.0))
    }
}

struct Picks(fn() -> Option<Slot>);

impl Picker for Picks {
    fn pick(&self, _: &mut PickCx<'_>) -> Option<Slot> {
        (self.0)()
    }
}

/// A strategy whose build fails with this error.
struct Unbuilt(fn() -> BuildError);

impl Strategy for Unbuilt {
    type State = ();
    type Picker = Picks;

    fn state(&self, _: &EndpointSpec) {}

    fn build(&self, _: &View, _: Option<&Picks>) -> Result<Picks, BuildError> {
        Err((self.0)())
    }
}

/// Returns the tenth slot of some pool.
fn tenth() -> Option<Slot> {
    static SLOT: OnceLock<Slot> = OnceLock::new();
    let slot = SLOT.get_or_init(|| {
        let pool = Pool::new(RoundRobin::new());
        pool.update((0..10).map(|at| EndpointSpec::new(at.to_string())), |_| ()).expect("valid");
        let slots = (0..10).map(|_| pool.pick(&PickRequest::new()).expect("an endpoint").endpoint().slot());
        slots.max_by_key(|slot| slot.index()).expect("ten")
    });
    Some(*slot)
}

/// Returns the error of the first pick.
fn misbehaved(pick: fn() -> Option<Slot>) -> PickError {
    match tens(3).clients(2).run(&named("odd", |_| Odd(pick))) {
        Err(RunError::Misbehaved { label, client, source, .. }) => {
            assert!(label == "odd" && client < 2);
            source
        }
        other => panic!("{other:?}"),
    }
}

/// Round robin with hooks that panic.
struct PanickingHooks(Needs, RoundRobin);

impl Strategy for PanickingHooks {
    type State = ();
    type Picker = <RoundRobin as Strategy>::Picker;

    fn state(&self, _: &EndpointSpec) {}

    fn build(&self, view: &View, last: Option<&Self::Picker>) -> Result<Self::Picker, BuildError> {
        self.1.build(view, last)
    }

    fn needs(&self) -> Needs {
        self.0
    }

    fn admit(&self, _: &(), _: &Endpoint, _: &PickRequest<'_>) -> bool {
        panic!("in admit")
    }

    fn on_latency(&self, _: &(), _: Duration, _: Timestamp) {
        panic!("in on_latency")
    }

    fn on_outcome(&self, _: &(), _: Verdict, _: Timestamp) {
        panic!("in on_outcome")
    }

    fn on_refresh(&self, _: Timestamp) -> bool {
        panic!("in on_refresh")
    }
}

fn panicking_hooks() -> AnyStrategy {
    AnyStrategy::new(PanickingHooks(Needs::new().outcomes(), RoundRobin::new()))
}

struct ByHand(fn() -> AnyStrategy);

impl Contender for ByHand {
    fn label(&self) -> String {
        "by hand".into()
    }

    fn strategy(&self, _: usize) -> AnyStrategy {
        (self.0)()
    }
}

#[test]
fn a_panic_in_a_hook_is_reported_with_the_strategy() {
    for needs in [Needs::new().leases(), Needs::new().latency(), Needs::new().outcomes(), Needs::new().refresh(secs(1))]
    {
        let report = tens(3).run(&named("panics", |_| PanickingHooks(needs, RoundRobin::new())));
        let Err(RunError::HookPanicked { label, after }) = report else { panic!("{needs:?}: {report:?}") };
        assert!(label == "panics" && after < secs(2), "{needs:?}: {after:?}");
    }
    // Also under a combinator, and for any kind of contender.
    for contender in
        [ByHand(|| AnyStrategy::new(panicking_hooks())), ByHand(|| AnyStrategy::new(SlowStart::new(panicking_hooks())))]
    {
        let report = tens(3).run(&contender);
        assert!(matches!(report, Err(RunError::HookPanicked { .. })), "{report:?}");
    }
    // A later run is not affected.
    assert!(tens(3).run(&named("not called", |_| PanickingHooks(Needs::new(), RoundRobin::new()))).is_ok());
}

#[test]
fn a_panic_in_a_pick_is_reported() {
    assert_eq!(misbehaved(|| panic!("in a pick")), PickError::Panicked);
}

#[test]
fn picking_no_endpoint_although_some_are_available_is_reported() {
    assert_eq!(misbehaved(|| None), PickError::Declined);
}

#[test]
fn picking_an_unknown_slot_is_reported() {
    assert!(matches!(misbehaved(tenth), PickError::Misbehaved { slot } if slot.index() == 9));
}

#[test]
fn a_strategy_that_refuses_the_servers_is_reported() {
    let refused = BuildError::Refused("not these".into());
    for (unbuilt, why) in [
        (Unbuilt(|| BuildError::Refused("not these".into())), refused),
        (Unbuilt(|| panic!("in a build")), BuildError::Panicked),
    ] {
        let unbuilt = Arc::new(unbuilt);
        let report = tens(3).run(&named("unbuilt", |_| Unbuilt(unbuilt.0)));
        let source = UpdateError::Strategy(why);
        assert_eq!(report, Err(RunError::Unusable { label: "unbuilt".into(), client: 0, source }));
    }
}

#[test]
fn a_panic_while_making_a_strategy_is_reported_with_the_client() {
    let picky = named("picky", |client| if client == 2 { panic!("not for the third") } else { P2c::new() });
    let report = tens(3).clients(4).run(&picky);
    assert_eq!(report, Err(RunError::Panicked { label: "picky".into(), client: 2 }));
}

#[test]
fn servers_that_no_pool_accepts_are_an_error_of_the_scenario() {
    let scenario = tens(1).each(|_, server| server.weight(u32::MAX));
    let report = scenario.run(&named("maglev", |_| Maglev::new()));
    assert!(matches!(report, Err(RunError::Unusable { source: UpdateError::Invalid(_), .. })), "{report:?}");
}

#[test]
fn a_run_ends_when_open_attempts_pile_up() {
    let overloaded = Scenario::of(2, Server::fifo(1)).load(3.0).lasting(secs(1_000)).max_open_attempts(500);
    let Err(RunError::PiledUp { label, open, after }) = overloaded.run(&named("p2c", |_| P2c::new())) else {
        panic!("a report of an impossible run");
    };
    assert!(label == "p2c" && open == 501);
    // 600 requests arrive per second, and 200 end.
    assert!(after > secs(1) && after < secs(2), "{after:?}");
}

#[test]
fn in_a_comparison_a_failed_contender_has_an_error_and_the_others_have_reports() {
    let scenario = Scenario::of(2, Server::fifo(1)).load(0.7).lasting(secs(100)).max_open_attempts(60);
    let first = named("always the first", |_| FirstFit::new());
    let panics = named("panics", |_| Odd(|| panic!("in a pick")));
    let turns = named("by turns", |_| RoundRobin::new());
    let contenders: [&dyn Contender; 3] = [&first, &turns, &panics];
    let comparison = Comparison::run(&scenario, &contenders, 2, &Control::new()).expect("a scenario");

    let [piled_up, None, panicked] = &comparison.errors[..] else { panic!("{:?}", comparison.errors) };
    assert!(matches!(piled_up, Some(RunError::PiledUp { open: 61, .. })), "{piled_up:?}");
    assert!(matches!(panicked, Some(RunError::Misbehaved { source: PickError::Panicked, .. })), "{panicked:?}");
    assert_eq!(comparison.reports.iter().map(Vec::len).collect::<Vec<_>>(), [0, 2, 0]);
    // The error is that of the first seed, for any number of threads.
    assert_eq!(piled_up.as_ref(), scenario.run(&first).as_ref().err());

    let p99 = |report: &Report| report.latency.p99().as_secs_f64();
    assert!(comparison.spread(1, p99).mean > 0.0);
    let nothing = comparison.ratio(0, 1, p99);
    assert!(nothing.mean.is_nan() && nothing.min.is_nan() && nothing.max.is_nan() && nothing.deviation.is_nan());
    assert_eq!(comparison.complete().err(), scenario.run(&first).err());
}

#[test]
fn a_contender_that_fails_for_one_seed_has_no_reports() {
    // The peak depends on the seed, so this limit is exceeded for some seeds only.
    let scenario = Scenario::of(1, Server::fifo(1)).load(0.9).lasting(secs(100));
    let turns = named("by turns", |_| RoundRobin::new());
    let longest = |seed| scenario.clone().seed(seed).run(&turns).expect("a report").in_flight.max();
    let (least, most) = ((1..=5).map(longest).min().expect("five"), (1..=5).map(longest).max().expect("five"));
    assert!(least < most);
    let comparison =
        Comparison::run(&scenario.max_open_attempts(most - 1), &[&turns], 5, &Control::new()).expect("a scenario");
    assert!(comparison.errors[0].is_some() && comparison.reports[0].is_empty());
}

#[test]
fn a_comparison_in_an_impossible_scenario_is_refused_before_any_run() {
    let refused = Comparison::run(&tens(0), &[&named("panics", |_| Odd(|| panic!("in a pick")))], 2, &Control::new());
    assert_eq!(refused.err(), Some(InvalidScenario::NoServers));
    let none = Comparison::run(&tens(1), &[], 2, &Control::new()).expect("a scenario");
    assert!(none.reports.is_empty() && none.complete().is_ok());
}

#[test]
fn max_in_flight_0_and_weight_0_are_refused_by_name() {
    for (server, names) in [(Server::fifo(1).max_in_flight(0), "a limit of 0"), (Server::fifo(1).weight(0), "weight 0")]
    {
        let error = Scenario::with([server]).run(&named("p2c", |_| P2c::new())).expect_err(names);
        assert!(matches!(error, RunError::Unusable { .. }) && error.to_string().contains(names), "{error}");
    }
}
