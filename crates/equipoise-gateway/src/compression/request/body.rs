use std::{
    fmt,
    pin::{Pin, pin},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, Bytes};
use equipoise_tower::BoxError;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_http::decompression::DecompressionBody;

use super::{
    DecompressionError,
    error::Failure,
    settings::{Place, Settings, Shared},
    window::Windows,
    zstd::Fault,
};
use crate::{
    Denial,
    compression::{Encoding, codec::decoder},
};

/// How long a decompressed body may be, whatever the ratio.
const FREE_BYTES: u64 = 1 << 20;

/// The decompression of one body.
pub(super) struct Decoding {
    encoding: Encoding,
    settings: Arc<Settings>,
    shared: Arc<Shared>,
    /// Why the body has failed.
    denial: Arc<OnceLock<Denial>>,
    /// How many bytes the decoder has used.
    used: AtomicU64,
}

impl Decoding {
    pub(super) fn new(encoding: Encoding, settings: Arc<Settings>, shared: Arc<Shared>) -> Self {
        Self { encoding, settings, shared, denial: Arc::default(), used: AtomicU64::new(0) }
    }

    /// Returns what is set when the body has failed.
    pub(super) fn denial(&self) -> Arc<OnceLock<Denial>> {
        Arc::clone(&self.denial)
    }

    fn fail(&self, error: DecompressionError) -> BoxError {
        if let Some(failure) = Failure::of(&error) {
            self.shared.on_failure(failure);
            let _ = self.denial.set(failure.denial());
        }
        error.into()
    }

    /// Returns an error if the decompressed body is too long.
    fn check(&self, bytes_in: u64, bytes_out: u64) -> Result<(), DecompressionError> {
        let (max, ratio) = (self.settings.max_bytes, self.settings.max_ratio);
        if bytes_out > max {
            return Err(DecompressionError::TooLarge { max });
        }
        if bytes_out > FREE_BYTES && bytes_out / u64::from(ratio) >= bytes_in.max(1) {
            return Err(DecompressionError::Ratio { max: ratio });
        }
        Ok(())
    }
}

pin_project! {
    /// The body of a request behind a [`Decompression`](super::Decompression): as the client has sent it, or
    /// decompressed.
    ///
    /// A body that cannot be decompressed, or not within the limits, fails with a
    /// [`DecompressionError`](super::DecompressionError).
    pub struct DecompressedBody<B: Body> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProject]
    enum Kind<B: Body> {
        Untouched { #[pin] body: B },
        // Boxed, because a decoder is much larger than most bodies.
        Decompressed { body: Pin<Box<Decompressed<B>>> },
    }
}

pin_project! {
    struct Decompressed<B: Body> {
        #[pin]
        body: DecompressionBody<Input<B>>,
        decoding: Arc<Decoding>,
        bytes_in: u64,
        bytes_out: u64,
        has_failed: bool,
        // Dropped after the decoder.
        place: Place,
    }
}

pin_project! {
    /// What a decoder reads. It notes whether the body of the client has failed, to tell this from errors of the
    /// decoder. It ends before a piece that the decoder must not get. tower-http may ask for frames after the
    /// end, which a body need not expect.
    struct Input<B: Body> {
        #[pin]
        body: B,
        decoding: Arc<Decoding>,
        bytes: u64,
        windows: Windows,
        fault: Option<Fault>,
        has_failed: bool,
        has_ended: bool,
    }
}

/// A part of the compressed body. It counts the bytes that the decoder uses: tower-http ignores those after the end of
/// the compressed text, if they are in the same frame.
struct Piece {
    bytes: Bytes,
    decoding: Arc<Decoding>,
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.decoding.used.fetch_add(count as u64, Ordering::Relaxed);
    }
}

