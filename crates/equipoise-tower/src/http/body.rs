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
        rider: Rider,
    }

    impl<B: Body> PinnedDrop for LeasedBody<B> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            // Callers may stop polling once `is_end_stream` returns true.
            let over = this.inner.is_end_stream() || !this.rider.begun;
            if over && matches!(this.rider.ending, Ending::Success) {
                this.rider.end(None);
            }
        }
    }
}

/// The lease, and how it will end.
struct Rider {
    lease: Option<Lease<AnyTarget>>,
    ending: Ending,
    /// Whether the body was polled.
    begun: bool,
}

pub(super) enum Ending {
    /// An end without an error is a success, unless the verdict was recorded at the head.
    Success,
    /// The trailers decide.
    Trailers(Arc<dyn Classify>),
}

impl<B: Body> LeasedBody<B> {
    pub(super) fn new(inner: B, mut lease: Lease<AnyTarget>, ending: Ending) -> Self {
        let over = inner.is_end_stream();
        if !over || matches!(ending, Ending::Trailers(_)) {
            lease.first_byte();
        }
        let mut rider = Rider { lease: Some(lease), ending, begun: false };
        if over {
            rider.end(None);
        }
        Self { inner, rider }
    }

    /// Returns a future that ends when the endpoint accepts no new clients: see [`Lease::draining`]. For long bodies that can
    /// be ended early, such as event streams. `None` once the body has ended.
    pub fn draining(&self) -> Option<Closing> {
        self.rider.lease.as_ref().map(Lease::draining)
    }

    /// Returns a future that ends when the endpoint accepts no requests at all: see [`Lease::closing`]. `None` once the body
    /// has ended.
    pub fn closing(&self) -> Option<Closing> {
        self.rider.lease.as_ref().map(Lease::closing)
    }

    /// A body without a lease.
    pub(super) fn unleased(inner: B) -> Self {
        Self { inner, rider: Rider { lease: None, ending: Ending::Success, begun: false } }
    }
}

/// The default body, without a lease: for layers that respond by themselves, such as tonic's interceptors.
impl<B: Body + Default> Default for LeasedBody<B> {
    fn default() -> Self {
        Self::unleased(B::default())
    }
}

impl Rider {
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
        this.rider.begun = true;
        let frame = ready!(this.inner.as_mut().poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    this.rider.end(Some(trailers));
                } else if this.inner.is_end_stream() {
                    this.rider.end(None);
                }
            }
            Some(Err(_)) => this.rider.fail(),
            None => this.rider.end(None),
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
            .field("lease", &self.rider.lease)
            .finish_non_exhaustive()
    }
}
