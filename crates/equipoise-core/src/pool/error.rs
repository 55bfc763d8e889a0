use crate::{
    binding::MissReason,
    endpoint::{EndpointId, InvalidSpec, Slot},
    strategy::BuildError,
};

/// Why nobody was picked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PickError {
    /// The pool has no endpoints.
    #[error("the pool has no endpoints")]
    Empty,
    /// No endpoint takes new work: all are closed, draining or of weight 0.
    #[error("none of the {members} endpoints takes new work")]
    Unavailable {
        /// How many endpoints there are.
        members: usize,
    },
    /// The endpoints that take new work, and are not excluded, are at their limit or on a trial that somebody else has,
    /// or the strategy lets no more in.
    #[error("the endpoints that take new work are at their limit, or the strategy lets no more in")]
    Saturated,
    /// All endpoints that take new work are excluded.
    #[error("all endpoints that take new work are excluded from this request")]
    Excluded,
    /// The request is [strictly](crate::Binding::strict) bound to an endpoint that cannot take it.
    #[error("the request is bound to an endpoint that cannot take it: {missed}")]
    Bound {
        /// Why it cannot.
        missed: MissReason,
    },
    /// The request is bound to nobody, and only such as are bound are let in. Pools never say this themselves.
    #[error("the request has no session, and only requests that have one are let in")]
    Unbound,
    /// The strategy found nobody although there were usable endpoints without a limit.
    #[error("the strategy declined to choose among usable endpoints")]
    Declined,
    /// The strategy chose a slot that is empty, not eligible, or excluded.
    #[error("the strategy chose slot {}, which cannot be picked for this request", slot.index())]
    Misbehaved {
        /// The slot that it chose.
        slot: Slot,
    },
    /// The strategy panicked. The pool stays usable. (Void under `panic = "abort"`.)
    #[error("the strategy panicked while it picked")]
    Panicked,
}

impl PickError {
    /// Whether [waiting](crate::Pool::acquire) may help: an endpoint may join, open or get room, and a strategy that found
    /// none may find one.
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::Empty | Self::Unavailable { .. } | Self::Saturated | Self::Declined => true,
            Self::Bound { missed, .. } => !matches!(missed, MissReason::Excluded),
            Self::Unbound | Self::Excluded | Self::Misbehaved { .. } | Self::Panicked => false,
        }
    }
}

/// Why a change was refused. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// The endpoints, as they would have been, are not valid.
    #[error(transparent)]
    Invalid(#[from] InvalidSpec),
    /// No endpoint has this id.
    #[error("the pool has no endpoint {id:?}")]
    Unknown {
        /// The id that was asked for.
        id: EndpointId,
    },
    /// There is an endpoint with this id already.
    #[error(
        "the pool has an endpoint {id:?} already: use `replace` to give it another target, `update` for its settings"
    )]
    Exists {
        /// The id that was to be added.
        id: EndpointId,
    },
    /// The `make` of [`try_update_with`](crate::Pool::try_update_with) kept the target of an endpoint that has none yet.
    #[error("endpoint {id:?} joins and has no target to keep: make one for it")]
    NoTarget {
        /// The endpoint's id.
        id: EndpointId,
    },
    /// More endpoints than a slot can number.
    #[error("{count} endpoints are more than a pool can hold: at most {}", u32::MAX)]
    TooMany {
        /// How many there would have been.
        count: usize,
    },
    /// The strategy made no picker for them.
    #[error(transparent)]
    Strategy(#[from] BuildError),
}

/// Why [`try_update`](crate::Pool::try_update) changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TryUpdateError<E> {
    /// The endpoints, as they would have been, are refused.
    #[error(transparent)]
    Update(#[from] UpdateError),
    /// No target could be made for an endpoint.
    #[error("no target could be made for endpoint {id:?}")]
    Make {
        /// The endpoint's id.
        id: EndpointId,
        /// The error of the closure that makes targets.
        source: E,
    },
}
