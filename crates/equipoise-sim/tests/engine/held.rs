//! Responses with bodies, and callers that give up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Sender, channel},
    },
    time::Duration,
};

use equipoise_core::{
    BuildError, Endpoint, EndpointSpec, Failure, Needs, PickRequest, Random, Strategy, Timestamp, Verdict, View,
};
use equipoise_sim::{Bodies, Fault, Impatience, Report, Scenario, Server, Trace, Work, named};

use crate::{
    common::{about, by_turns, ms, secs, tens},
    hooks::{HookCall, hook_calls},
};

/// A strategy that picks at random and counts its leases: how many are open, how many there were, and the sum of how many
/// were open when each began.
#[derive(Clone, Default)]
struct Counted(Arc<[AtomicU64; 3]>);

impl Strategy for Counted {
    type State = ();
    type Picker = <Random as Strategy>::Picker;

    fn state(&self, _: &EndpointSpec) {}

    fn build(&self, view: &View, _: Option<&Self::Picker>) -> Result<Self::Picker, BuildError> {
        Random::new().build(view, None)
    }

    fn needs(&self) -> Needs {
        Needs::new().leases()
    }

    fn admit(&self, (): &(), _: &Endpoint, _: &PickRequest<'_>) -> bool {
        let [open, all, seen] = &*self.0;
        seen.fetch_add(open.fetch_add(1, Relaxed), Relaxed);
        all.fetch_add(1, Relaxed);
        true
    }

    fn on_release(&self, (): &(), _: &Endpoint) {
        self.0[0].fetch_sub(1, Relaxed);
    }
}

/// Returns the number of open leases that a request meets on average.
fn leases_met(scenario: &Scenario) -> (f64, Report) {
    let counted = Counted::default();
    let report = scenario.run(&named("counted", |_| counted.clone())).expect("a report");
    let [_, all, seen] = &*counted.0;
    (seen.load(Relaxed) as f64 / all.load(Relaxed) as f64, report)
}

#[test]
fn a_lease_lasts_until_the_end_of_the_body_and_the_work_until_the_first_byte() {
    // Little's law: 100 requests a second, each with 10 ms of work and 90 ms of body.
    let scenario = tens(1).lasting(secs(1_000)).bodies(Bodies::all(Work::exponential(ms(90))));
    let (met, report) = leases_met(&scenario);
    assert!((met - 10.0).abs() < 0.3, "{met}");
    assert!((report.in_flight.mean() - 1.0).abs() < 0.03, "{:?}", report.in_flight.mean());
    assert!(about(report.latency.max(), ms(10)), "{report}");
    assert_eq!(report.ends.answered, report.ends.total());
}

#[test]
fn a_share_of_the_responses_has_a_body() {
    // A hundredth, of a minute: 60 of the leases; the others hold theirs for 10 ms.
    let scenario = tens(1).lasting(secs(4_000)).bodies(Bodies::some(0.01, Work::constant(secs(60))));
    let (met, _) = leases_met(&scenario);
    assert!((met - 61.0).abs() < 4.0, "{met}");
}

#[test]
fn a_timeout_and_a_caller_wait_for_the_first_byte_only() {
    let scenario = tens(1).bodies(Bodies::all(Work::constant(secs(5))));
    let report = by_turns(&scenario.timeout(ms(100)).impatience(Impatience::new(1.0, ms(100))));
    assert_eq!(report.ends.answered, report.ends.total());
}

#[test]
fn bodies_break_off_when_their_server_dies() {
    let bodies = Bodies::all(Work::constant(secs(2)));
    for fault in [Fault::refuses(0).from(secs(5)).lasting(ms(1)), Fault::blackhole(0).from(secs(5)).lasting(ms(1))] {
        let report = by_turns(&tens(1).bodies(bodies).fault(fault).timeout(ms(100)));
        // The bodies of two seconds, at 100 a second. The requests of 10 ms in service break off too, or time out.
        let broken = report.ends.errors();
        assert!(broken.abs_diff(200) < 45 && report.ends.broken > 150, "{:?}", report.ends);
        assert_eq!(report.ends.answered + broken, report.ends.total());
    }
}

/// A strategy that picks at random, and sends the time of each verdict to a channel.
struct Judged(Sender<(Verdict, Duration)>);

impl Strategy for Judged {
    type State = ();
    type Picker = <Random as Strategy>::Picker;

