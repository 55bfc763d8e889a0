//! Requests that their callers abandon, counted as timeouts.

use std::{sync::Arc, time::Duration};

use equipoise_core::{
    Availability, EndpointId, EndpointSpec, Lease, ManualClock, PeakEwma, PickRequest, Pool, RoundRobin, Strategy,
    Verdict,
};
use equipoise_health::{
    Outliers, ResultCollector,
    machine::{Event, FailureLimit, Signal},
};

const USUAL: Duration = Duration::from_millis(10);
const SECOND: Duration = Duration::from_secs(1);

struct World {
    collector: ResultCollector,
    clock: Arc<ManualClock>,
    pool: Pool<()>,
}

impl World {
    fn new(outliers: Outliers, strategy: impl Strategy) -> Self {
        let (collector, clock) = (ResultCollector::new(outliers), Arc::new(ManualClock::new()));
        let pool: Pool<()> = Pool::<()>::builder(collector.watch(strategy)).clock(clock.clone()).build();
        pool.update(["a", "b", "c", "d"].map(EndpointSpec::new), |_| ()).expect("valid specs");
        Self { collector, clock, pool }
    }

    fn to(&self, id: &str) -> Lease<()> {
        let bound = EndpointId::from(id);
        self.pool.pick(&PickRequest::new().prefer(&bound)).expect("it takes bound requests")
    }

    fn answered(&self, id: &str, after: Duration) {
        let lease = self.to(id);
        self.clock.advance(after);
        lease.finish(Verdict::Success);
    }

    fn given_up(&self, id: &str, after: Duration) {
        let lease = self.to(id);
        self.clock.advance(after);
        drop(lease);
    }

    /// The signals of endpoint a since the last call.
    fn said(&self) -> Vec<Signal> {
        let all = self.collector.take().into_iter();
        all.map(|event| match event {
            Event::Signalled { id, signal } if id.as_str() == "a" => signal,
            other => panic!("{other:?}"),
        })
        .collect()
    }
}

fn three() -> Outliers {
    Outliers::new().consecutive_failures(3)
}

#[test]
fn a_run_of_requests_given_up_late_trips_where_it_is_asked_for() {
    for (outliers, trips) in [(three(), false), (three().abandon_factor(Some(10.0)), true)] {
        let world = World::new(outliers, RoundRobin::new());
        (0..20).for_each(|_| world.answered("a", USUAL));
        for turn in 1..=6 {
            world.given_up("a", SECOND);
            let expected = if trips && turn % 3 == 0 {
                vec![Signal::FailureLimitReached(FailureLimit::Consecutive(3))]
            } else {
                vec![]
            };
            assert_eq!(world.said(), expected, "after {turn}");
        }
    }
}

#[test]
fn hanging_up_before_the_usual_time_says_nothing() {
    let world = World::new(three().abandon_factor(Some(1.0)), RoundRobin::new());
    (0..20).for_each(|_| world.answered("a", USUAL));
    (0..100).for_each(|_| world.given_up("a", USUAL / 2));
    assert_eq!(world.said(), []);
}

#[test]
fn an_answer_between_them_ends_the_run() {
    let world = World::new(three().abandon_factor(Some(10.0)), RoundRobin::new());
    for _ in 0..20 {
        world.answered("a", USUAL);
        (0..2).for_each(|_| world.given_up("a", SECOND));
    }
    assert_eq!(world.said(), []);
}

#[test]
fn an_endpoint_that_never_answered_is_held_against_the_slowest_of_the_others() {
    let world = World::new(three().abandon_factor(Some(2.0)), RoundRobin::new());
    (0..9).for_each(|_| world.given_up("a", SECOND));
    assert_eq!(world.said(), [], "no endpoint has answered yet");
    world.answered("b", USUAL);
    world.answered("c", SECOND);
    (0..9).for_each(|_| world.given_up("a", SECOND));
    assert_eq!(world.said(), [], "c takes as long");
    (0..3).for_each(|_| world.given_up("a", SECOND * 2));
    assert_eq!(world.said(), [Signal::FailureLimitReached(FailureLimit::Consecutive(3))]);
}

#[test]
fn a_request_on_probation_that_is_given_up_fails_it() {
    let world = World::new(three().abandon_factor(Some(10.0)), RoundRobin::new());
    world.answered("a", USUAL);
    world.pool.set_availability("a", Availability::Probation).expect("a member");
    world.given_up("a", USUAL);
    assert_eq!(world.said(), [], "it was no longer than usual");
    world.given_up("a", SECOND);
    assert_eq!(world.said(), [Signal::ProbationFailed]);
}

#[test]
fn the_strategy_inside_hears_of_them_whatever_the_rules_say() {
    for outliers in [three(), three().abandon_factor(Some(10.0))] {
        let world = World::new(outliers, PeakEwma::new());
        ["a", "b", "c", "d"].iter().for_each(|id| world.answered(id, USUAL));
        world.given_up("a", SECOND);
        let mut slow = 0;
        for _ in 0..100 {
            let lease = world.pool.pick(&PickRequest::new()).expect("up");
            if lease.endpoint().id().as_str() == "a" {
                slow += 1;
                world.clock.advance(SECOND);
            } else {
                world.clock.advance(USUAL);
                lease.finish(Verdict::Success);
            }
        }
        // Peak-EWMA tries a slow endpoint at times. An equal one would get 25.
        assert!(slow <= 6, "{slow}");
    }
}
