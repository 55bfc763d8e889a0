use std::{collections::VecDeque, time::Duration};

use equipoise_core::{Availability, EndpointId, Timestamp};

use super::{
    check::CheckState,
    event::{Action, Change, Order, Source},
    requests::{Phase, RequestState},
};
use crate::{
    agent::{AgentAdmin, AgentHealth, AgentReply, AgentState},
    settings::{CheckPolicy, Policy},
};

/// What is known of one endpoint.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) id: EndpointId,
    operator: Operator,
    pub(super) drained_at: Option<Timestamp>,
    agent: AgentState,
    /// What it said when it changed its mind last.
    agent_text: String,
    agent_since: Timestamp,
    pub(super) checks: Box<[CheckState]>,
    pub(super) requests: RequestState,
    /// Whether it counts among those that are out for their requests.
    pub(super) counted: bool,
    /// Whether no look has ended yet.
    pub(super) unseen: bool,
    requests_since: Timestamp,
    /// What was published last, and who had something against it then.
    shown: Option<Availability>,
    told: Availability,
    last_against: Source,
    weight: Option<u32>,
    limit: Option<Option<u32>>,
}

#[derive(Clone, Copy, Debug)]
struct Operator {
    wants: Wants,
    since: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    Ready,
    Drain,
    /// The drain's deadline has passed.
    Drained,
    Maintenance,
}

/// What is thought of an endpoint, and by whom.
///
/// With the feature `serde` it can be serialized, as can what it consists of: ids and availability as they are displayed,
/// timestamps as nanoseconds on the clock that the machine is told.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Standing {
    /// Who.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::text::display"))]
    pub id: EndpointId,
    /// What follows from it.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::text::display"))]
    pub availability: Availability,
    /// Every source that has something against it, the most important first. Empty for one that is fit.
    pub opinions: Vec<Opinion>,
    /// What each check and agent says, in the order of the policy.
    pub checks: Vec<Looks>,
}

/// What the looks of one check have come to.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Looks {
    /// Which check.
    pub name: String,
    /// Whether it holds the endpoint to be up.
    pub up: bool,
    /// Since when.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::text::nanos"))]
    pub since: Timestamp,
    /// What was wrong at the last look, or why it said nothing. `None` if it passed.
    pub last: Option<String>,
}

/// What one source has against an endpoint.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Opinion {
    /// Who says so.
    pub source: Source,
    /// What should follow.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::text::display"))]
    pub availability: Availability,
    /// Why.
    pub reason: String,
    /// Since when.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::text::nanos"))]
    pub since: Timestamp,
}

impl Record {
    pub(super) fn new(id: EndpointId, policy: &Policy, now: Timestamp) -> Self {
        Self {
            id,
            operator: Operator { wants: Wants::Ready, since: now },
            drained_at: None,
            agent: AgentState::default(),
            agent_text: String::new(),
            agent_since: now,
            checks: policy.checks.iter().map(|check| CheckState::new(&check.schedule, now)).collect(),
            requests: RequestState::default(),
            counted: false,
            unseen: true,
            requests_since: now,
            shown: None,
            told: Availability::Up,
            last_against: Source::Checks,
            weight: None,
            limit: None,
        }
    }

    pub(super) fn agent_said(&mut self, reply: &AgentReply, now: Timestamp) {
        let before = (self.agent.admin, self.agent.health);
        self.agent.apply(reply);
        if (self.agent.admin, self.agent.health) != before {
            self.agent_since = now;
        }
        if reply.health.is_some() {
            self.agent_text.clone_from(&reply.text);
        }
    }

    pub(super) fn order(&mut self, order: Order, now: Timestamp) {
        let wants = match order {
            Order::Ready => Wants::Ready,
            Order::Drain { .. } => Wants::Drain,
            Order::Maintenance => Wants::Maintenance,
        };
        if wants != self.operator.wants {
            self.operator = Operator { wants, since: now };
        }
    }

    /// What the operator wants, for one that takes its place.
    pub(super) fn ordered(&self, now: Timestamp) -> Option<Order> {
        match self.operator.wants {
            Wants::Ready => None,
            Wants::Drain => Some(Order::Drain { deadline: self.drained_at.map(|at| at.since(now)) }),
            Wants::Drained => Some(Order::Drain { deadline: Some(Duration::ZERO) }),
            Wants::Maintenance => Some(Order::Maintenance),
        }
    }

    pub(super) fn drain_is_over(&mut self, now: Timestamp) {
        self.operator = Operator { wants: Wants::Drained, since: now };
    }

    pub(super) fn enter(&mut self, phase: Phase, now: Timestamp) {
        self.requests.phase = phase;
        self.requests_since = now;
    }

    /// Whether it is its requests alone that keep it out.
    pub(super) fn is_out_for_its_requests(&self) -> bool {
        self.requests.phase != Phase::Serving && self.against().all(|(source, _)| source == Source::Requests)
    }

