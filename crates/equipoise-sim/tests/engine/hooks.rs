//! The hooks of a strategy that the simulator calls for a request.

use std::{
    sync::mpsc::{Sender, channel},
    time::Duration,
};

use equipoise_core::{
    BuildError, Endpoint, EndpointSpec, Failure, Needs, PickCx, PickRequest, Picker, Slot, Strategy, Timestamp,
    Verdict, View,
};
use equipoise_sim::{Bodies, Fault, Report, Scenario, Server, Trace, Work, named};

use crate::common::{ms, secs, strategy};

/// A call of a hook.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Told {
    Admitted,
    Latency(Duration),
    Verdict(Verdict),
    Abandoned(Duration),
    Released,
}

pub(crate) const FAILED: Told = Told::Verdict(Verdict::Failure(Failure::Server));
pub(crate) const SUCCEEDED: Told = Told::Verdict(Verdict::Success);

/// A strategy that picks the first usable endpoint and sends all calls of hooks to a channel.
struct Recorder(Sender<Told>);

impl Recorder {
    fn note(&self, told: Told) {
        self.0.send(told).expect("the receiver waits for the end of the run");
    }
}

impl Strategy for Recorder {
    type State = ();
    type Picker = First;

    fn state(&self, _: &EndpointSpec) {}

    fn build(&self, view: &View, _: Option<&First>) -> Result<First, BuildError> {
        Ok(First(view.eligible().into()))
    }

    fn needs(&self) -> Needs {
        Needs::new().latency().outcomes().leases()
    }

    fn admit(&self, (): &(), _: &Endpoint, _: &PickRequest<'_>) -> bool {
        self.note(Told::Admitted);
        true
    }

    fn on_latency(&self, (): &(), latency: Duration, _: Timestamp) {
        self.note(Told::Latency(latency));
    }

    fn on_outcome(&self, (): &(), verdict: Verdict, _: Timestamp) {
        self.note(Told::Verdict(verdict));
    }

    fn on_abandon(&self, (): &(), waited: Duration, _: Timestamp) -> bool {
        self.note(Told::Abandoned(waited));
        false
    }

    fn on_release(&self, (): &(), _: &Endpoint) {
        self.note(Told::Released);
    }
}

struct First(Box<[Slot]>);

impl Picker for First {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        self.0.iter().copied().find(|&slot| cx.usable(slot))
    }
}

/// Runs the scenario with one strategy for all clients, and returns the calls of its hooks.
pub(crate) fn told(scenario: &Scenario) -> (Report, Vec<Told>) {
    let (sender, receiver) = channel();
    let report = scenario.run(&named("recorder", |_| Recorder(sender.clone()))).expect("a report");
    (report, receiver.try_iter().collect())
}

/// One request of 10 ms.
fn one() -> Scenario {
    Scenario::of(1, Server::fifo(1)).trace(Trace::new([(ms(50), ms(10))])).lasting(secs(1)).warm_up(0.0)
}

#[test]
fn a_success_is_a_latency_and_then_a_verdict() {
    let (_, told) = told(&one());
    assert_eq!(told, [Told::Admitted, Told::Latency(ms(10)), SUCCEEDED, Told::Released]);
}

#[test]
fn a_failure_is_a_verdict_without_a_latency() {
    let unavailable = Told::Verdict(Verdict::Unavailable { retry_after: Some(secs(3)) });
    let overloaded = Told::Verdict(Verdict::Failure(Failure::Gateway));
    let refused = Told::Verdict(Verdict::Failure(Failure::Connect));
    let sheds = |retry_after| one().each(move |_, server| server.sheds_beyond(0, retry_after));
    for (scenario, verdict) in [
        (one().fault(Fault::sinkhole(0)), FAILED),
        (one().fault(Fault::flaky(0, 1.0)), FAILED),
        (one().fault(Fault::flaky_after(0, 1.0, ms(5))), FAILED),
        (sheds(Some(secs(3))), unavailable),
        (sheds(None), overloaded),
        (one().fault(Fault::refuses(0)), refused),
    ] {
        assert_eq!(told(&scenario).1, [Told::Admitted, verdict, Told::Released], "{scenario:?}");
    }
}

#[test]
fn a_body_comes_between_the_latency_and_the_verdict() {
    let body = one().bodies(Bodies::all(Work::constant(ms(500))));
    assert_eq!(told(&body).1, [Told::Admitted, Told::Latency(ms(10)), SUCCEEDED, Told::Released]);
    let (report, told) = told(&body.fault(Fault::refuses(0).from(ms(300))));
    let broken = Told::Verdict(Verdict::Failure(Failure::Transport));
    assert_eq!(told, [Told::Admitted, Told::Latency(ms(10)), broken, Told::Released]);
    assert_eq!((report.ends.answered, report.ends.broken), (0, 1));
}

#[test]
fn a_server_that_fails_fast_does_not_look_fast_to_least_time() {
    // If the 1 ms of a failure counted as a latency, the server would get half of the requests, which is the maximum
    // that the cap for failing servers allows.
    let scenario = Scenario::of(2, Server::fifo(4)).load(0.3).lasting(secs(40)).fault(Fault::sinkhole(0));
    let share = scenario.run(&strategy("least-time")).expect("a report").share(0);
    assert!(share < 0.49, "{share}");
}
