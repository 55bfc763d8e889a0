use std::{
    any::Any,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use equipoise_tower::BoxError;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::expect::Gate;

/// The body of a request, whatever the type of the caller's body. A connection sends bodies of one type only, and it is
/// used for requests of several types. The default is an empty body.
#[derive(Default)]
pub(crate) struct RequestBody {
    /// `None` if the body is empty, which needs no allocation.
    inner: Option<Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>>,
    gate: Option<Gate>,
    /// Dropped together with the body: when all of it was handed over, or it is not needed any more.
    held: Option<Arc<dyn Any + Send + Sync>>,
}

impl RequestBody {
    pub(crate) fn new<B>(body: B) -> Self
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let inner = (!body.is_end_stream()).then(|| Box::pin(Erased { body }) as _);
        Self { inner, gate: None, held: None }
    }

    /// Returns whether the body is empty, so that the request can be sent again with another empty body.
    pub(crate) fn is_empty(&self) -> bool {
        self.inner.is_none()
    }

    /// Holds the body back until the gate opens.
    pub(crate) fn hold_back(&mut self, gate: Gate) {
        self.gate = Some(gate);
    }

    /// Keeps a value as long as the body. Does nothing if the body is empty.
    pub(crate) fn hold(&mut self, value: Arc<dyn Any + Send + Sync>) {
        if !self.is_empty() {
            self.held = Some(value);
        }
    }

    /// Ends the effects of [`hold_back`](Self::hold_back) and [`hold`](Self::hold), because the request is sent on
    /// another connection.
    pub(crate) fn release(&mut self) {
        self.gate = None;
        self.held = None;
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Some(gate) = &mut this.gate {
            ready!(gate.poll_open(cx));
            this.gate = None;
        }
        match &mut this.inner {
            Some(inner) => inner.as_mut().poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

pin_project! {
    /// A body with the data and the error of [`RequestBody`].
    struct Erased<B> {
        #[pin]
        body: B,
    }
}

impl<B> Body for Erased<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        // Does not copy if the data is `Bytes`.
        let bytes = |mut data: B::Data| data.copy_to_bytes(data.remaining());
        let frame = ready!(self.project().body.poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(bytes)).map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
