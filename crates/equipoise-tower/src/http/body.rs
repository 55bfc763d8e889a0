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

use super::Classify;
use crate::guard::guarded;

pin_project! {
    /// A response body with the lease of its request: released at the body's end, at an error, or when it is dropped.
    ///
    /// An end in good order completes the verdict, and so does a body that nobody begins to read: its head was all that
    /// was wanted. An error counts as a broken connection. A body dropped half-way was cancelled by the client and says
    /// nothing more about the endpoint.
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
            // Who knows that the last frame was the last need not poll for the end.
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
    /// Whether anybody has begun to read the body.
    begun: bool,
}

pub(super) enum Ending {
    /// An end in good order is a success (unless the head has settled the verdict already).
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

    /// Waits until the endpoint takes no new clients ([`Lease::draining`]): for long bodies, such as event streams, that can
    /// be ended early. `None` once the body has ended.
    pub fn draining(&self) -> Option<Closing> {
        self.rider.lease.as_ref().map(Lease::draining)
    }

    /// Waits until the endpoint takes nothing at all ([`Lease::closing`]). `None` once the body has ended.
    pub fn closing(&self) -> Option<Closing> {
        self.rider.lease.as_ref().map(Lease::closing)
    }

    /// The body of a response whose lease does not ride on it.
    pub(super) fn unleased(inner: B) -> Self {
        Self { inner, rider: Rider { lease: None, ending: Ending::Success, begun: false } }
    }
}

/// The default body, without a lease: for layers that answer by themselves, such as tonic's interceptors.
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
