use std::time::Duration;

use equipoise::{
    Availability, EndpointId, Timestamp,
    health::{
        AdminState, CheckPolicy, DrainOutcome, HealthPolicy, Schedule, Source,
        agent::{AgentAdmin, AgentHealth, AgentReply, AgentWarning},
        machine::{Action, Event, FailureLimit, Machine, Signal},
        probe::{HttpVersion, OnTimeout, ProbeError, ProbeOutcome},
    },
};

use super::check;

/// The actions of a machine with one check, whose endpoint joins and is then put into maintenance.
fn actions() -> Vec<Action> {
    let policy = HealthPolicy::new().check(CheckPolicy::new("tcp", Schedule::new()));
    let mut machine = Machine::new(policy, 7).expect("a valid policy");
    machine.handle(Timestamp::ZERO, Event::Joined("a".into()));
    machine.handle_timeout(Timestamp::ZERO + Duration::from_secs(60));
    let id = EndpointId::from("a");
    machine.handle(Timestamp::ZERO, Event::AdminStateSet { id, state: AdminState::Maintenance });
    std::iter::from_fn(|| machine.poll_action()).collect()
}

#[test]
fn labels_of_the_machine_are_unique_and_snake_case() {
    let (id, actions) = (EndpointId::from("a"), actions());
    let probe = actions.iter().find_map(|action| match action {
        Action::Probe { probe, .. } => Some(*probe),
        _ => None,
    });
    let probe = probe.expect("the endpoint is probed");
    let notify = actions.iter().find(|action| matches!(action, Action::Notify(_))).expect("a change is reported");
    let actions = [
        Action::Probe { probe, id: id.clone(), port: None },
        Action::CancelProbe(probe),
        Action::SetAvailability { id: id.clone(), availability: Availability::Up },
        Action::SetWeightPercent { id: id.clone(), percent: 100 },
        Action::SetMaxInFlight { id: id.clone(), max_in_flight: None },
        Action::CollectCounts,
        notify.clone(),
    ];
    check(actions.iter().map(Action::as_str));
    let events = [
        Event::Joined(id.clone()),
        Event::Left(id.clone()),
        Event::Probed { probe, result: Ok(ProbeOutcome::Passed) },
        Event::Signalled { id: id.clone(), signal: Signal::ProbationPassed },
        Event::Counted(Vec::new()),
        Event::AdminStateSet { id, state: AdminState::Ready },
    ];
    check(events.iter().map(Event::as_str));
    let signals = [
        Signal::FailureLimitReached(FailureLimit::Consecutive(1)),
        Signal::ProbationPassed,
        Signal::ProbationFailed,
        Signal::RetryAfter(Duration::ZERO),
    ];
    check(signals.map(Signal::as_str));
    let limits = [
        FailureLimit::Consecutive(1),
        FailureLimit::ConsecutiveGateway(1),
        FailureLimit::ConsecutiveConnection(1),
        FailureLimit::Within(1),
    ];
    check(limits.map(FailureLimit::as_str));
    check([AdminState::Ready, AdminState::Drain { deadline: None }, AdminState::Maintenance].map(AdminState::as_str));
    check([Source::Operator, Source::Agent, Source::Checks, Source::Requests].map(Source::as_str));
}

#[test]
fn labels_of_probes_and_drains_are_unique_and_snake_case() {
    check([HttpVersion::Negotiated, HttpVersion::Http1, HttpVersion::Http2].map(HttpVersion::as_str));
    check([OnTimeout::Fail, OnTimeout::Ignore].map(OnTimeout::as_str));
    let errors = [
        ProbeError::Address { address: String::new(), reason: "".into() },
        ProbeError::Connect(String::new()),
        ProbeError::Failed(String::new()),
        ProbeError::Timeout,
        ProbeError::Unexpected(String::new()),
        ProbeError::Forbidden(String::new()),
        ProbeError::Panicked,
    ];
    check(errors.iter().map(ProbeError::as_str));
    let reply = AgentReply::parse(b"up\n").expect("a line");
    let outcomes = [ProbeOutcome::Passed, ProbeOutcome::Agent(reply), ProbeOutcome::Inconclusive(ProbeError::Timeout)];
    check(outcomes.iter().map(ProbeOutcome::as_str));
    check([AgentAdmin::Ready, AgentAdmin::Drain, AgentAdmin::Maintenance].map(AgentAdmin::as_str));
    check([AgentHealth::Up, AgentHealth::Down].map(AgentHealth::as_str));
    let warnings = [
        AgentWarning::WeightTrailing,
        AgentWarning::WeightOutOfRange,
        AgentWarning::LimitMissing,
        AgentWarning::LimitNotANumber,
        AgentWarning::LimitTrailing,
    ];
    check(warnings.map(AgentWarning::as_str));
    let outcomes = [
        DrainOutcome::Completed,
        DrainOutcome::DeadlineExceeded { in_flight: 1 },
        DrainOutcome::UnknownEndpoint,
        DrainOutcome::Cancelled,
    ];
    check(outcomes.map(DrainOutcome::as_str));
}
