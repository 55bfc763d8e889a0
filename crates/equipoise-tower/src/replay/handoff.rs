use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;

/// The place to which a lent body comes back.
#[derive(Debug)]
pub(super) struct Slot<B>(Arc<Mutex<Option<B>>>);

impl<B> Slot<B> {
    /// The body, if it has come back.
    pub(super) fn take(&self) -> Option<B> {
        self.0.lock().take()
    }
}

/// Lends a body to one attempt.
pub(super) fn lend<B: Body + Unpin>(body: B) -> (Lent<B>, Slot<B>) {
    let slot = Arc::new(Mutex::new(None));
    (Lent { body: Some(body), slot: Arc::clone(&slot), touched: false }, Slot(slot))
}

/// A body that goes back to its slot when it is dropped before a frame was taken.
#[derive(Debug)]
pub(super) struct Lent<B> {
    body: Option<B>,
    slot: Arc<Mutex<Option<B>>>,
    touched: bool,
}

impl<B> Lent<B> {
    /// Takes the body out, to lend it on.
    pub(super) fn empty(&mut self) -> Option<B> {
        self.body.take()
    }

    /// Puts the body back in; `None` if an inner attempt has taken frames of it.
    pub(super) fn refill(mut self, body: Option<B>) -> Self {
        self.touched |= body.is_none();
        self.body = body;
        self
    }
}

impl<B> Drop for Lent<B> {
    fn drop(&mut self) {
        if !self.touched {
            *self.slot.lock() = self.body.take();
        }
    }
}

impl<B: Body + Unpin> Body for Lent<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = &mut *self;
        let polled = this.body.as_mut().map_or(Poll::Ready(None), |body| Pin::new(body).poll_frame(cx));
        this.touched |= matches!(polled, Poll::Ready(Some(_)));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