    fn state(&self, _: &EndpointSpec) {}

    fn build(&self, view: &View, _: Option<&Self::Picker>) -> Result<Self::Picker, BuildError> {
        Random::new().build(view, None)
    }

    fn needs(&self) -> Needs {
        Needs::new().outcomes()
    }

    fn on_outcome(&self, (): &(), verdict: Verdict, now: Timestamp) {
        // The run's clock begins at one second.
        let at = now.since(Timestamp::ZERO + secs(1));
        self.0.send((verdict, at)).expect("the receiver waits for the end of the run");
    }
}

/// Runs one request whose response begins after 10 ms and has a body of 500 ms. Returns the verdict and its time, and
/// the numbers of answered and of broken requests.
fn verdict_of_a_body(server: Server, fault: Fault, lasting: Duration) -> (Option<(Verdict, Duration)>, [u64; 2]) {
    let scenario = Scenario::of(1, server).trace(Trace::new([(Duration::ZERO, ms(10))])).timeout(secs(1));
    let scenario = scenario.bodies(Bodies::all(Work::constant(ms(500)))).fault(fault).lasting(lasting);
    let (sender, receiver) = channel();
    let report = scenario.run(&named("judged", |_| Judged(sender.clone()))).expect("a report");
    (receiver.try_iter().next(), [report.ends.answered, report.ends.broken])
}

#[test]
fn a_body_from_an_unreachable_server_fails_after_the_timeout() {
    let timed_out = Verdict::Failure(Failure::Timeout);
    let fault = Fault::blackhole(0).from(ms(300));
    for fault in [fault, fault.lasting(ms(1)), fault.lasting(ms(1)).every(ms(100))] {
        let verdict = verdict_of_a_body(Server::delay(), fault, secs(2));
        assert_eq!(verdict, (Some((timed_out, ms(1_300))), [0, 1]), "{fault:?}");
    }
    // The run ends before the client notices.
    assert_eq!(verdict_of_a_body(Server::delay(), fault, ms(400)).1, [0, 1]);
}

#[test]
fn a_body_breaks_off_only_if_its_server_has_not_sent_all_of_it() {
    let server = || Server::delay().distance(ms(100));
    let dies = |at| verdict_of_a_body(server(), Fault::refuses(0).from(ms(at)), secs(2));
    // The client gets the last byte at 610 ms. The server sends it 50 ms earlier.
    assert_eq!(dies(550), (Some((Verdict::Failure(Failure::Transport), ms(600))), [0, 1]));
    assert_eq!(dies(570), (Some((Verdict::Success, ms(610))), [1, 0]));
}

#[test]
fn callers_drop_the_lease_when_they_give_up() {
    let scenario = tens(1).impatience(Impatience::new(1.0, ms(4)));
    let (report, hook_calls) = hook_calls(&scenario);
    assert_eq!(report.ends.given_up, report.ends.total());
    // A latency is that of an answer.
    assert_eq!(report.latency.count(), 0);
    assert_eq!(hook_calls.len() as u64, 3 * report.ends.total());
    assert!(
        hook_calls.chunks(3).any(|one| one == [HookCall::Admitted, HookCall::Abandoned(ms(4)), HookCall::Released]),
        "{hook_calls:?}"
    );
    assert!(!hook_calls.iter().any(|call| matches!(call, HookCall::Latency(_) | HookCall::Verdict(_))));
}

#[test]
fn a_server_drops_requests_that_are_given_up() {
    let scenario = Scenario::of(1, Server::fifo(1)).rate(5.0).work(Work::constant(ms(100))).lasting(secs(200));
    let all = by_turns(&scenario.clone().impatience(Impatience::new(1.0, ms(10))));
    assert!((all.utilisation[0] - 0.05).abs() < 0.01, "{:?}", all.utilisation);
    // The other requests take their 100 ms.
    let some = by_turns(&scenario.impatience(Impatience::new(0.3, ms(10))));
    let share = some.ends.given_up as f64 / some.ends.total() as f64;
    assert!((share - 0.3).abs() < 0.05, "{share}");
}

#[test]
fn a_request_that_is_given_up_is_not_sent_again() {
    let scenario = tens(2).impatience(Impatience::new(1.0, ms(4))).max_retries(3);
    let report = by_turns(&scenario);
    assert_eq!((report.ends.given_up, report.attempts), (report.ends.total(), report.ends.total()));
}
