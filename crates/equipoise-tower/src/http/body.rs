use std::{
    any::Any,
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
use crate::{
    drop_reason::DropReason,
    guard::guarded,
    observe::{BodyEnd, BodyObserver},
};

pin_project! {
    /// A response body that holds the lease of its request. While it holds the lease, the request counts as in flight
    /// at its endpoint. The lease ends when the body ends, fails or is dropped.
    ///
    /// If the head of the response already decides another verdict than success (for example, a failure because of
    /// status 500), the request has this verdict. Otherwise the verdict depends on the body:
    ///
    /// | what happens to the body | verdict |
    /// | --- | --- |
    /// | It ends without an error. | Success. If the trailers decide the verdict, as for gRPC: their verdict. |
    /// | It fails. | [`Failure::Transport`]: the connection broke. |
    /// | It is dropped before it was polled. | Success. If the trailers decide the verdict: none, and the request counts as cancelled by the client. |
    /// | It is dropped by [`refuse_response`](crate::refuse_response). | [`Failure::Transport`] |
    /// | It is dropped after it was polled and before its end. | None, and the request counts as cancelled by the client. |
    ///
    /// The lease of a response without a body ends at its head, unless the balancer was polled within
    /// [`poll_checked`](crate::poll_checked). A response that switches protocols has no body. Its lease is a [`TunnelLease`](crate::TunnelLease).
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
            if DropReason::current() == DropReason::Refused {
                this.held.fail();
            }
            // A caller may stop polling when `is_end_stream` returns true, so a complete body may not have returned
            // `None` yet.
            let over = this.inner.is_end_stream() || !this.held.begun;
            if over && !this.held.ending.needs_trailers() {
                this.held.end(None);
            }
        }
    }
}

/// The lease of a response, and how its verdict is decided at the end.
struct HeldLease {
    lease: Option<Lease<AnyTarget>>,
    ending: Ending,
    /// Whether the body was polled at least once.
    begun: bool,
}

/// How the verdict of a response is decided at the end of its body.
pub(super) enum Ending {
    /// If the body ends without an error, the verdict is success, unless another verdict was recorded at the head.
    Success,
    /// The classifier decides the verdict by the trailers.
    Trailers(Arc<dyn Classify>),
    /// The classifier has decided this verdict, and the lease has ended.
    Decided(Verdict),
    /// As one of the others, and an observer wants to know the end. Boxed, so that responses without an observer do not
    /// pay for it.
    Observed(Box<ObservedEnding>),
}

/// The end of a response that is observed.
pub(super) struct ObservedEnding {
    /// `None` if a success at the end is a success.
    trailers: Option<Arc<dyn Classify>>,
    observer: BodyObserver,
}

impl Ending {
    /// Returns whether the trailers decide the verdict.
    fn needs_trailers(&self) -> bool {
        match self {
            Self::Success | Self::Decided(_) => false,
            Self::Trailers(_) => true,
            Self::Observed(observed) => observed.trailers.is_some(),
        }
    }
}

impl ObservedEnding {
    #[cold]
    fn end(&mut self, lease: Lease<AnyTarget>, trailers: Option<&HeaderMap>) {
        let verdict = self.trailers.as_ref().map(|classify| verdict(&**classify, trailers));
        lease.finish(verdict.unwrap_or(Verdict::Success));
        self.observer.end(BodyEnd::Complete { verdict, trailers });
    }
}

/// Returns the verdict that follows from the trailers.
fn verdict(classify: &dyn Classify, trailers: Option<&HeaderMap>) -> Verdict {
    guarded(|| classify.trailers(trailers)).unwrap_or(Verdict::Neutral)
}

impl<B: Body> LeasedBody<B> {
    /// `lease` knows of the response's head already. `is_held` is whether the lease is held until the body was read or
    /// dropped. If not, the body is empty, and the lease ends at once.
    pub(super) fn new(inner: B, lease: Lease<AnyTarget>, ending: Ending, is_held: bool) -> Self {
        let mut held = HeldLease { lease: Some(lease), ending, begun: false };
        if !is_held {
            held.end(None);
        }
        Self { inner, held }
    }

    /// Returns a future that ends when the endpoint accepts no new sessions: the endpoint drains, is in maintenance, or
    /// has left the pool. Use the future for long bodies that can be ended early, such as event streams. Returns `None`
    /// if this body has already ended. See [`Lease::draining`].
    pub fn draining(&self) -> Option<Closing> {
        self.held.lease.as_ref().map(Lease::draining)
    }

    /// Returns a future that ends when the endpoint accepts no requests at all: the endpoint is in maintenance, for
    /// example after the deadline of a drain, or has left the pool. Returns `None` if this body has already ended. See
    /// [`Lease::closing`].
    pub fn closing(&self) -> Option<Closing> {
        self.held.lease.as_ref().map(Lease::closing)
    }

