//! Admission: whether an endpoint accepts a request, what the request takes from it, and why it is refused.
//!
//! Three things can refuse a request:
//!
//! - the endpoint's limit, if no permit is left;
//! - the probation of an endpoint, if another request has the pass (the right to be the single request of the
//!   probation);
//! - the strategy, in [`Strategy::admit`].
//!
//! The request's lease gives back the permit and the pass when it ends.

use super::settings::PoolSettings;
use crate::{binding::MissReason, endpoint::Admission, request::PickRequest, strategy::Strategy, view::Member};

/// Whether a request needs the pass of an endpoint. An endpoint on probation serves a single request, and the pass is
/// the right to be this request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PassRule {
    /// The endpoint is not on probation, so there is no pass.
    None,
    /// The request takes the pass if it is available, and is admitted without it otherwise. This rule applies in a
    /// panic and to forced bindings.
    Optional,
    /// Only a request that gets the pass is admitted.
    Required,
}

/// Which requests can use the free capacity of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum UsableBy {
    /// Only requests with a forced binding. The endpoint is unhealthy, in maintenance, or on probation while its pass
    /// is taken.
    Forced,
    /// Only requests that are bound to the endpoint or prefer it. The endpoint is draining or has weight 0.
    Bound,
    /// All requests. The endpoint is eligible.
    All,
}

/// Admits a request to an endpoint. Takes a permit if the endpoint has a limit, and the pass if the endpoint is on
/// probation. Asks the strategy if it counts leases. Returns `None`, and takes nothing, if the permit or the pass is
/// not available or the strategy refuses the request.
///
/// If the pick is only explained, nothing is taken, and the strategy is not asked.
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

/// Returns why the endpoint would refuse a request now. `None` if the endpoint would admit the request. Does not ask
/// the strategy.
pub(super) fn why_refused(member: &Member, pass: PassRule) -> Option<MissReason> {
    if member.max_in_flight().is_some() && member.endpoint.permits.exhausted() {
        return Some(MissReason::Full);
    }
    (pass == PassRule::Required && member.endpoint.probation.is_out()).then_some(MissReason::OnProbation)
}
