use std::{sync::Arc, time::Duration};

use equipoise_affinity::source::ClientAddress;
use equipoise_proxy::error::ErrorResponses;
use http::StatusCode;
use tower_layer::Layer;

use super::{
    super::{InvalidRateLimit, LimitKey, MissingKey, key::KeyHasher},
    InFlight, InFlightStats,
    gate::Gate,
    permits::Permits,
};
use crate::InvalidSetting;

/// Limits how many requests of a key are in flight at the same time. Wraps services in [`InFlight`].
///
/// A request is in flight until its response body has ended, has failed or is dropped, or until the response future is
/// dropped. A request above the limit gets status 429 with the code `too_many_in_flight`; it does not wait.
///
/// A tunnel, such as a WebSocket connection, is in flight until it ends, if its response has a
/// [`TunnelLease`](equipoise_tower::TunnelLease), as those of a balancer have. Otherwise, it is in flight until the
/// response with status 101 has been sent.
///
/// Clones of a layer, and all services that it has wrapped, share their counts. Several layers can be stacked.
///
/// ```
/// use equipoise_gateway::limit::{InFlightLayer, LimitKey};
///
/// let layer = InFlightLayer::builder(LimitKey::identity(), 20).build()?;
/// # drop(layer);
/// # Ok::<(), equipoise_gateway::limit::InvalidRateLimit>(())
/// ```
#[derive(Clone, Debug)]
pub struct InFlightLayer {
    gate: Arc<Gate>,
}

impl InFlightLayer {
    /// Creates a layer that limits the requests of each client address of the connection. Behind other proxies, use
    /// [`builder`](Self::builder) and a [`ClientAddress`] that trusts the proxies. Under a server that does not set
    /// [`PeerAddr`](equipoise_affinity::source::PeerAddr), such as `axum::serve`, see [`LimitKey::client`].
    ///
    /// # Errors
    ///
    /// [`InvalidRateLimit`] if `max` is 0.
    pub fn per_client(max: u32) -> Result<Self, InvalidRateLimit> {
        Self::builder(LimitKey::client(ClientAddress::connection()), max).build()
    }

    /// Returns settings of a layer that lets `max` requests of each key be in flight. `max` is at least 1.
    pub fn builder(key: LimitKey, max: u32) -> InFlightBuilder {
        InFlightBuilder {
            key,
            max,
            missing: MissingKey::default(),
            status: StatusCode::TOO_MANY_REQUESTS,
            retry_after: None,
            errors: ErrorResponses::new(),
        }
    }

    /// Returns whether the key contains [`LimitKey::identity`]. Such a layer belongs inside of the authentication.
    /// Closures of [`LimitKey::custom`] that read the identity are not known.
    pub fn uses_identity(&self) -> bool {
        self.gate.key.uses_identity()
    }

    /// Returns counters and the current state. O(number of keys in flight).
    pub fn stats(&self) -> InFlightStats {
        self.gate.permits.stats()
    }
}

impl<S> Layer<S> for InFlightLayer {
    type Service = InFlight<S>;

    fn layer(&self, inner: S) -> InFlight<S> {
        InFlight::new(inner, Arc::clone(&self.gate))
    }
}

/// Settings from which an [`InFlightLayer`] is built. Returned by [`InFlightLayer::builder`].
#[derive(Debug)]
#[must_use]
pub struct InFlightBuilder {
    key: LimitKey,
    max: u32,
    missing: MissingKey,
    status: StatusCode,
    retry_after: Option<Duration>,
    errors: ErrorResponses,
}

impl InFlightBuilder {
    /// Sets what happens to requests without the key. Default: [`MissingKey::Shared`].
    pub fn missing(mut self, missing: MissingKey) -> Self {
        self.missing = missing;
        self
    }

    /// Sets the status of the response for a denied request. Range: 400 to 599. Default: 429.
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Adds `Retry-After` with this time, rounded up to seconds, to the responses for denied requests. Default: not
    /// added, because it is not known when a request will end.
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Sets the form of the responses for denied requests. Default: [`ErrorResponses::new`].
    pub fn errors(mut self, errors: ErrorResponses) -> Self {
        self.errors = errors;
        self
    }

    /// Builds the layer.
    ///
    /// # Errors
    ///
    /// [`InvalidRateLimit`] if `max` is 0 or the status is out of range.
    pub fn build(self) -> Result<InFlightLayer, InvalidRateLimit> {
        let Self { key, max, missing, status, retry_after, errors } = self;
        if max == 0 {
            return Err(InvalidSetting::new("max", max, "at least 1").into());
        }
        InvalidRateLimit::check_status(status)?;
        let (hasher, permits) = (KeyHasher::default(), Arc::new(Permits::new(max)));
        Ok(InFlightLayer { gate: Arc::new(Gate { key, missing, status, retry_after, errors, hasher, permits }) })
    }
}
