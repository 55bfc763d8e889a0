use crate::{
    binding::MissReason,
    endpoint::InvalidSpec,
    ids::{EndpointId, Slot},
    strategy::BuildError,
};

/// Why a pick failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PickError {
    /// The pool has no endpoints.
    #[error("the pool has no endpoints")]
    Empty,
    /// No endpoint is eligible: all are unhealthy, draining, in maintenance or of weight 0.
    #[error("none of the {members} endpoints takes new work")]
    Unavailable {
        /// The number of endpoints in the pool.
        members: usize,
    },
    /// All eligible endpoints that the request does not exclude are busy: at their limit, on probation with their one
    /// request out, or refused by the strategy.
    #[error("the endpoints that take new work are at their limit, or the strategy lets no more in")]
    Saturated,
    /// The request excludes all eligible endpoints.
    #[error("all endpoints that take new work are excluded from this request")]
    Excluded,
    /// The request is [strictly](crate::Binding::strict) bound to an endpoint that cannot serve it now.
    #[error("the request is bound to an endpoint that cannot take it: {missed}")]
    Bound {
        /// Why the endpoint cannot serve it.
        missed: MissReason,
    },
    /// The request has no session, and only requests with a session are accepted. A pool never returns this error;
    /// crates that handle sessions do.
    #[error("the request has no session, and only requests that have one are let in")]
    Unbound,
    /// The strategy picked no endpoint although some were usable and have no limit.
    #[error("the strategy declined to choose among usable endpoints")]
    Declined,
    /// The strategy picked a slot that is empty, not eligible, or excluded by the request: an error in the strategy.
    #[error("the strategy chose slot {}, which cannot be picked for this request", slot.index())]
    Misbehaved {
        /// The slot that the strategy picked.
        slot: Slot,
    },
    /// The strategy panicked. The pool stays usable. Does not occur with `panic = "abort"`, which ends the process.
    #[error("the strategy panicked while it picked")]
    Panicked,
}

impl PickError {
    /// The kind of error as a stable label for metrics and logs, without its details.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Unavailable { .. } => "unavailable",
            Self::Saturated => "saturated",
            Self::Excluded => "excluded",
            Self::Bound { .. } => "bound",
            Self::Unbound => "unbound",
            Self::Declined => "declined",
            Self::Misbehaved { .. } => "misbehaved",
            Self::Panicked => "panicked",
        }
    }

    /// Returns whether [waiting](crate::Pool::acquire) may help: an endpoint may join, come up or have capacity again,
    /// and the strategy may find one later.
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::Empty | Self::Unavailable { .. } | Self::Saturated | Self::Declined => true,
            Self::Bound { missed, .. } => !matches!(missed, MissReason::Excluded),
            Self::Unbound | Self::Excluded | Self::Misbehaved { .. } | Self::Panicked => false,
        }
    }
}

/// Why a change of the pool was refused. The pool is as it was before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// A spec, or the set of specs, is not valid.
    #[error(transparent)]
    Invalid(#[from] InvalidSpec),
    /// No endpoint has this id.
    #[error("the pool has no endpoint {id:?}")]
    Unknown {
        /// The id that the pool does not have.
        id: EndpointId,
    },
    /// The pool has an endpoint of this id already.
    #[error(
        "the pool has an endpoint {id:?} already: use `replace` to give it another target, `update` for its settings"
    )]
    Exists {
        /// The id that exists already.
        id: EndpointId,
    },
    /// The closure given to [`try_update_with`](crate::Pool::try_update_with) returned `None` for an endpoint that
    /// joins and has no target yet.
    #[error("endpoint {id:?} joins and has no target to keep: make one for it")]
    NoTarget {
        /// The id of the endpoint.
        id: EndpointId,
    },
    /// There would be more than 2³² − 1 endpoints, which is more than slots can number.
    #[error("{count} endpoints are more than a pool can hold: at most {}", u32::MAX)]
    TooMany {
        /// The number of endpoints that were given.
        count: usize,
    },
    /// The strategy could not build a picker for the new set of endpoints.
    #[error(transparent)]
    Strategy(#[from] BuildError),
}

impl UpdateError {
    /// The kind of error as a stable label for metrics and logs, without its details.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid",
            Self::Unknown { .. } => "unknown",
            Self::Exists { .. } => "exists",
            Self::NoTarget { .. } => "no_target",
            Self::TooMany { .. } => "too_many",
            Self::Strategy(_) => "strategy",
        }
    }
}

/// Why [`Pool::try_update`](crate::Pool::try_update) or [`Pool::try_update_with`](crate::Pool::try_update_with) failed.
/// The pool is as it was before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TryUpdateError<E> {
    /// The change was refused.
    #[error(transparent)]
    Update(#[from] UpdateError),
    /// The closure that makes targets failed for an endpoint.
    #[error("no target could be made for endpoint {id:?}")]
    Make {
        /// The id of the endpoint.
        id: EndpointId,
        /// The error of the closure that makes targets.
        source: E,
    },
}
