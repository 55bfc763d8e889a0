use crate::{
    binding::MissReason,
    endpoint::InvalidSpec,
    ids::{EndpointId, Slot},
    strategy::BuildError,
};

/// The error of a pick: why no endpoint was picked for a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PickError {
    /// The pool has no endpoints.
    #[error("the pool has no endpoints")]
    Empty,
    /// No endpoint of the pool accepts new requests. Each endpoint is unhealthy, is draining, is in maintenance or has
    /// weight 0.
    #[error("none of the {members} endpoints accepts new requests")]
    Unavailable {
        /// The number of endpoints in the pool.
        members: usize,
    },
    /// All endpoints that the request could use are busy. These are the endpoints that accept new requests and that the
    /// request does not exclude. An endpoint is busy if at least one of these conditions is true:
    ///
    /// - The endpoint has reached its maximum number of requests in flight.
    /// - The endpoint is on [probation](crate::Availability::Probation), and its single request has been sent already.
    /// - The strategy does not [admit](crate::Strategy::admit) the request to the endpoint.
    #[error("all endpoints that accept new requests are at their limit, or the strategy refuses the request")]
    Saturated,
    /// The request [excludes](crate::PickRequest::exclude) all endpoints that accept new requests. An endpoint does not
    /// accept new requests if it is unhealthy, is draining, is in maintenance or has weight 0.
    #[error("the request excludes all endpoints that accept new requests")]
    Excluded,
    /// The request is [strictly](crate::Binding::strict) bound to an endpoint, and this endpoint cannot serve the
    /// request now.
    #[error("the request is strictly bound to an endpoint that cannot serve it: {missed}")]
    Bound {
        /// Why the bound endpoint cannot serve the request.
        missed: MissReason,
    },
    /// The request has no session, and only requests with a session are accepted. A pool never returns this error.
    /// Crates that handle sessions, such as `equipoise-affinity`, return it.
    #[error("the request has no session, and only requests with a session are accepted")]
    Unbound,
    /// The strategy picked no endpoint, although at least one endpoint could have been picked: this endpoint accepts
    /// new requests, has no maximum number of requests in flight, is not on probation and is not excluded by the
    /// request.
    #[error("the strategy picked no endpoint, although some are usable")]
    Declined,
    /// The strategy has a bug. It picked an empty [slot](crate::Slot), an endpoint that does not accept new requests,
    /// or an endpoint that the request excludes.
    #[error("the strategy picked slot {}, which is not usable for this request", slot.index())]
    Misbehaved {
        /// The slot (position in the pool) that the strategy picked.
        slot: Slot,
    },
    /// The strategy panicked during the pick. The pool can still be used. If the program is compiled with `panic =
    /// "abort"`, the process ends instead, and this error does not occur.
    #[error("the strategy panicked during the pick")]
    Panicked,
}

impl PickError {
    /// Returns the kind of this error as a stable label for metrics and logs, such as `saturated`. The label contains
    /// no details such as ids or numbers.
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

    /// Returns whether the error is temporary: a later pick for the same request may succeed, for example after an
    /// endpoint has joined, come up or got free capacity. [`Pool::acquire`](crate::Pool::acquire) waits while picks
    /// fail with temporary errors.
    ///
    /// True for `Empty`, `Unavailable`, `Saturated` and `Declined`. Also true for `Bound`, unless the request excludes
    /// the bound endpoint. False for all other errors.
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::Empty | Self::Unavailable { .. } | Self::Saturated | Self::Declined => true,
            Self::Bound { missed, .. } => !matches!(missed, MissReason::Excluded),
            Self::Unbound | Self::Excluded | Self::Misbehaved { .. } | Self::Panicked => false,
        }
    }
}

/// The error of a method that changes a pool, such as [`Pool::update`](crate::Pool::update): why the change was
/// refused. The pool has not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// The specs of the endpoints are invalid. The value says why: for example, a spec has an invalid address, two
    /// specs have the same id, or no spec has a weight above 0.
    #[error(transparent)]
    Invalid(#[from] InvalidSpec),
    /// The pool has no endpoint with the id that was passed to the method.
    #[error("the pool has no endpoint {id:?}")]
    Unknown {
        /// The id that was passed to the method. No endpoint of the pool has it.
        id: EndpointId,
    },
    /// The endpoint cannot be added, because the pool already has an endpoint with its id.
    #[error(
        "the pool has an endpoint {id:?} already: use `replace` to give it another target, `update` for its settings"
    )]
    Exists {
        /// The id in the spec that was passed to the method. An endpoint of the pool has it already.
        id: EndpointId,
    },
    /// An endpoint would join without a target (what requests are sent with, such as a client), because the closure
    /// passed to [`try_update_with`](crate::Pool::try_update_with) returned `Ok(None)` for it.
    #[error("endpoint {id:?} joins and has no target yet: return `Some(target)` for it")]
    NoTarget {
        /// The id of the endpoint that has no target.
        id: EndpointId,
    },
    /// The pool would have more than 2³² − 1 endpoints, which is the maximum.
    #[error("{count} endpoints are too many: a pool has at most {}", u32::MAX)]
    TooMany {
        /// The number of endpoints that the pool would have.
        count: usize,
    },
    /// The strategy could not build a picker (the part of the strategy that picks endpoints) for the changed endpoints.
    /// The value says why.
    #[error(transparent)]
    Strategy(#[from] BuildError),
}

impl UpdateError {
    /// Returns the kind of this error as a stable label for metrics and logs, such as `no_target`. The label contains
    /// no details such as ids or numbers.
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

/// The error of [`Pool::try_update`](crate::Pool::try_update) or
/// [`Pool::try_update_with`](crate::Pool::try_update_with). The pool has not changed. `E` is the error type of the
/// closure that makes targets (what requests are sent with, such as clients).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TryUpdateError<E> {
    /// The pool or its strategy refused the change. The value says why.
    #[error(transparent)]
    Update(#[from] UpdateError),
    /// The closure that makes targets (what requests are sent with, such as clients) returned an error for an endpoint.
    #[error("no target could be made for endpoint {id:?}")]
    Make {
        /// The id of the endpoint for which the closure returned an error.
        id: EndpointId,
        /// The error that the closure returned.
        source: E,
    },
}
