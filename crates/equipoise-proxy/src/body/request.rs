use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use equipoise_tower::BoxError;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::{
    error::RequestBodyError,
    timer::Timer,
    watch::{BodyWatch, Phase, ResponseWatch},
};
use crate::headers::strip_trailers;

pin_project! {
    /// The body of a request on its way to the inner service of a [`ReverseProxy`](crate::ReverseProxy).
    ///
    /// It fails if the body is too long or stalls, and removes from trailers what must not be there.
    #[derive(Debug)]
    pub struct RequestBody<B> {
        // `None` if the body is the default one.
        #[pin]
        inner: Option<B>,
        // `None` if the body is empty, as most are. Boxed, because a request is moved many times.
        reading: Option<Box<Reading>>,
    }
}

/// The reading of a body that is not empty: its limits, and what has come of it.
#[derive(Debug)]
struct Reading {
    /// Frames that were read before the request was forwarded, and the length of their data.
    kept: VecDeque<Frame<Bytes>>,
    kept_bytes: usize,
    left: u64,
    strips_unusual_names: bool,
    timer: Timer,
    watch: Arc<BodyWatch>,
    failed: bool,
}

/// The maximum length of the data that is read before a request is forwarded, and the maximum number of its frames.
const MAX_KEPT_BYTES: usize = 16 * 1024;
const MAX_KEPT_FRAMES: usize = 64;

/// How much of a body has arrived before its request is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// One more frame, and there is room for the next one.
    Frame,
    /// Nothing at this time.
    Nothing,
    /// The whole body, or as much of it as is kept.
    Enough,
}

impl<B: Body<Data = Bytes>> RequestBody<B>
where
    B::Error: Into<BoxError>,
{
    /// Wraps a body. `max_bytes` is the maximum length, and `strips_unusual_names` tells whether fields with unusual
    /// names are removed from trailers.
    pub(crate) fn new(
        inner: B,
        max_bytes: Option<u64>,
        strips_unusual_names: bool,
        idle: Option<Duration>,
        total: Option<Instant>,
    ) -> Self {
        let reading = (!inner.is_end_stream()).then(|| {
            Box::new(Reading {
                kept: VecDeque::new(),
                kept_bytes: 0,
                left: max_bytes.unwrap_or(u64::MAX),
                strips_unusual_names,
                timer: Timer::new(idle, total),
                watch: Arc::new(BodyWatch::new(inner.size_hint().exact().is_none())),
                failed: false,
            })
        });
        Self { inner: Some(inner), reading }
    }

    /// Returns what the proxy can observe of this body, for the only response to its request. `None` if the body is
    /// empty.
    pub(crate) fn watch(&self) -> Option<ResponseWatch> {
        self.reading.as_ref().map(|reading| ResponseWatch::new(Arc::clone(&reading.watch)))
    }

    /// Returns what the inner service learns of the failure of this body. `None` if the body is empty.
    pub(crate) fn failure_watch(&self) -> Option<Arc<BodyWatch>> {
        self.reading.as_ref().map(|reading| Arc::clone(&reading.watch))
    }

    /// Reads one frame if it has arrived, and keeps it.
    pub(crate) fn read_ahead(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Result<Arrived, RequestBodyError> {
        let this = self.project();
        let (Some(reading), Some(mut inner)) = (this.reading, this.inner.as_pin_mut()) else {
            return Ok(Arrived::Enough);
        };
        let frame = match reading.poll(inner.as_mut(), cx) {
            Poll::Ready(Some(frame)) => frame?,
            Poll::Ready(None) => return Ok(Arrived::Enough),
            Poll::Pending => return Ok(Arrived::Nothing),
        };
        reading.kept_bytes += frame.data_ref().map_or(0, Bytes::len);
        reading.kept.push_back(frame);
        let has_room = reading.kept_bytes < MAX_KEPT_BYTES && reading.kept.len() < MAX_KEPT_FRAMES;
        Ok(if has_room && !inner.is_end_stream() { Arrived::Frame } else { Arrived::Enough })
    }
}

impl Reading {
    /// Reads the next frame of `inner`.
    fn poll<B>(
        &mut self,
        inner: Pin<&mut B>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        // A body that has failed has no more frames, so that nothing takes the rest for the whole.
        if self.failed {
            return Poll::Ready(Some(Err(RequestBodyError::Client("the body has failed before".into()))));
        }
        let result = match inner.poll_frame(cx) {
            Poll::Pending => {
                let elapsed = match self.watch.wait(cx) {
                    Phase::Body => ready!(self.timer.poll_total(cx)),
                    Phase::Ended(at) => ready!(self.timer.poll_elapsed(cx, Some(at))),
                    Phase::Head => ready!(self.timer.poll_elapsed(cx, None)),
                };
                Err(self.watch.late(elapsed))
            }
            Poll::Ready(None) => {
                self.watch.progress();
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Err(error))) => Err(RequestBodyError::Client(error.into())),
            Poll::Ready(Some(Ok(mut frame))) => {
                self.watch.progress();
                if let Some(trailers) = frame.trailers_mut() {
                    strip_trailers(trailers, self.strips_unusual_names);
                }
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                match (self.left.checked_sub(length), self.timer.progress()) {
                    (None, _) => Err(RequestBodyError::TooLarge),
                    (_, Err(_)) => Err(RequestBodyError::Total),
                    (Some(left), Ok(())) => {
                        self.left = left;
                        Ok(frame)
                    }
                }
            }
        };
        if let Err(error) = &result {
            self.failed = true;
            self.watch.fail(error);
        }
        Poll::Ready(Some(result))
    }
}

/// An empty body.
impl<B> Default for RequestBody<B> {
    fn default() -> Self {
        Self { inner: None, reading: None }
    }
}

impl<B: Body<Data = Bytes>> Body for RequestBody<B>
where
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let this = self.project();
        let (Some(reading), Some(inner)) = (this.reading, this.inner.as_pin_mut()) else { return Poll::Ready(None) };
        if let Some(frame) = reading.kept.pop_front() {
            reading.kept_bytes -= frame.data_ref().map_or(0, Bytes::len);
            return Poll::Ready(Some(Ok(frame)));
        }
        reading.poll(inner, cx)
    }

    fn is_end_stream(&self) -> bool {
        match &self.reading {
            Some(reading) => {
                !reading.failed && reading.kept.is_empty() && self.inner.as_ref().is_none_or(Body::is_end_stream)
            }
            None => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        let Some(inner) = &self.inner else { return SizeHint::with_exact(0) };
        let hint = inner.size_hint();
        let kept = self.reading.as_ref().map_or(0, |reading| reading.kept_bytes as u64);
        if kept == 0 {
            return hint;
        }
        let mut with_kept = SizeHint::new();
        if let Some(upper) = hint.upper() {
            with_kept.set_upper(upper.saturating_add(kept));
        }
        with_kept.set_lower(hint.lower().saturating_add(kept));
        with_kept
    }
}
