use std::sync::Arc;

use equipoise_core::{AnyTarget, Lease};

/// A response extension: the lease of a connection that has switched protocols (WebSocket and whatever else answers 101,
/// and with the feature `hyper` also CONNECT's tunnels).
///
/// Such a response has no body that the lease could ride on. Whoever runs the tunnel takes this out of the extensions and
/// keeps it until the tunnel has ended: so long the connection counts as the endpoint's, and
/// [`Pool::idle`](equipoise_core::Pool::idle) waits for it. If nobody takes it, the lease ends with the response's head.
/// Whatever happens to the endpoint meanwhile (it drains, closes, leaves), the connection stays where it is.
///
/// ```
/// use equipoise_tower::TunnelLease;
///
/// async fn tunnel<B>(mut response: http::Response<B>) {
///     let lease: Option<TunnelLease> = response.extensions_mut().remove();
///     // … copy in both directions …
///     drop(lease);
/// }
/// ```
#[derive(Clone, Debug)]
pub struct TunnelLease {
    _lease: Arc<Lease<AnyTarget>>,
}

impl TunnelLease {
    pub(super) fn new(lease: Lease<AnyTarget>) -> Self {
        Self { _lease: Arc::new(lease) }
    }
}