impl<B: Body> Body for Input<B> {
    type Data = Piece;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Piece>, B::Error>>> {
        let this = self.project();
        if *this.has_ended {
            return Poll::Ready(None);
        }
        let frame = ready!(this.body.poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => *this.bytes += frame.data_ref().map_or(0, |data| data.remaining() as u64),
            Some(Err(_)) => (*this.has_failed, *this.has_ended) = (true, true),
            None => *this.has_ended = true,
        }
        let frame =
            frame.map(|frame| frame.map(|frame| frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
            && let Err(fault) = this.windows.follow(data)
        {
            (*this.fault, *this.has_ended) = (Some(fault), true);
            return Poll::Ready(None);
        }
        let decoding = &*this.decoding;
        let piece = |bytes: Bytes| Piece { bytes, decoding: Arc::clone(decoding) };
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(piece))))
    }
}

impl<B: Body<Data = Bytes>> DecompressedBody<B>
where
    B::Error: Into<BoxError>,
{
    /// Passes on a body as it is.
    pub(super) fn untouched(body: B) -> Self {
        Self { kind: Kind::Untouched { body } }
    }

    /// Returns `None` if there is no decoder.
    pub(super) fn decompressed(body: B, decoding: Arc<Decoding>, place: Place) -> Option<Self> {
        let input = Input {
            body,
            decoding: Arc::clone(&decoding),
            bytes: 0,
            windows: Windows::of(decoding.encoding),
            fault: None,
            has_failed: false,
            has_ended: false,
        };
        let decoder = pin!(decoder(input, decoding.encoding));
        // It is always ready.
        let Poll::Ready(Ok(response)) = decoder.poll(&mut Context::from_waker(Waker::noop())) else { return None };
        let body =
            Decompressed { body: response.into_body(), decoding, bytes_in: 0, bytes_out: 0, has_failed: false, place };
        Some(Self { kind: Kind::Decompressed { body: Box::pin(body) } })
    }
}

impl<B: Body<Data = Bytes>> Body for DecompressedBody<B>
where
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().kind.project() {
            KindProject::Untouched { body } => body.poll_frame(cx).map_err(Into::into),
            KindProject::Decompressed { body } => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Untouched { body } => body.is_end_stream(),
            Kind::Decompressed { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Untouched { body } => body.size_hint(),
            Kind::Decompressed { .. } => SizeHint::default(),
        }
    }
}

impl<B: Body<Data = Bytes>> Decompressed<B>
where
    B::Error: Into<BoxError>,
{
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        if *this.has_failed {
            // So that nothing takes the part for the whole.
            let error = DecompressionError::Client("the body has failed before".into());
            return Poll::Ready(Some(Err(error.into())));
        }
        let frame = this.body.as_mut().poll_frame(cx);
        let input = this.body.get_pin_mut().project();
        let read = std::mem::take(input.bytes);
        *this.bytes_in += read;
        let counters = &this.decoding.shared.encodings;
        if read > 0 {
            counters.on_input(this.decoding.encoding, read);
        }
        let result = match (ready!(frame), *input.fault) {
            (_, Some(Fault::Window)) => Err(DecompressionError::Window),
            (_, Some(Fault::Malformed)) => {
                Err(DecompressionError::Malformed("there is no frame of zstd where one should begin".into()))
            }
            (None, None) if this.decoding.used.load(Ordering::Relaxed) < *this.bytes_in => {
                Err(DecompressionError::Malformed("bytes follow the compressed text".into()))
            }
            (None, None) => return Poll::Ready(None),
            (Some(Ok(frame)), None) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                *this.bytes_out += length;
                counters.on_output(this.decoding.encoding, length);
                this.decoding.check(*this.bytes_in, *this.bytes_out).map(|()| frame)
            }
            (Some(Err(error)), None) if *input.has_failed => Err(DecompressionError::Client(error)),
            (Some(Err(error)), None) => Err(DecompressionError::Malformed(error)),
        };
        Poll::Ready(Some(result.map_err(|error| {
            *this.has_failed = true;
            this.decoding.fail(error)
        })))
    }
}

impl<B: Body> fmt::Debug for DecompressedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoding = match &self.kind {
            Kind::Untouched { .. } => None,
            Kind::Decompressed { body } => Some(body.decoding.encoding),
        };
        f.debug_struct("DecompressedBody").field("encoding", &encoding).finish_non_exhaustive()
    }
}
