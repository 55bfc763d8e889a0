use std::time::Duration;

/// What happens to a request that cannot go to the endpoint of its session. Either the session is not bound to an
/// endpoint, or it is bound to an endpoint that cannot serve the request.
///
/// [`Affinity::missing`](crate::Affinity::missing) sets this for requests of a session that is not bound to an
/// endpoint. [`Affinity::unavailable`](crate::Affinity::unavailable) sets this for requests that the endpoint of their
/// session cannot serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnUnavailable {
    /// The balancer chooses an endpoint for the request, and the session is bound to the chosen endpoint from then on.
    /// This is the default.
    ///
    /// There is one exception: the session is bound to an endpoint that is only
    /// [temporarily](equipoise_core::MissReason::is_temporary) unable to serve requests, for example because this
    /// endpoint has reached its limit on requests. The session then stays bound to this endpoint, and the chosen
    /// endpoint serves this request only.
    ///
    /// The endpoint is chosen by rendezvous hashing of the session's key, so that all balancers choose the same
    /// endpoint (see [`Binding`](equipoise_core::Binding)). In two cases, the strategy picks the endpoint instead:
    ///
    /// - The session is not bound to an endpoint.
    /// - The session's cookie does not identify the session. For example, with
    ///   [`EndpointNaming::ids`](crate::EndpointNaming::ids), all sessions of an endpoint have the same cookie value.
    #[default]
    Rebind,
    /// The request fails. The error depends on the case:
    ///
    /// - The session is bound to an endpoint that has just failed the request: the error of this endpoint.
    /// - The session is bound to an endpoint that cannot serve the request for another reason:
    ///   [`PickError::Bound`](equipoise_core::PickError::Bound), which contains the reason.
    /// - The session is not bound to an endpoint: [`PickError::Unbound`](equipoise_core::PickError::Unbound). The
    ///   request does not reach the balancer.
    ///
    /// For a `PickError`, a gateway usually answers its client with status 503.
    Refuse,
    /// The request waits for an endpoint, for at most this time. If the request cannot be served by then, it fails
    /// with a [`PickError`](equipoise_core::PickError) that contains the reason.
    ///
    /// - If the session of the request is bound to an endpoint, the request waits for this endpoint. The request
    ///   continues to wait if this endpoint leaves the pool, because the endpoint may join again. If an attempt to
    ///   send the request to this endpoint has failed, the request does not wait: it fails with the error of that
    ///   attempt.
    /// - If the session is not bound to an endpoint, the request waits for any endpoint that the strategy may pick.
    Wait(Duration),
}

impl OnUnavailable {
    /// Returns a stable label for metrics and logs: `rebind`, `refuse` or `wait`, without the time of
    /// [`Wait`](Self::Wait).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rebind => "rebind",
            Self::Refuse => "refuse",
            Self::Wait(_) => "wait",
        }
    }
}

/// What happens in each of the two cases. The settings of an [`Affinity`](super::Affinity).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct UnavailableSettings {
    /// For a request that is not bound to an endpoint.
    pub(super) missing: OnUnavailable,
    /// For a request that is bound to an endpoint that cannot serve it.
    pub(super) unavailable: OnUnavailable,
}
