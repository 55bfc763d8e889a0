use std::time::Duration;

/// What happens to a request that cannot go where it belongs.
///
/// It is set apart for requests [without a binding](crate::Affinity::missing) and for those whose endpoint
/// [cannot take them](crate::Affinity::unavailable).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fallback {
    /// Another endpoint takes it, and the session with it, unless its endpoint only has too much to do
    /// [for the moment](equipoise_core::MissReason::is_momentary): then this request alone. For a request without a binding the one that the strategy
    /// picks; for one whose endpoint cannot take it the stand-in on which all balancers agree (see
    /// [`Binding`](equipoise_core::Binding)), or where nothing tells the session from others, the one that the strategy
    /// picks.
    #[default]
    Rebind,
    /// It fails: with the endpoint's own error, if that has just been tried; otherwise with what gateways tell as 503:
    /// [`PickError::Bound`](equipoise_core::PickError::Bound) says why, or
    /// [`PickError::Unbound`](equipoise_core::PickError::Unbound) where there is no binding. What has no binding does not
    /// reach the balancer.
    Refuse,
    /// It waits so long for its endpoint, and then fails as under [`Refuse`](Self::Refuse); without a binding it waits for
    /// whatever endpoint the strategy may pick. An endpoint that has just failed the request is not waited for; one that leaves the pool meanwhile may
    /// come back, and is.
    Wait(Duration),
}
