use std::{
    io,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use equipoise_core::{AnyTarget, Lease};
use equipoise_tower::BoxError;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{accounts::Meter, limits::LimitReached};

/// The destination's side of a tunnel, whose bytes are counted and limited.
pub(super) struct MeteredStream<S> {
    inner: S,
    traffic: Arc<Traffic>,
}

/// The bytes of a tunnel.
#[derive(Debug)]
pub(super) struct Traffic {
    meter: Meter,
    sent: AtomicU64,
    received: AtomicU64,
    /// The limit because of which no more bytes pass.
    reached: OnceLock<LimitReached>,
}

impl Traffic {
    pub(super) fn new(meter: Meter) -> Self {
        Self { meter, sent: AtomicU64::new(0), received: AtomicU64::new(0), reached: OnceLock::new() }
    }

    /// Returns the number of bytes to the destination.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Returns the number of bytes from the destination.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Returns the limit because of which bytes did not pass.
    pub(super) fn reached(&self) -> Option<LimitReached> {
        self.reached.get().copied()
    }

    /// Notes that bytes do not pass because of a limit.
    fn refuse(&self, limit: LimitReached) -> io::Error {
        (*self.reached.get_or_init(|| limit)).into()
    }

    /// Counts bytes that were allowed.
    fn count(&self, direction: &AtomicU64, bytes: usize) {
        direction.fetch_add(bytes as u64, Ordering::Relaxed);
        // Another tunnel of the client may have used up what was left. The next bytes are refused.
        let _ = self.meter.add(bytes);
    }
}

impl<S> MeteredStream<S> {
    pub(super) fn new(inner: S, traffic: Arc<Traffic>) -> Self {
        Self { inner, traffic }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for MeteredStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { inner, traffic } = &mut *self;
        let inner = Pin::new(inner);
        let left = match traffic.meter.left() {
            Ok(left) => at_most(left, buffer.remaining()),
            Err(limit) => {
                // The end of the stream may pass.
                let mut byte = [0];
                let mut next = ReadBuf::new(&mut byte);
                ready!(inner.poll_read(cx, &mut next))?;
                let has_ended = next.filled().is_empty();
                return Poll::Ready(if has_ended { Ok(()) } else { Err(traffic.refuse(limit)) });
            }
        };
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(left));
        ready!(inner.poll_read(cx, &mut part))?;
        let read = part.filled().len();
        buffer.advance(read);
        traffic.count(&traffic.received, read);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for MeteredStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Self { inner, traffic } = &mut *self;
        let left = traffic.meter.left().map_err(|limit| traffic.refuse(limit))?;
        let part = bytes.get(..at_most(left, bytes.len())).unwrap_or(bytes);
        let written = ready!(Pin::new(inner).poll_write(cx, part))?;
        traffic.count(&traffic.sent, written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Returns the number of bytes, or what is left if that is less.
fn at_most(left: u64, bytes: usize) -> usize {
    usize::try_from(left).map_or(bytes, |left| left.min(bytes))
}

pin_project! {
    /// A body whose bytes are counted, if something limits them. It fails when too many have passed.
    pub(super) struct MeteredBody<B> {
        #[pin]
        inner: B,
        meter: Option<Meter>,
    }
}

impl<B> MeteredBody<B> {
    pub(super) fn new(inner: B, meter: Option<Meter>) -> Self {
        Self { inner, meter }
    }
}

impl<B: Body<Data = Bytes>> Body for MeteredBody<B>
where
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        let frame = ready!(this.inner.poll_frame(cx)).map(|frame| frame.map_err(Into::into));
        let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Bytes::len);
        Poll::Ready(match this.meter {
            Some(meter) if bytes > 0 => {
                frame.map(|frame| frame.and_then(|frame| Ok(meter.add(bytes).map(|()| frame)?)))
            }
            _ => frame,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

pin_project! {
    /// The body of a response that a [`ForwardProxy`](super::ForwardProxy) has received. Its bytes count for the client.
    pub struct ForwardBody {
        #[pin]
        inner: MeteredBody<Incoming>,
        // The upstream proxy is in use until the end of the body.
        lease: Option<Lease<AnyTarget>>,
    }
}

impl ForwardBody {
    pub(super) fn new(inner: Incoming, meter: Option<Meter>, lease: Option<Lease<AnyTarget>>) -> Self {
        Self { inner: MeteredBody::new(inner, meter), lease }
    }
}

impl Body for ForwardBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        let frame = ready!(this.inner.poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            *this.lease = None;
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

impl std::fmt::Debug for ForwardBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ForwardBody").finish_non_exhaustive()
    }
}
