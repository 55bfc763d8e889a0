//! How the sources are combined, and which source ends which condition.

use equipoise_core::Availability;
use equipoise_health::{
    AdminState, CheckPolicy, HealthPolicy, InitialState, Outliers, Schedule, Source,
    agent::AgentReply,
    machine::{Action, Event, FailureLimit, Signal},
    probe::{OnTimeout, ProbeError, ProbeOutcome},
};

use crate::world::{World, failed, id, seconds};

/// One check and one agent.
fn policy() -> HealthPolicy {
    let schedule = Schedule::new().jitter(0.0);
    let check = |name, silence| CheckPolicy::new(name, schedule).on_timeout(silence);
    HealthPolicy::new()
        .check(check("http", OnTimeout::Fail))
        .check(check("agent", OnTimeout::Ignore))
        .outliers(Outliers::envoy().max_ejection_percent(100))
}

struct Both {
    world: World,
    check: Result<ProbeOutcome, ProbeError>,
    agent: Result<ProbeOutcome, ProbeError>,
}

impl Both {
    fn new() -> Self {
        Self { world: World::new(policy(), 1), check: Ok(ProbeOutcome::Passed), agent: silence() }
    }

    fn agent_says(&mut self, line: &str) {
        self.agent = Ok(ProbeOutcome::Agent(AgentReply::parse(line.as_bytes()).expect("a whole line")));
        self.pass(6.0);
    }

    fn check_says(&mut self, result: Result<ProbeOutcome, ProbeError>) {
        self.check = result;
        self.pass(30.0);
    }

    fn pass(&mut self, time: f64) {
        let until = self.world.now + seconds(time);
        loop {
            let came = self.world.step(until);
            for probe in std::mem::take(&mut self.world.probes).into_keys() {
                let result = if probe.check() == 0 { &self.check } else { &self.agent };
                self.world.tell(Event::Probed { probe, result: result.clone() });
            }
            if !came {
                return;
            }
        }
    }

    fn is(&self, availability: Availability, source: Option<Source>) {
        assert_eq!(self.world.of(0), availability);
        let status = self.world.machine.status(id(0)).expect("it is there");
        assert_eq!(status.availability, availability);
        assert_eq!(status.conditions.first().map(|condition| condition.source), source);
    }
}

#[test]
fn each_source_takes_back_only_what_it_said_itself() {
    let mut both = Both::new();
    both.pass(10.0);
    both.is(Availability::Up, None);
    both.check_says(failed());
    both.is(Availability::Unhealthy, Some(Source::Checks));
    both.agent_says("drain\n");
    // Draining and unhealthy together are maintenance.
    both.is(Availability::Maintenance, Some(Source::Agent));
    both.check_says(Ok(ProbeOutcome::Passed));
    both.is(Availability::Draining, Some(Source::Agent));
    both.agent_says("up\n");
    both.is(Availability::Draining, Some(Source::Agent));
    both.world.order(0, AdminState::Maintenance);
    both.is(Availability::Maintenance, Some(Source::Operator));
    both.agent_says("ready\n");
    both.is(Availability::Maintenance, Some(Source::Operator));
    both.world.order(0, AdminState::Ready);
    both.is(Availability::Up, None);
}

#[test]
fn an_agent_that_says_down_is_obeyed_until_it_says_up() {
    let mut both = Both::new();
    both.agent_says("down # disk is full\n");
    both.is(Availability::Maintenance, Some(Source::Agent));
    let status = both.world.machine.status(id(0)).expect("it is there");
    assert!(status.conditions[0].reason.contains("disk is full"), "{status:?}");
    both.agent_says("75%\n");
    both.is(Availability::Maintenance, Some(Source::Agent));
    both.agent = silence();
    both.pass(60.0);
    both.is(Availability::Maintenance, Some(Source::Agent));
    both.agent_says("up\n");
    both.is(Availability::Up, None);
}

#[test]
fn an_agent_that_does_not_answer_changes_nothing() {
    let mut both = Both::new();
    both.agent = silence();
    both.pass(120.0);
    both.is(Availability::Up, None);
    assert_eq!(both.world.changes, []);
}

#[test]
fn an_agent_that_answers_has_passed() {
    let mut both = Both::new();
    both.agent = silence();
    both.pass(6.0);
    let last = |both: &Both| both.world.machine.status(id(0)).expect("it is there").checks[1].last_error.clone();
    assert!(last(&both).is_some());
    both.agent_says("up\n");
    assert_eq!(last(&both), None);

    // For an endpoint that must pass first, and for one whose check has failed (a custom probe may do both).
    let agent = CheckPolicy::new("agent", Schedule::new().initial_state(InitialState::MustPass));
    let mut world = World::new(HealthPolicy::new().check(agent), 1);
    let up = || Some(Ok(ProbeOutcome::Agent(AgentReply::parse(b"up\n").expect("a whole line"))));
    assert_eq!(world.of(0), Availability::Maintenance);
    for (answer, availability) in
        [(up(), Availability::Up), (Some(failed()), Availability::Unhealthy), (up(), Availability::Up)]
    {
        world.pass(seconds(30.0), |_, _| answer.clone());
        assert_eq!(world.of(0), availability);
    }
}

#[test]
fn weight_and_limit_are_said_once_each_time_they_change() {
    let mut both = Both::new();
    for line in ["50%\n", "50%\n", "up\n", "maxconn:30\n", "100% maxconn:0\n"] {
        both.agent_says(line);
    }
    let said = |wanted: fn(&Action) -> bool| both.world.others.iter().filter(|action| wanted(action)).count();
    assert_eq!(said(|action| matches!(action, Action::SetWeightPercent { .. })), 2);
    assert_eq!(said(|action| matches!(action, Action::SetMaxInFlight { .. })), 2);
}

fn silence() -> Result<ProbeOutcome, ProbeError> {
    Ok(ProbeOutcome::Inconclusive(ProbeError::Connect("refused".to_owned())))
}

#[test]
fn requests_and_checks_have_to_agree() {
    let mut both = Both::new();
    both.pass(5.0);
    both.check = failed();
    both.world.signal(0, Signal::FailureLimitReached(FailureLimit::Consecutive(5)));
    both.is(Availability::Unhealthy, Some(Source::Requests));
    both.pass(60.0);
    both.is(Availability::Unhealthy, Some(Source::Checks));
    both.check_says(Ok(ProbeOutcome::Passed));
    // Only a request ends a condition of the requests.
    both.is(Availability::Probation, Some(Source::Requests));
    both.world.signal(0, Signal::ProbationPassed);
    both.is(Availability::Up, None);
}
