use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use equipoise_core::{AnyTarget, Closing, Failure, Lease, Verdict};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::classify::Classify;
use crate::guard::guarded;

pin_project! {
    /// A response body that holds the lease of its request. The lease is released at the end of the body, at an error, or
    /// when the body is dropped.
    ///
    /// If the body ends without an error, or is dropped before it was polled, the request has the verdict of the response's
    /// head. An error counts as a broken connection. A body that is dropped half-way counts as cancelled by the client.
    ///
    /// A response that switches protocols has no body: its lease is a [`TunnelLease`](crate::TunnelLease).
    pub struct LeasedBody<B>
    where
        B: Body,
    {
        #[pin]
        inner: B,
        held: HeldLease,
    }

    impl<B: Body> PinnedDrop for LeasedBody<B> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            // Callers may stop polling once `is_end_stream` returns true, so the body may be complete without a last frame.
            let over = this.inner.is_end_stream() || !this.held.begun;
            if over && matches!(this.held.ending, Ending::Success) {
                this.held.end(None);
            }
        }
    }
}

/// The lease of a response, and how it ends.
struct HeldLease {
    lease: Option<Lease<AnyTarget>>,
    ending: Ending,
    /// Whether the body was polled at least once.
    begun: bool,
}

/// How the verdict of a response with a lease is decided.
pub(super) enum Ending {
    /// An end without an error is a success, unless the verdict was recorded at the head.
    Success,
    /// The trailers decide.
    Trailers(Arc<dyn Classify>),
}

impl<B: Body> LeasedBody<B> {
    /// `lease` knows of the response's head already.
    pub(super) fn new(inner: B, lease: Lease<AnyTarget>, ending: Ending) -> Self {
        let over = inner.is_end_stream();
        let mut held = HeldLease { lease: Some(lease), ending, begun: false };
        if over {
            held.end(None);
        }
        Self { inner, held }
    }

    /// Returns a future that ends when the endpoint accepts no new clients: see [`Lease::draining`]. For long bodies that can
    /// be ended early, such as event streams. `None` once the body has ended.
    pub fn draining(&self) -> Option<Closing> {
        self.held.lease.as_ref().map(Lease::draining)
    }

    /// Returns a future that ends when the endpoint accepts no requests at all: see [`Lease::closing`]. `None` once the body
    /// has ended.
    pub fn closing(&self) -> Option<Closing> {
        self.held.lease.as_ref().map(Lease::closing)
    }

    /// A body without a lease.
    pub(super) fn unleased(inner: B) -> Self {
        Self { inner, held: HeldLease { lease: None, ending: Ending::Success, begun: false } }
    }
}

/// The default body, without a lease: for layers that respond by themselves, such as tonic's interceptors.
impl<B: Body + Default> Default for LeasedBody<B> {
    fn default() -> Self {
        Self::unleased(B::default())
    }
}

impl HeldLease {
    fn end(&mut self, trailers: Option<&HeaderMap>) {
        if let Some(lease) = self.lease.take() {
            lease.finish(match &self.ending {
                Ending::Success => Verdict::Success,
                Ending::Trailers(classify) => guarded(|| classify.trailers(trailers)).unwrap_or(Verdict::Neutral),
            });
        }
    }

    fn fail(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.finish(Verdict::Failure(Failure::Transport));
        }
    }
}

impl<B: Body> Body for LeasedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        this.held.begun = true;
        let frame = ready!(this.inner.as_mut().poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    this.held.end(Some(trailers));
                } else if this.inner.is_end_stream() {
                    this.held.end(None);
                }
            }
            Some(Err(_)) => this.held.fail(),
            None => this.held.end(None),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B: Body + fmt::Debug> fmt::Debug for LeasedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeasedBody")
            .field("inner", &self.inner)
            .field("lease", &self.held.lease)
            .finish_non_exhaustive()
    }
}

/// A response extension: the lease of a connection that has switched protocols (WebSocket and other
/// responses with status 101, and with the feature `hyper` also CONNECT's tunnels).
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
///         // Close both sides; for WebSocket, send a close frame with 1001 (going away).
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
