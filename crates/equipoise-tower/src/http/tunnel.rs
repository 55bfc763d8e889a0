use std::sync::Arc;

use equipoise_core::{AnyTarget, Closing, Lease};

/// A response extension: the lease of a connection that has switched protocols (WebSocket and whatever else answers 101,
/// and with the feature `hyper` also CONNECT's tunnels).
///
/// Such a response has no body that the lease could ride on. Whoever runs the tunnel takes this out of the extensions and
/// keeps it until the tunnel has ended: so long the connection counts as the endpoint's, and
/// [`Pool::idle`](equipoise_core::Pool::idle) waits for it. If nobody takes it, the lease ends with the response's head.
/// Whatever happens to the endpoint meanwhile (it drains, closes, leaves), the connection stays where it is; the tunnel is
/// told by [`draining`](Self::draining) and [`closing`](Self::closing), and ends itself.
///
/// ```
/// use equipoise_tower::TunnelLease;
///
/// async fn tunnel<B>(mut response: http::Response<B>, copy: impl Future<Output = ()>) {
///     let Some(lease): Option<TunnelLease> = response.extensions_mut().remove() else { return };
///     tokio::select! {
///         () = copy => {}
///         // Say goodbye to both sides, for WebSocket by a close frame with 1001 (going away).
///         () = lease.closing() => {}
///     }
///     drop(lease);
/// }
/// ```
#[derive(Clone, Debug)]
pub struct TunnelLease {
    lease: Arc<Lease<AnyTarget>>,
}

impl TunnelLease {
    pub(super) fn new(lease: Lease<AnyTarget>) -> Self {
        Self { lease: Arc::new(lease) }
    }

    /// Waits until the endpoint takes no new clients: it drains, is closed, or has left the pool. A tunnel that ends now
    /// has until the deadline of the drain to do so. Not for clients that are bound to the endpoint: while it only drains,
    /// they would come back to it. See [`Lease::draining`].
    pub fn draining(&self) -> Closing {
        self.lease.draining()
    }

    /// Waits until the endpoint takes nothing at all: the deadline of its drain has passed, it was closed, or it has left
    /// the pool. See [`Lease::closing`].
    pub fn closing(&self) -> Closing {
        self.lease.closing()
    }
}
