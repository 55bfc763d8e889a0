use std::sync::Arc;

use equipoise_core::{AnyTarget, Closing, Lease};

/// A response extension: the lease of a connection that has switched protocols (WebSocket and whatever else answers 101,
/// and with the feature `hyper` also CONNECT's tunnels).
///
/// Such a response has no body that could hold the lease. Take the extension out of the response and keep it until the tunnel
/// has ended. While it is kept, the connection counts as a request in flight at its endpoint, and
/// [`Pool::idle`](equipoise_core::Pool::idle) waits for it. If it stays in the response, the lease ends with the response.
///
/// The connection stays open when the endpoint drains, is set to maintenance or leaves the pool. The tunnel learns of it by
/// [`draining`](Self::draining) and [`closing`](Self::closing), and should end by itself.
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

    /// Returns a future that ends when the endpoint accepts no new clients: it drains, is in maintenance, or has left the
    /// pool. The tunnel then has until the deadline of the drain to end. Do not use it for clients that are bound to the
    /// endpoint: while it only drains, they would come back to it. See [`Lease::draining`].
    pub fn draining(&self) -> Closing {
        self.lease.draining()
    }

    /// Returns a future that ends when the endpoint accepts no requests at all: the deadline of its drain has passed, it is
    /// in maintenance, or it has left the pool. See [`Lease::closing`].
    pub fn closing(&self) -> Closing {
        self.lease.closing()
    }
}