    /// Another request may try it.
    pub(super) fn try_again(&self, actions: &mut VecDeque<Action>) {
        if self.shown == Some(Availability::Probation) {
            actions.push_back(Action::Set { id: self.id.clone(), availability: Availability::Probation });
        }
    }

    /// Nothing of it is known where it is shown.
    pub(super) fn forget_shown(&mut self) {
        (self.shown, self.weight, self.limit) = (None, None, None);
    }

    /// Who has something against it, the most important first, and what should follow.
    fn against(&self) -> impl Iterator<Item = (Source, Availability)> {
        let operator = match self.operator.wants {
            Wants::Ready => None,
            Wants::Drain => Some(Availability::Draining),
            Wants::Drained | Wants::Maintenance => Some(Availability::Maintenance),
        };
        let agent = match (self.agent.admin, self.agent.health) {
            (AgentAdmin::Maintenance, _) | (_, AgentHealth::Down) => Some(Availability::Maintenance),
            (AgentAdmin::Drain, _) => Some(Availability::Draining),
            _ => None,
        };
        let checks = match self.checks.iter().any(|check| check.awaited) {
            true => Some(Availability::Maintenance),
            false => self.checks.iter().any(|check| !check.up).then_some(Availability::Unhealthy),
        };
        let requests = match self.requests.phase {
            Phase::Serving => None,
            Phase::Ejected | Phase::Paused => Some(Availability::Unhealthy),
            Phase::OnTrial => Some(Availability::Probation),
        };
        let all = [
            (Source::Operator, operator),
            (Source::Agent, agent),
            (Source::Checks, checks),
            (Source::Requests, requests),
        ];
        all.into_iter().filter_map(|(source, availability)| Some((source, availability?)))
    }

    /// What follows from all opinions: the strictest, and an endpoint that drains and is unfit is of no use to anybody.
    fn availability(&self) -> Availability {
        self.against().fold(Availability::Up, |all, (_, one)| match (all, one) {
            (Availability::Up, one) => one,
            (Availability::Draining, Availability::Unhealthy) => Availability::Maintenance,
            // Strict first: the sources come in this order, but for a drain before what is stricter.
            (Availability::Draining, Availability::Maintenance) => Availability::Maintenance,
            (all, _) => all,
        })
    }

    /// What a source has against it, in words, and since when.
    fn opinion(&self, source: Source, availability: Availability, policy: &Policy) -> Opinion {
        let (reason, since) = match source {
            Source::Operator => {
                let reason = match self.operator.wants {
                    Wants::Drain => "drain",
                    Wants::Drained => "the time to drain is over",
                    _ => "maintenance",
                };
                (reason.to_owned(), self.operator.since)
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
                    format!("{}: {}", check.name, state.last.as_deref().unwrap_or("not passed yet"))
                };
                let since = down().map(|(state, _)| state.since).min().unwrap_or_default();
                (down().map(reason).collect::<Vec<_>>().join("; "), since)
            }
            Source::Requests => (self.requests.reason.clone(), self.requests_since),
        };
        Opinion { source, availability, reason, since }
    }

    pub(super) fn standing(&self, policy: &Policy) -> Standing {
        let opinions = self.against().map(|(source, availability)| self.opinion(source, availability, policy));
        let looks = self.checks.iter().zip(&policy.checks).map(|(state, check)| Looks {
            name: check.name.clone(),
            up: state.up,
            since: state.since,
            last: state.last.clone(),
        });
        Standing {
            id: self.id.clone(),
            availability: self.availability(),
            opinions: opinions.collect(),
            checks: looks.collect(),
        }
    }

    /// Says what is new about it, if anything is.
    pub(super) fn publish(&mut self, policy: &Policy, now: Timestamp, actions: &mut VecDeque<Action>) {
        let availability = self.availability();
        let id = self.id.clone();
        if self.shown.replace(availability) != Some(availability) {
            actions.push_back(Action::Set { id: id.clone(), availability });
        }
        let from = std::mem::replace(&mut self.told, availability);
        if from != availability {
            let first = self.against().next();
            let (source, reason) = match first {
                Some((source, availability)) => (source, self.opinion(source, availability, policy).reason),
                None => (self.last_against, "well again".to_owned()),
            };
            self.last_against = source;
            actions.push_back(Action::Tell(Change { id, from, to: availability, source, reason, at: now }));
        }
        if let Some(weight) = self.agent.weight.filter(|weight| self.weight.replace(*weight) != Some(*weight)) {
            actions.push_back(Action::Weigh { id: self.id.clone(), percent: weight });
        }
        if let Some(limit) = self.agent.limit.filter(|limit| self.limit.replace(*limit) != Some(*limit)) {
            actions.push_back(Action::Limit { id: self.id.clone(), limit });
        }
    }
}
