//! Admission: whether an endpoint accepts a request, what the request takes of it, and why it is refused.
//!
//! Three things can refuse: the endpoint's limit, of which the request takes a permit; probation, of which it takes the
//! pass; and the strategy, in [`Strategy::admit`]. What was taken is given back when the lease ends.

use super::settings::PoolSettings;
use crate::{binding::MissReason, endpoint::Admission, request::PickRequest, strategy::Strategy, view::Member};

/// Whether a request needs the pass of an endpoint.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PassRule {
    /// The endpoint is not on probation.
    None,
    /// The first request takes the pass, and others are admitted without it: in a panic, or if the binding is forced.
    Optional,
    /// Only the request with the pass is admitted.
    Required,
}

/// Which requests can use free capacity at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum UsableBy {
    /// Only forced ones: the endpoint is unhealthy or in maintenance, or on probation with its pass out.
    Forced,
    /// Only those that are bound to the endpoint or prefer it: it is draining or has weight 0.
    Bound,
    /// All: the endpoint is eligible.
    All,
}

/// Asks the endpoint to admit a request: takes a permit if there is a limit, and the pass if it is on probation, and
/// asks the strategy if it counts leases. Returns `None` if one of them refuses. An explained pick only looks, and
/// takes nothing.
#[inline]
pub(super) fn admit(
    member: &Member,
    pass: PassRule,
    request: &PickRequest<'_>,
    settings: &PoolSettings,
    explained: bool,
) -> Option<Admission> {
    let endpoint = &*member.endpoint;
    let limited = member.max_in_flight().is_some();
    if explained {
        return would_admit(member, pass);
    }
    if pass == PassRule::Required && endpoint.probation.is_out() {
        return None;
    }
    let mut admission = Admission::default();
    if limited {
        admission.permit = endpoint.permits.try_acquire();
        if !admission.permit {
            return None;
        }
    }
    if pass != PassRule::None {
        admission.pass = endpoint.probation.try_take();
    }
    let may = pass != PassRule::Required || admission.pass.is_some();
    if may && (!settings.needs.leases || settings.strategy.admit(&endpoint.state, endpoint, request)) {
        return Some(admission);
    }
    if admission.is_scarce() {
        endpoint.give_back(admission);
        settings.context.given_back(endpoint.slot());
    }
    None
}

#[cold]
fn would_admit(member: &Member, pass: PassRule) -> Option<Admission> {
    why_refused(member, pass).is_none().then(Admission::default)
}

/// Returns why the endpoint would refuse a request now, or `None`. Does not ask the strategy.
pub(super) fn why_refused(member: &Member, pass: PassRule) -> Option<MissReason> {
    if member.max_in_flight().is_some() && member.endpoint.permits.exhausted() {
        return Some(MissReason::Full);
    }
    (pass == PassRule::Required && member.endpoint.probation.is_out()).then_some(MissReason::OnProbation)
}
