use std::{collections::VecDeque, time::Duration};

use equipoise_core::{Availability, EndpointId, Timestamp};

use super::{
    Action, AdminState, AvailabilityChange, CheckStatus, Condition, HealthStatus, Source,
    check::CheckState,
    outliers::{Phase, RequestState},
};
use crate::{
    agent::{AgentAdmin, AgentHealth, AgentReply, AgentState},
    settings::{CheckPolicy, HealthPolicy},
};

/// The state of one endpoint in the health state machine.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) id: EndpointId,
    operator: OperatorState,
    operator_since: Timestamp,
    /// The time at which the drain that an operator has set reaches its deadline.
    pub(super) drained_at: Option<Timestamp>,
    agent: AgentState,
    /// The text of the agent's last reply that mentioned the endpoint's health.
    agent_text: String,
    agent_since: Timestamp,
    pub(super) checks: Box<[CheckState]>,
    pub(super) requests: RequestState,
    requests_since: Timestamp,
    /// Whether the endpoint counts towards the maximum number of endpoints that outlier detection keeps out.
    pub(super) counts_towards_max: bool,
    /// Whether no probe of the endpoint has ended yet.
    pub(super) unprobed: bool,
    /// The availability in the last `SetAvailability` action. `None` if there was no such action.
    set_availability: Option<Availability>,
    /// The availability in the last notification of listeners.
    notified: Availability,
    /// The source in the last notification of listeners.
    last_source: Source,
    set_weight: Option<u32>,
    set_max_in_flight: Option<Option<u32>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OperatorState {
    Ready,
    Draining,
    /// The deadline of a drain has passed.
    Drained,
    Maintenance,
}

impl Record {
    pub(super) fn new(id: EndpointId, policy: &HealthPolicy, now: Timestamp) -> Self {
        Self {
            id,
            operator: OperatorState::Ready,
            operator_since: now,
            drained_at: None,
            agent: AgentState::default(),
            agent_text: String::new(),
            agent_since: now,
            checks: policy.checks.iter().map(|check| CheckState::new(&check.schedule, now)).collect(),
            requests: RequestState::default(),
            requests_since: now,
            counts_towards_max: false,
            unprobed: true,
            set_availability: None,
            notified: Availability::Up,
            last_source: Source::Checks,
            set_weight: None,
            set_max_in_flight: None,
        }
    }

    pub(super) fn agent_replied(&mut self, reply: &AgentReply, now: Timestamp) {
        let before = (self.agent.admin, self.agent.health);
        self.agent.apply(reply);
        if (self.agent.admin, self.agent.health) != before {
            self.agent_since = now;
        }
        if reply.health.is_some() {
            self.agent_text.clone_from(&reply.text);
        }
    }

    pub(super) fn set_admin_state(&mut self, state: AdminState, now: Timestamp) {
        let state = match state {
            AdminState::Ready => OperatorState::Ready,
            AdminState::Drain { .. } => OperatorState::Draining,
            AdminState::Maintenance => OperatorState::Maintenance,
        };
        if state != self.operator {
            (self.operator, self.operator_since) = (state, now);
        }
    }

    /// Returns the administrative state that an endpoint inherits if it replaces this one. `None` means ready.
    pub(super) fn admin_state(&self, now: Timestamp) -> Option<AdminState> {
        match self.operator {
            OperatorState::Ready => None,
            OperatorState::Draining => Some(AdminState::Drain { deadline: self.drained_at.map(|at| at.since(now)) }),
            OperatorState::Drained => Some(AdminState::Drain { deadline: Some(Duration::ZERO) }),
            OperatorState::Maintenance => Some(AdminState::Maintenance),
        }
    }

    pub(super) fn drain_deadline_passed(&mut self, now: Timestamp) {
        (self.operator, self.operator_since) = (OperatorState::Drained, now);
    }

    pub(super) fn enter(&mut self, phase: Phase, now: Timestamp) {
        self.requests.phase = phase;
        self.requests_since = now;
    }

    /// Whether outlier detection alone keeps the endpoint out.
    pub(super) fn is_out_for_its_requests(&self) -> bool {
        self.requests.phase != Phase::Up && self.restrictions().all(|(source, _)| source == Source::Requests)
    }

    /// Adds an action that admits another request to an endpoint on probation.
    pub(super) fn admit_another(&self, actions: &mut VecDeque<Action>) {
        if self.set_availability == Some(Availability::Probation) {
            let availability = Availability::Probation;
            actions.push_back(Action::SetAvailability { id: self.id.clone(), availability });
        }
    }

    /// Forgets which actions were returned, so that `publish` returns them again.
    pub(super) fn forget_settings(&mut self) {
        (self.set_availability, self.set_weight, self.set_max_in_flight) = (None, None, None);
    }

