use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use equipoise_core::{AnyTarget, Lease};
use equipoise_tower::BoxError;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::accounts::Meter;

/// One side of a tunnel, whose bytes are counted in both directions.
pub(super) struct MeteredStream<S> {
    inner: S,
    meter: Meter,
}

impl<S> MeteredStream<S> {
    pub(super) fn new(inner: S, meter: Meter) -> Self {
        Self { inner, meter }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for MeteredStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        Poll::Ready(self.meter.add(buffer.filled().len().saturating_sub(before)).map_err(Into::into))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for MeteredStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, bytes))?;
        Poll::Ready(self.meter.add(written).map(|()| written).map_err(Into::into))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
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
