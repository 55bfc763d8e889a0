use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use equipoise_tower::BoxError;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_http::compression::CompressionBody;

use super::{Encoding, settings::Slot};

pin_project! {
    /// The body of a response of a [`Compression`](super::Compression): that of the inner service, as it is or
    /// compressed.
    pub struct CompressedBody<R: Body> {
        #[pin]
        kind: Kind<R>,
    }
}

pin_project! {
    #[project = KindProject]
    enum Kind<R: Body> {
        Plain { #[pin] body: R },
        // Boxed, because an encoder is much larger than most bodies.
        Encoded { body: Pin<Box<Encoded<R>>> },
    }
}

pin_project! {
    struct Encoded<R: Body> {
        #[pin]
        body: CompressionBody<Input<R>>,
        encoding: Encoding,
        slot: Slot,
    }
}

pin_project! {
    /// Counts what an encoder reads. tower-http may ask for frames after the end, which a body need not expect.
    pub(super) struct Input<R> {
        #[pin]
        body: R,
        bytes: u64,
        has_ended: bool,
    }
}

impl<R> Input<R> {
    pub(super) fn new(body: R) -> Self {
        Self { body, bytes: 0, has_ended: false }
    }
}

impl<R: Body> Body for Input<R> {
    type Data = R::Data;
    type Error = R::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<R::Data>, R::Error>>> {
        let this = self.project();
        if *this.has_ended {
            return Poll::Ready(None);
        }
        let frame = ready!(this.body.poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => *this.bytes += frame.data_ref().map_or(0, |data| data.remaining() as u64),
            Some(Err(_)) | None => *this.has_ended = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<R: Body> CompressedBody<R> {
    /// Passes on the body of the inner service.
    pub(super) fn plain(body: R) -> Self {
        Self { kind: Kind::Plain { body } }
    }

    /// Returns the body of the inner service if it is not compressed.
    pub(crate) fn into_plain(self) -> Result<R, Self> {
        match self.kind {
            Kind::Plain { body } => Ok(body),
            kind @ Kind::Encoded { .. } => Err(Self { kind }),
        }
    }

    pub(super) fn encoded(body: CompressionBody<Input<R>>, encoding: Encoding, slot: Slot) -> Self {
        slot.shared().encodings.on_message(encoding);
        Self { kind: Kind::Encoded { body: Box::pin(Encoded { body, encoding, slot }) } }
    }
}

impl<R: Body<Data = Bytes>> Body for CompressedBody<R>
where
    R::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().kind.project() {
            KindProject::Plain { body } => body.poll_frame(cx).map_err(Into::into),
            KindProject::Encoded { body } => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Plain { body } => body.is_end_stream(),
            Kind::Encoded { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Plain { body } => body.size_hint(),
            Kind::Encoded { .. } => SizeHint::default(),
        }
    }
}

impl<R: Body<Data = Bytes>> Encoded<R>
where
    R::Error: Into<BoxError>,
{
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let frame = this.body.as_mut().poll_frame(cx);
        let counters = &this.slot.shared().encodings;
        let read = std::mem::take(this.body.get_pin_mut().project().bytes);
        if read > 0 {
            counters.on_input(*this.encoding, read);
        }
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(data) = frame.data_ref()
        {
            counters.on_output(*this.encoding, data.len() as u64);
        }
        frame
    }
}

impl<R: Body> fmt::Debug for CompressedBody<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoding = match &self.kind {
            Kind::Encoded { body } => Some(body.encoding),
            Kind::Plain { .. } => None,
        };
        f.debug_struct("CompressedBody").field("encoding", &encoding).finish_non_exhaustive()
    }
}
