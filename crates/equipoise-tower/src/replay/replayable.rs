//! Recorded bodies: request bodies that are sent again from copies of the frames that an attempt has taken. They are
//! bodies in the wrapper [`Replayable`], and boxed bodies. During an attempt, a boxed body is put into another box,
//! which gives it back.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

#[cfg(feature = "reqwest")]
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::{BoxBody, UnsyncBoxBody};

use super::{
    Replay,
    handoff::{Lent, Slot, Source, lend},
};

/// A wrapper for request bodies that cannot be copied, such as the bodies that a server receives. With the wrapper,
/// failover can send such a body again.
///
/// While an attempt takes frames from the body, copies of these frames are kept, up to
/// [`HttpProtocol::max_replay_bytes`](crate::HttpProtocol::max_replay_bytes) (default: 64 KiB). If an attempt takes
/// more bytes than this, the body cannot be sent again.
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
pub struct Replayable<B: Body>(Inner<B>);

enum Inner<B: Body> {
    /// An empty body. To send it again, nothing needs to come back from the attempt.
    Empty,
    Whole(Source<B>),
    Lent(Lent<B>),
}

impl<B: Body> Replayable<B> {
    /// Wraps `body`. An empty body needs no allocation. Any other body needs one allocation for each attempt that may
    /// be followed by a retry, and one more if the attempt takes several frames.
    pub fn new(body: B) -> Self {
        Self(if body.is_end_stream() { Inner::Empty } else { Inner::Whole(Source::new(body)) })
    }
}

/// What is kept of a request body during an attempt: copies of the frames that the attempt has taken. After the
/// attempt, a `KeptBody` also holds the rest of the body. When the `KeptBody` is dropped, no more frames are copied.
pub struct KeptBody<B: Body> {
    /// The balancer's side of the body that was passed to the attempt. `None` for an empty body.
    slot: Option<Slot<B>>,
    /// The wrapper in which an outer balancer has passed the body. `None` if there is no outer balancer. In the end, the
    /// body goes back into this wrapper. Boxed, because it is large and most balancers have no outer one.
    shell: Option<Box<Lent<B>>>,
}

impl<B: Body> KeptBody<B> {
    fn of(slot: Slot<B>) -> Self {
        Self { slot: Some(slot), shell: None }
    }

    fn empty() -> Self {
        Self { slot: None, shell: None }
    }

    /// Returns the body as it was before the attempt. `None` if it cannot be restored.
    fn take(mut self) -> Option<Source<B>> {
        match self.slot.take() {
            Some(slot) => slot.take(),
            None => Some(Source::ended()),
        }
    }
}

impl<B: Body> Drop for KeptBody<B> {
    fn drop(&mut self) {
        match (self.slot.take(), self.shell.take()) {
            (Some(slot), Some(shell)) => drop(shell.refill(slot.take())),
            (Some(slot), None) => drop(slot.close()),
            (None, shell) => drop(shell),
        }
    }
}

impl<B: Body<Data: Clone> + Unpin> Replay for Replayable<B> {
    type Kept = KeptBody<B>;

    fn replay(self, max_bytes: usize) -> (Self, KeptBody<B>) {
        let (source, shell) = match self.0 {
            Inner::Empty => return (self, KeptBody::empty()),
            Inner::Whole(source) => (Some(source), None),
            Inner::Lent(mut shell) => (shell.empty(), Some(Box::new(shell))),
        };
        let (lent, slot) = lend(source.unwrap_or_else(Source::ended), max_bytes);
        (Self(Inner::Lent(lent)), KeptBody { slot: Some(slot), shell })
    }

    fn restore(mut kept: KeptBody<B>) -> Option<Self> {
        let Some(slot) = kept.slot.take() else { return Some(Self(Inner::Empty)) };
        let source = slot.take()?;
        Some(Self(match kept.shell.take() {
            Some(shell) => Inner::Lent(shell.refill(Some(source))),
            None => Inner::Whole(source),
        }))
    }
}

impl<B: Body<Data: Clone> + Unpin> Body for Replayable<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match &mut self.0 {
            Inner::Empty => Poll::Ready(None),
            Inner::Whole(source) => Pin::new(source).poll_frame(cx),
            Inner::Lent(lent) => Pin::new(lent).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Empty => true,
            Inner::Whole(source) => source.is_end_stream(),
            Inner::Lent(lent) => lent.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Empty => SizeHint::with_exact(0),
            Inner::Whole(source) => source.size_hint(),
            Inner::Lent(lent) => lent.size_hint(),
        }
    }
}

impl<B: Body> fmt::Debug for Replayable<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replayable").finish_non_exhaustive()
    }
}

impl<B: Body> fmt::Debug for KeptBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptBody").finish_non_exhaustive()
    }
}

/// Implements [`Replay`] for a boxed body. Except if it is empty, the body is put into a box that gives it back after
/// the attempt.
macro_rules! by_handing_back {
    ($(#[$when:meta])* [$($data:ident $error:ident)?] $body:ty, $put_into_box:path) => {
        $(#[$when])*
        impl<$($data: bytes::Buf + Clone + Send + Sync + 'static, $error: 'static)?> Replay for $body {
            type Kept = KeptBody<Self>;

            fn replay(self, max_bytes: usize) -> (Self, KeptBody<Self>) {
                if http_body::Body::is_end_stream(&self) {
                    return (self, KeptBody::empty());
                }
                let (lent, slot) = lend(Source::new(self), max_bytes);
                ($put_into_box(lent), KeptBody::of(slot))
            }

            fn restore(kept: KeptBody<Self>) -> Option<Self> {
                kept.take().map(|source| source.into_body().unwrap_or_else($put_into_box))
            }
        }
    };
}

by_handing_back!([D E] BoxBody<D, E>, BoxBody::new);
by_handing_back!([D E] UnsyncBoxBody<D, E>, UnsyncBoxBody::new);
by_handing_back!(#[cfg(feature = "axum")] [] axum_core::body::Body, axum_core::body::Body::new);
by_handing_back!(#[cfg(feature = "tonic")] [] tonic::body::Body, tonic::body::Body::new);

/// Bytes are copied. If they were wrapped, reqwest would treat them as a stream, which it does not send again after a
/// redirect.
#[cfg(feature = "reqwest")]
impl Replay for reqwest::Body {
    type Kept = Result<Bytes, KeptBody<Self>>;

    fn replay(self, max_bytes: usize) -> (Self, Self::Kept) {
        match self.as_bytes().map(Bytes::copy_from_slice) {
            Some(bytes) => (bytes.clone().into(), Ok(bytes)),
            None => {
                let (lent, slot) = lend(Source::new(self), max_bytes);
                (Self::wrap(lent), Err(KeptBody::of(slot)))
            }
        }
    }

    fn restore(kept: Self::Kept) -> Option<Self> {
        match kept {
            Ok(bytes) => Some(bytes.into()),
            Err(kept) => kept.take().map(|source| source.into_body().unwrap_or_else(Self::wrap)),
        }
    }
}
