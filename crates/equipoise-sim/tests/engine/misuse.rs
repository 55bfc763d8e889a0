//! Strategies that do what they must not.

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

/// Picks as it is told.
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

/// Builds as it is told.
struct Unbuilt(fn() -> BuildError);

impl Strategy for Unbuilt {
    type State = ();
    type Picker = Picks;

    fn state(&self, _: &EndpointSpec) {}

    fn build(&self, _: &View, _: Option<&Picks>) -> Result<Picks, BuildError> {
        Err((self.0)())
    }
}

/// The tenth slot of a pool.
fn tenth() -> Option<Slot> {
    static SLOT: OnceLock<Slot> = OnceLock::new();
    let slot = SLOT.get_or_init(|| {
        let pool = Pool::new(RoundRobin::new());
        pool.update((0..10).map(|at| EndpointSpec::new(at.to_string())), |_| ()).expect("valid");
        let slots = (0..10).map(|_| pool.pick(&PickRequest::new()).expect("somebody").endpoint().slot());
        slots.max_by_key(|slot| slot.index()).expect("ten")
    });
    Some(*slot)
}

/// What the pool says of the first pick.
fn misbehaved(pick: fn() -> Option<Slot>) -> PickError {
    match tens(3).clients(2).run(&named("odd", |_| Odd(pick))) {
        Err(RunError::Misbehaved { label, client, source, .. }) => {
            assert!(label == "odd" && client < 2);
            source
        }
        other => panic!("{other:?}"),
    }
}

/// Turns, with a hook that panics.
struct Told(Needs, RoundRobin);

impl Strategy for Told {
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
        panic!("in acquired")
    }

    fn on_latency(&self, _: &(), _: Duration, _: Timestamp) {
        panic!("in sampled")
    }

    fn on_outcome(&self, _: &(), _: Verdict, _: Timestamp) {
        panic!("in observed")
    }

    fn on_refresh(&self, _: Timestamp) -> bool {
        panic!("in refreshed")
    }
}