    /// Returns the sources that have a condition against the endpoint, in the order of priority, each with the
    /// availability that it causes.
    fn restrictions(&self) -> impl Iterator<Item = (Source, Availability)> {
        let operator = match self.operator {
            OperatorState::Ready => None,
            OperatorState::Draining => Some(Availability::Draining),
            OperatorState::Drained | OperatorState::Maintenance => Some(Availability::Maintenance),
        };
        let agent = match (self.agent.admin, self.agent.health) {
            (AgentAdmin::Maintenance, _) | (_, AgentHealth::Down) => Some(Availability::Maintenance),
            (AgentAdmin::Drain, _) => Some(Availability::Draining),
            _ => None,
        };
        let checks = match self.checks.iter().any(|check| check.must_pass) {
            true => Some(Availability::Maintenance),
            false => self.checks.iter().any(|check| !check.up).then_some(Availability::Unhealthy),
        };
        let requests = match self.requests.phase {
            Phase::Up => None,
            Phase::Ejected | Phase::Paused => Some(Availability::Unhealthy),
            Phase::Probation => Some(Availability::Probation),
        };
        let all = [
            (Source::Operator, operator),
            (Source::Agent, agent),
            (Source::Checks, checks),
            (Source::Requests, requests),
        ];
        all.into_iter().filter_map(|(source, availability)| Some((source, availability?)))
    }

    /// Returns the strictest availability of all sources. An endpoint that is both draining and unhealthy gets no
    /// requests.
    fn availability(&self) -> Availability {
        self.restrictions().fold(Availability::Up, |all, (_, one)| match (all, one) {
            (Availability::Up, one) => one,
            (Availability::Draining, Availability::Unhealthy | Availability::Maintenance) => Availability::Maintenance,
            // The sources come in the order of strictness, apart from `Draining`.
            (all, _) => all,
        })
    }

    /// Returns the condition of a source that has a condition against the endpoint.
    fn condition(&self, source: Source, availability: Availability, policy: &HealthPolicy) -> Condition {
        let (reason, since) = match source {
            Source::Operator => {
                let reason = match self.operator {
                    OperatorState::Draining => "drain",
                    OperatorState::Drained => "the deadline of the drain has passed",
                    _ => "maintenance",
                };
                (reason.to_owned(), self.operator_since)
            }
            Source::Agent => {
                let reason = match self.agent.admin {
                    AgentAdmin::Maintenance => "maintenance",
                    AgentAdmin::Drain if self.agent.health == AgentHealth::Up => "drain",
                    _ => &self.agent_text,
                };
                (reason.to_owned(), self.agent_since)
            }
            Source::Checks => {
                let down = || self.checks.iter().zip(&policy.checks).filter(|(state, _)| !state.up);
                let reason = |(state, check): (&CheckState, &CheckPolicy)| {
                    format!("{}: {}", check.name, state.last_error.as_deref().unwrap_or("not passed yet"))
                };
                let since = down().map(|(state, _)| state.since).min().unwrap_or_default();
                (down().map(reason).collect::<Vec<_>>().join("; "), since)
            }
            Source::Requests => (self.requests.reason.clone(), self.requests_since),
        };
        Condition { source, availability, reason, since }
    }

    pub(super) fn status(&self, policy: &HealthPolicy) -> HealthStatus {
        let conditions = self.restrictions().map(|(source, availability)| self.condition(source, availability, policy));
        let checks = self.checks.iter().zip(&policy.checks).map(|(state, check)| CheckStatus {
            name: check.name.clone(),
            up: state.up,
            since: state.since,
            last_error: state.last_error.clone(),
        });
        HealthStatus {
            id: self.id.clone(),
            availability: self.availability(),
            conditions: conditions.collect(),
            checks: checks.collect(),
        }
    }

    /// Adds the actions that report the present state of the endpoint to the pool and to listeners.
    pub(super) fn publish(&mut self, policy: &HealthPolicy, now: Timestamp, actions: &mut VecDeque<Action>) {
        let availability = self.availability();
        let id = self.id.clone();
        if self.set_availability.replace(availability) != Some(availability) {
            actions.push_back(Action::SetAvailability { id: id.clone(), availability });
        }
        let from = std::mem::replace(&mut self.notified, availability);
        if from != availability {
            let first = self.restrictions().next();
            let (source, reason) = match first {
                Some((source, availability)) => (source, self.condition(source, availability, policy).reason),
                None => (self.last_source, "recovered".to_owned()),
            };
            self.last_source = source;
            actions.push_back(Action::Notify(AvailabilityChange {
                id,
                from,
                to: availability,
                source,
                reason,
                at: now,
            }));
        }
        if let Some(percent) = self.agent.weight_percent
            && self.set_weight.replace(percent) != Some(percent)
        {
            actions.push_back(Action::SetWeightPercent { id: self.id.clone(), percent });
        }
        if let Some(max_in_flight) = self.agent.max_in_flight
            && self.set_max_in_flight.replace(max_in_flight) != Some(max_in_flight)
        {
            actions.push_back(Action::SetMaxInFlight { id: self.id.clone(), max_in_flight });
        }
    }
}
