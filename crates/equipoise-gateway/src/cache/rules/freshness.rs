//! Whether a stored response may answer a request now (RFC 9111, 4).

use std::time::{Duration, SystemTime};

use super::{
    control::RequestControl,
    policy::{NEVER_STALE, NO_CACHE},
};
use crate::cache::store::Head;

/// How a stored response may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// It answers the request.
    Fresh,
    /// It is stale, and the client accepts that.
    AcceptedStale,
    /// It is stale and answers the request, while it is validated in the background.
    WhileRevalidate,
    /// It is stale: it must be validated first.
    Stale,
    /// It is fresh, but the request asks for validation.
    Requested,
}

/// Decides how a stored response may be used.
pub(crate) fn judge(head: &Head, request: &RequestControl, max_stale: Duration, now: SystemTime) -> Use {
    let age = age(head, now);
    let is_fresh = head.flags & NO_CACHE == 0 && age < head.fresh_for;
    let validate = if is_fresh { Use::Requested } else { Use::Stale };
    if head.flags & NO_CACHE != 0 {
        return Use::Stale;
    }
    if request.no_cache {
        return validate;
    }
    if let Some(limit) = request.max_age.or_stale()
        && age > Duration::from_secs(limit).saturating_add(accepted(request))
    {
        return validate;
    }
    // `max-age=0` asks for validation even if the response is younger than a second.
    if request.max_age.or_stale() == Some(0) && accepted(request).is_zero() {
        return validate;
    }
    if let Some(least) = request.min_fresh.valid()
        && head.fresh_for.saturating_sub(age) < Duration::from_secs(least)
    {
        return validate;
    }
    if is_fresh {
        return Use::Fresh;
    }
    if head.flags & NEVER_STALE != 0 {
        return Use::Stale;
    }
    let stale_for = age.saturating_sub(head.fresh_for);
    // A response without any freshness is stale since ever: only its own directives may allow its use.
    if !head.fresh_for.is_zero() && !accepted(request).is_zero() && stale_for <= accepted(request).min(max_stale) {
        return Use::AcceptedStale;
    }
    if stale_for < head.stale_while_revalidate {
        return Use::WhileRevalidate;
    }
    Use::Stale
}

fn accepted(request: &RequestControl) -> Duration {
    Duration::from_secs(request.max_stale.valid().unwrap_or(0))
}

/// Returns whether a stale response may be used because the backend has failed (RFC 5861, 4).
pub(crate) fn usable_on_error(head: &Head, request: &RequestControl, now: SystemTime) -> bool {
    let age = age(head, now);
    if head.flags & (NEVER_STALE | NO_CACHE) != 0 || request.no_cache {
        return false;
    }
    age < head.fresh_for.saturating_add(head.stale_if_error)
}

/// Returns the current age (RFC 9111, 4.2.3).
pub(crate) fn age(head: &Head, now: SystemTime) -> Duration {
    head.initial_age.saturating_add(now.duration_since(head.response_time).unwrap_or_default())
}

/// Returns for how many more seconds the response is fresh. It is negative if the response is stale.
pub(crate) fn ttl(head: &Head, now: SystemTime) -> i64 {
    let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    seconds(head.fresh_for).saturating_sub(seconds(age(head, now)))
}