fn told() -> AnyStrategy {
    AnyStrategy::new(Told(Needs::new().outcomes(), RoundRobin::new()))
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
fn who_panics_when_it_is_told_something_is_named() {
    for needs in [Needs::new().leases(), Needs::new().latency(), Needs::new().outcomes(), Needs::new().refresh(secs(1))]
    {
        let report = tens(3).run(&named("told", |_| Told(needs, RoundRobin::new())));
        let Err(RunError::HookPanicked { label, after }) = report else { panic!("{needs:?}: {report:?}") };
        assert!(label == "told" && after < secs(2), "{needs:?}: {after:?}");
    }
    // However deep it is, and however it became a contender.
    for contender in [ByHand(|| AnyStrategy::new(told())), ByHand(|| AnyStrategy::new(SlowStart::new(told())))] {
        let report = tens(3).run(&contender);
        assert!(matches!(report, Err(RunError::HookPanicked { .. })), "{report:?}");
    }
    // Who comes after has nothing to do with it.
    assert!(tens(3).run(&named("untold", |_| Told(Needs::new(), RoundRobin::new()))).is_ok());
}

#[test]
fn who_panics_while_picking_is_named() {
    assert_eq!(misbehaved(|| panic!("in a pick")), PickError::Panicked);
}

#[test]
fn who_picks_nobody_although_there_are_some_is_named() {
    assert_eq!(misbehaved(|| None), PickError::Declined);
}

#[test]
fn who_picks_a_slot_that_is_nobody_s_is_named() {
    assert!(matches!(misbehaved(tenth), PickError::Misbehaved { slot } if slot.index() == 9));
}

#[test]
fn who_cannot_serve_the_servers_is_named() {
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
fn who_cannot_even_be_made_is_named_with_its_client() {
    let picky = named("picky", |client| if client == 2 { panic!("not for the third") } else { P2c::new() });
    let report = tens(3).clients(4).run(&picky);
    assert_eq!(report, Err(RunError::Panicked { label: "picky".into(), client: 2 }));
}

#[test]
fn servers_that_no_pool_takes_are_the_scenario_s_to_answer_for() {
    let scenario = tens(1).each(|_, server| server.weight(u32::MAX));
    let report = scenario.run(&named("maglev", |_| Maglev::new()));
    assert!(matches!(report, Err(RunError::Unusable { source: UpdateError::Invalid(_), .. })), "{report:?}");
}

#[test]
fn a_load_that_no_memory_holds_ends_the_run() {
    let overloaded = Scenario::of(2, Server::fifo(1)).load(3.0).lasting(secs(1_000)).most_open(500);
    let Err(RunError::PiledUp { label, open, after }) = overloaded.run(&named("p2c", |_| P2c::new())) else {
        panic!("a report of what cannot be");
    };
    assert!(label == "p2c" && open == 501);
    // 600 come a second, and 200 go.
    assert!(after > secs(1) && after < secs(2), "{after:?}");
}

#[test]
fn who_fails_in_a_comparison_has_an_error_and_the_others_have_their_reports() {
    let scenario = Scenario::of(2, Server::fifo(1)).load(0.7).lasting(secs(100)).most_open(60);
    let first = named("always the first", |_| FirstFit::new());
    let panics = named("panics", |_| Odd(|| panic!("in a pick")));
    let turns = named("by turns", |_| RoundRobin::new());
    let contenders: [&dyn Contender; 3] = [&first, &turns, &panics];
    let comparison = Comparison::run(&scenario, &contenders, 2, &Control::new()).expect("a scenario");

    let [piled_up, None, panicked] = &comparison.errors[..] else { panic!("{:?}", comparison.errors) };
    assert!(matches!(piled_up, Some(RunError::PiledUp { open: 61, .. })), "{piled_up:?}");
    assert!(matches!(panicked, Some(RunError::Misbehaved { source: PickError::Panicked, .. })), "{panicked:?}");
    assert_eq!(comparison.reports.iter().map(Vec::len).collect::<Vec<_>>(), [0, 2, 0]);
    // The error is that of the first seed, however many threads there are.
    assert_eq!(piled_up.as_ref(), scenario.run(&first).as_ref().err());

    let p99 = |report: &Report| report.latency.p99().as_secs_f64();
    assert!(comparison.spread(1, p99).mean > 0.0);
    let nothing = comparison.ratio(0, 1, p99);
    assert!(nothing.mean.is_nan() && nothing.least.is_nan() && nothing.most.is_nan() && nothing.deviation.is_nan());
    assert_eq!(comparison.complete().err(), scenario.run(&first).err());
}

#[test]
fn who_fails_for_one_seed_of_several_has_no_figures() {
    // How many there are at a time depends on the seed, so that a limit lies between the seeds.
    let scenario = Scenario::of(1, Server::fifo(1)).load(0.9).lasting(secs(100));
    let turns = named("by turns", |_| RoundRobin::new());
    let longest = |seed| scenario.clone().seed(seed).run(&turns).expect("a report").in_flight.max();
    let (least, most) = ((1..=5).map(longest).min().expect("five"), (1..=5).map(longest).max().expect("five"));
    assert!(least < most);
    let comparison = Comparison::run(&scenario.most_open(most - 1), &[&turns], 5, &Control::new()).expect("a scenario");
    assert!(comparison.errors[0].is_some() && comparison.reports[0].is_empty());
}

#[test]
fn a_comparison_in_an_impossible_scenario_is_refused_before_anybody_runs() {
    let refused = Comparison::run(&tens(0), &[&named("panics", |_| Odd(|| panic!("in a pick")))], 2, &Control::new());
    assert_eq!(refused.err(), Some(InvalidScenario::NoServers));
    let nobody = Comparison::run(&tens(1), &[], 2, &Control::new()).expect("a scenario");
    assert!(nobody.reports.is_empty() && nobody.complete().is_ok());
}

#[test]
fn a_limit_of_none_and_a_weight_of_none_are_named() {
    for (server, names) in [(Server::fifo(1).limit(0), "a limit of 0"), (Server::fifo(1).weight(0), "weight 0")] {
        let error = Scenario::with([server]).run(&named("p2c", |_| P2c::new())).expect_err(names);
        assert!(matches!(error, RunError::Unusable { .. }) && error.to_string().contains(names), "{error}");
    }
}
