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
pub(crate) enum HookCall {
    Admitted,
    Latency(Duration),
    Verdict(Verdict),
    Abandoned(Duration),
    Released,
}

pub(crate) const FAILED: HookCall = HookCall::Verdict(Verdict::Failure(Failure::Server));
pub(crate) const SUCCEEDED: HookCall = HookCall::Verdict(Verdict::Success);

/// A strategy that picks the first usable endpoint and sends all calls of hooks to a channel.
struct Recorder(Sender<HookCall>);

impl Recorder {
    fn note(&self, call: HookCall) {
        self.0.send(call).expect("the receiver waits for the end of the run");
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
        self.note(HookCall::Admitted);
        true
    }

    fn on_latency(&self, (): &(), latency: Duration, _: Timestamp) {
        self.note(HookCall::Latency(latency));
    }

    fn on_outcome(&self, (): &(), verdict: Verdict, _: Timestamp) {
        self.note(HookCall::Verdict(verdict));
    }

    fn on_abandon(&self, (): &(), waited: Duration, _: Timestamp) -> bool {
        self.note(HookCall::Abandoned(waited));
        false
    }

    fn on_release(&self, (): &(), _: &Endpoint) {
        self.note(HookCall::Released);
    }
}

struct First(Box<[Slot]>);

impl Picker for First {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        self.0.iter().copied().find(|&slot| cx.usable(slot))
    }
}

/// Runs the scenario with one strategy for all clients, and returns the calls of its hooks.
pub(crate) fn hook_calls(scenario: &Scenario) -> (Report, Vec<HookCall>) {
    let (sender, receiver) = channel();
    let report = scenario.run(&named("recorder", |_| Recorder(sender.clone()))).expect("a report");
    (report, receiver.try_iter().collect())
}

/// One request of 10 ms.
fn one() -> Scenario {
    Scenario::of(1, Server::fifo(1)).trace(Trace::new([(ms(50), ms(10))])).lasting(secs(1))
}

#[test]
fn a_success_is_a_latency_and_then_a_verdict() {
    let (_, hook_calls) = hook_calls(&one());
    assert_eq!(hook_calls, [HookCall::Admitted, HookCall::Latency(ms(10)), SUCCEEDED, HookCall::Released]);
}

#[test]
fn a_failure_is_a_verdict_without_a_latency() {
    let unavailable = HookCall::Verdict(Verdict::Unavailable { retry_after: Some(secs(3)) });
    let overloaded = HookCall::Verdict(Verdict::Failure(Failure::Gateway));
    let refused = HookCall::Verdict(Verdict::Failure(Failure::Connect));
    let sheds = |retry_after| one().each(move |_, server| server.sheds_beyond(0, retry_after));
    for (scenario, verdict) in [
        (one().fault(Fault::sinkhole(0)), FAILED),
        (one().fault(Fault::flaky(0, 1.0)), FAILED),
        (one().fault(Fault::flaky_after(0, 1.0, ms(5))), FAILED),
        (sheds(Some(secs(3))), unavailable),
        (sheds(None), overloaded),
        (one().fault(Fault::refuses(0)), refused),
    ] {
        assert_eq!(hook_calls(&scenario).1, [HookCall::Admitted, verdict, HookCall::Released], "{scenario:?}");
    }
}

#[test]
fn a_body_comes_between_the_latency_and_the_verdict() {
    let body = one().bodies(Bodies::all(Work::constant(ms(500))));
    assert_eq!(hook_calls(&body).1, [HookCall::Admitted, HookCall::Latency(ms(10)), SUCCEEDED, HookCall::Released]);
    let (report, hook_calls) = hook_calls(&body.fault(Fault::refuses(0).from(ms(300))));
    let broken = HookCall::Verdict(Verdict::Failure(Failure::Transport));
    assert_eq!(hook_calls, [HookCall::Admitted, HookCall::Latency(ms(10)), broken, HookCall::Released]);
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
