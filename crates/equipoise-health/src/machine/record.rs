use std::collections::VecDeque;

use equipoise_core::{Availability, EndpointId, Timestamp};

use super::{
    check::CheckState,
    event::{Action, Change, Order, Source},
    requests::{Phase, RequestState},
};
use crate::{
    agent::{AgentAdmin, AgentReply, AgentState},
    settings::Policy,
};

/// What is known of one endpoint.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) id: EndpointId,
    operator: Operator,
    pub(super) drained_at: Option<Timestamp>,
    agent: AgentState,
    agent_since: Timestamp,
    pub(super) checks: Box<[CheckState]>,
    pub(super) requests: RequestState,
    requests_since: Timestamp,
    /// What was published last, and who had something against it then.
    shown: Availability,
    last_against: Source,
    percent: u32,
    limit: Option<u32>,
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
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Standing {
    /// Who.
    pub id: EndpointId,
    /// What follows from it.
    pub availability: Availability,
    /// Every source that has something against it, the most important first. Empty for one that is fit.
    pub opinions: Vec<Opinion>,
}

/// What one source has against an endpoint.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Opinion {
    /// Who says so.
    pub source: Source,
    /// What should follow.
    pub availability: Availability,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

impl Record {
    pub(super) fn new(id: EndpointId, policy: &Policy, now: Timestamp) -> Self {
        Self {
            id,
            operator: Operator { wants: Wants::Ready, since: now },
            drained_at: None,
            agent: AgentState::default(),
            agent_since: now,
            checks: policy.checks.iter().map(|check| CheckState::new(&check.schedule, now)).collect(),
            requests: RequestState::default(),
            requests_since: now,
            shown: Availability::Open,
            last_against: Source::Checks,
            percent: 100,
            limit: None,
        }
    }

    pub(super) fn agent_said(&mut self, reply: &AgentReply, now: Timestamp) {
        let before = self.agent.clone();
        self.agent.apply(reply);
        if (self.agent.admin, &self.agent.down) != (before.admin, &before.down) {
            self.agent_since = now;
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

    pub(super) fn drain_is_over(&mut self, now: Timestamp) {
        self.operator = Operator { wants: Wants::Drained, since: now };
    }

    pub(super) fn enter(&mut self, phase: Phase, now: Timestamp) {
        self.requests.phase = phase;
        self.requests_since = now;
    }

    /// Everything that anybody has against it, the most important first.
    fn opinions<'a>(&'a self, policy: &'a Policy) -> impl Iterator<Item = Opinion> + 'a {
        let opinion = |source, availability, since, reason: String| Opinion { source, availability, reason, since };
        let operator = match self.operator.wants {
            Wants::Ready => None,
            Wants::Drain => Some((Availability::BoundOnly, "it is to drain")),
            Wants::Drained => Some((Availability::Closed, "its time to drain is over")),
            Wants::Maintenance => Some((Availability::Closed, "it is in maintenance")),
        };
        let operator = operator
            .map(|(availability, why)| opinion(Source::Operator, availability, self.operator.since, why.to_owned()));
        let down = self.agent.down.as_ref().map(|reason| (Availability::Closed, reason.clone()));
        let agent = match self.agent.admin {
            AgentAdmin::Maintenance => Some((Availability::Closed, "maintenance".to_owned())),
            AgentAdmin::Drain => Some(down.unwrap_or((Availability::BoundOnly, "drain".to_owned()))),
            AgentAdmin::Ready => down,
        };
        let agent = agent.map(|(availability, reason)| opinion(Source::Agent, availability, self.agent_since, reason));
        let checks =
            self.checks.iter().zip(&policy.checks).filter(|(state, _)| !state.up).map(move |(state, check)| {
                let reason = state.reason.as_deref().unwrap_or("it has not passed yet");
                opinion(Source::Checks, Availability::Unfit, state.since, format!("{}: {reason}", check.name))
            });
        let availability = match self.requests.phase {
            Phase::Serving => None,
            Phase::Ejected | Phase::Paused => Some(Availability::Unfit),
            Phase::OnTrial => Some(Availability::Trial),
        };
        let requests = availability.map(|availability| {
            opinion(Source::Requests, availability, self.requests_since, self.requests.reason.clone())
        });
        operator.into_iter().chain(agent).chain(checks).chain(requests)
    }

    /// What follows from all opinions: the strictest, and an endpoint that drains and is unfit is of no use to anybody.
    fn availability(&self, policy: &Policy) -> Availability {
        self.opinions(policy).fold(Availability::Open, |all, one| match (all, one.availability) {
            (Availability::Closed, _) | (_, Availability::Closed) => Availability::Closed,
            (Availability::BoundOnly, Availability::Unfit) | (Availability::Unfit, Availability::BoundOnly) => {
                Availability::Closed
            }
            (Availability::BoundOnly, _) | (_, Availability::BoundOnly) => Availability::BoundOnly,
            (Availability::Unfit, _) | (_, Availability::Unfit) => Availability::Unfit,
            (Availability::Trial, _) | (_, Availability::Trial) => Availability::Trial,
            _ => Availability::Open,
        })
    }

    pub(super) fn standing(&self, policy: &Policy) -> Standing {
        let availability = self.availability(policy);
        Standing { id: self.id.clone(), availability, opinions: self.opinions(policy).collect() }
    }

    /// Says what is new about it, if anything is.
    pub(super) fn publish(&mut self, policy: &Policy, now: Timestamp, actions: &mut VecDeque<Action>) {
        let availability = self.availability(policy);
        let from = std::mem::replace(&mut self.shown, availability);
        if from != availability {
            let (source, reason) = match self.opinions(policy).next() {
                Some(opinion) => (opinion.source, opinion.reason),
                None => (self.last_against, "it is well again".to_owned()),
            };
            self.last_against = source;
            let id = self.id.clone();
            actions.push_back(Action::Set { id: id.clone(), availability });
            actions.push_back(Action::Tell(Change { id, from, to: availability, source, reason, at: now }));
        }
        if std::mem::replace(&mut self.percent, self.agent.weight) != self.agent.weight {
            actions.push_back(Action::Weigh { id: self.id.clone(), percent: self.agent.weight });
        }
        if std::mem::replace(&mut self.limit, self.agent.limit) != self.agent.limit {
            actions.push_back(Action::Limit { id: self.id.clone(), limit: self.agent.limit });
        }
    }
}