    /// Reports the end of the body to `observer`, at once if it has already ended.
    pub(super) fn observe(&mut self, mut observer: BodyObserver) {
        let ending = std::mem::replace(&mut self.held.ending, Ending::Success);
        let (trailers, verdict) = match ending {
            Ending::Trailers(classify) => (Some(classify), None),
            Ending::Decided(verdict) => (None, Some(verdict)),
            Ending::Success => (None, None),
            Ending::Observed(observed) => (observed.trailers, None),
        };
        if self.held.lease.is_none() {
            observer.end(BodyEnd::Complete { verdict, trailers: None });
        } else {
            self.held.ending = Ending::Observed(Box::new(ObservedEnding { trailers, observer }));
        }
    }

    /// Creates a body without a lease.
    pub(super) fn unleased(inner: B) -> Self {
        Self { inner, held: HeldLease { lease: None, ending: Ending::Success, begun: false } }
    }
}

/// Creates the default body of `B`, without a lease. Layers that respond without calling an endpoint, such as tonic's
/// interceptors, need it.
impl<B: Body + Default> Default for LeasedBody<B> {
    fn default() -> Self {
        Self::unleased(B::default())
    }
}

impl HeldLease {
    fn end(&mut self, trailers: Option<&HeaderMap>) {
        if let Some(lease) = self.lease.take() {
            match &mut self.ending {
                Ending::Success => lease.finish(Verdict::Success),
                Ending::Trailers(classify) => {
                    let verdict = verdict(&**classify, trailers);
                    lease.finish(verdict);
                    self.ending = Ending::Decided(verdict);
                }
                Ending::Decided(verdict) => lease.finish(*verdict),
                Ending::Observed(observed) => observed.end(lease, trailers),
            }
        }
    }

    fn fail(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.finish(Verdict::Failure(Failure::Transport));
            if let Ending::Observed(observed) = &mut self.ending {
                observed.observer.end(BodyEnd::Failed);
            }
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

/// A response extension that holds the lease of a connection that has switched protocols. Responses with status 101,
/// such as those of WebSocket, have this extension. With the feature `hyper`, successful responses to `CONNECT` have it
/// too.
///
/// Such a response has no body that could hold the lease. Take the extension out of the response and keep it until the
/// tunnel has ended. While you keep the extension, the connection counts as a request in flight at its endpoint, and
/// [`Pool::idle`](equipoise_core::Pool::idle) waits for it. If you leave the extension in the response, the lease ends
/// when the response is dropped.
///
/// The request counts as successful when the lease is created, or, if the balancer was polled within
/// [`poll_checked`](crate::poll_checked), when [`accept`](Self::accept) is called.
///
/// The balancer does not close the connection when the endpoint drains, is set to maintenance or leaves the pool. The
/// code that runs the tunnel should wait for the future of [`draining`](Self::draining) or [`closing`](Self::closing),
/// and then end the tunnel.
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
    held: Vec<Arc<dyn Any + Send + Sync>>,
}

impl TunnelLease {
    pub(super) fn new(lease: Lease<AnyTarget>) -> Self {
        Self { lease: Arc::new(lease), held: Vec::new() }
    }

    /// Keeps a value until this lease and its clones are dropped, which is when the tunnel has ended. Layers use it for
    /// what a request holds, such as the permit of a limit of concurrent requests. Clones that exist already do not keep
    /// the value.
    pub fn hold(&mut self, value: impl Send + Sync + 'static) {
        self.held.push(Arc::new(value));
    }

    /// Counts the request as successful at its endpoint. Needed only after [`poll_checked`](crate::poll_checked), and
    /// has no effect otherwise, or if there are clones of this lease.
    pub fn accept(&mut self) {
        self.record(Verdict::Success);
    }

    fn record(&mut self, verdict: Verdict) {
        if let Some(lease) = Arc::get_mut(&mut self.lease) {
            lease.record(verdict);
        }
    }

    /// Returns a future that ends when the endpoint accepts no new sessions: the endpoint drains, is in maintenance, or
    /// has left the pool. If the endpoint drains, the tunnel should end before the deadline of the drain.
    ///
    /// If the session of a client is bound to the endpoint, use [`closing`](Self::closing) instead. While the endpoint
    /// drains, such a client would reconnect to the same endpoint. See [`Lease::draining`].
    pub fn draining(&self) -> Closing {
        self.lease.draining()
    }

    /// Returns a future that ends when the endpoint accepts no requests at all: the endpoint is in maintenance, for
    /// example after the deadline of a drain, or has left the pool. See [`Lease::closing`].
    pub fn closing(&self) -> Closing {
        self.lease.closing()
    }
}

impl Drop for TunnelLease {
    fn drop(&mut self) {
        if DropReason::current() == DropReason::Refused {
            self.record(Verdict::Failure(Failure::Transport));
        }
    }
}
