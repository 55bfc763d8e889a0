use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http_body::{Body, Frame, SizeHint};

use super::{
    body::Replay,
    handoff::{Lent, Slot, lend},
};

/// A wrapper for request bodies that cannot be copied, such as those that a server receives. Failover can send the body
/// again as long as no attempt has taken a frame of it.
///
/// ```
/// use equipoise_tower::Replayable;
/// use http::Request;
/// use hyper::body::Incoming;
///
/// fn forward(request: Request<Incoming>) -> Request<Replayable<Incoming>> {
///     request.map(Replayable::new)
/// }
/// ```
#[derive(Debug)]
pub struct Replayable<B>(Inner<B>);

#[derive(Debug)]
enum Inner<B> {
    /// Empty bodies need not come back to be sent again.
    Empty,
    Whole(B),
    Lent(Lent<B>),
}

impl<B: Body + Unpin> Replayable<B> {
    /// Wraps a body. Each attempt that can be followed by another one allocates once, except for empty bodies.
    pub fn new(body: B) -> Self {
        Self(if body.is_end_stream() { Inner::Empty } else { Inner::Whole(body) })
    }
}

/// What is kept of a body during an attempt.
#[derive(Debug)]
pub struct KeptBody<B> {
    /// Where the attempt hands the body back; `None` for an empty one.
    slot: Option<Slot<B>>,
    /// The wrapper in which the body came, if an outer balancer has lent it. The body goes back into it in the end.
    shell: Option<Lent<B>>,
}

impl<B> KeptBody<B> {
    pub(super) fn of(slot: Slot<B>) -> Self {
        Self { slot: Some(slot), shell: None }
    }

    /// The body, if it has come back.
    pub(super) fn take(self) -> Option<B> {
        self.slot.as_ref()?.take()
    }
}

impl<B> Drop for KeptBody<B> {
    fn drop(&mut self) {
        if let (Some(slot), Some(shell)) = (self.slot.take(), self.shell.take()) {
            drop(shell.refill(slot.take()));
        }
    }
}

impl<B: Body + Unpin> Replay for Replayable<B> {
    type Kept = KeptBody<B>;

    fn replay(self) -> (Self, KeptBody<B>) {
        let (body, shell) = match self.0 {
            Inner::Empty => return (self, KeptBody { slot: None, shell: None }),
            Inner::Whole(body) => (Some(body), None),
            Inner::Lent(mut shell) => (shell.empty(), Some(shell)),
        };
        match body {
            Some(body) => {
                let (lent, slot) = lend(body);
                (Self(Inner::Lent(lent)), KeptBody { slot: Some(slot), shell })
            }
            None => (Self(Inner::Empty), KeptBody { slot: None, shell: None }),
        }
    }

    fn restore(mut kept: KeptBody<B>) -> Option<Self> {
        let Some(slot) = kept.slot.take() else { return Some(Self(Inner::Empty)) };
        let body = slot.take()?;
        Some(Self(match kept.shell.take() {
            Some(shell) => Inner::Lent(shell.refill(Some(body))),
            None => Inner::Whole(body),
        }))
    }
}

impl<B: Body + Unpin> Body for Replayable<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match &mut self.0 {
            Inner::Empty => Poll::Ready(None),
            Inner::Whole(body) => Pin::new(body).poll_frame(cx),
            Inner::Lent(lent) => Pin::new(lent).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Empty => true,
            Inner::Whole(body) => body.is_end_stream(),
            Inner::Lent(lent) => lent.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Empty => SizeHint::with_exact(0),
            Inner::Whole(body) => body.size_hint(),
            Inner::Lent(lent) => lent.size_hint(),
        }
    }
}
