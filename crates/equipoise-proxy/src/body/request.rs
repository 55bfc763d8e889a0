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
        #[pin]
        inner: B,
        // Frames that were read before the request was forwarded, and the length of their data.
        kept: VecDeque<Frame<Bytes>>,
        kept_bytes: usize,
        left: u64,
        strips_unusual_names: bool,
        timer: Timer,
        watch: Option<Arc<BodyWatch>>,
        failed: bool,
    }
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
        let watch = (!inner.is_end_stream()).then(|| Arc::new(BodyWatch::new(inner.size_hint().exact().is_none())));
        let left = max_bytes.unwrap_or(u64::MAX);
        let timer = Timer::new(idle, total);
        let kept = VecDeque::new();
        Self { inner, kept, kept_bytes: 0, left, strips_unusual_names, timer, watch, failed: false }
    }

    /// Returns what the proxy can observe of this body, for the only response to its request. `None` if the body is
    /// empty.
    pub(crate) fn watch(&self) -> Option<ResponseWatch> {
        self.watch.clone().map(ResponseWatch::new)
    }

    /// Reads one frame if it has arrived, and keeps it.
    pub(crate) fn read_ahead(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Result<Arrived, RequestBodyError> {
        let frame = match self.as_mut().poll_inner(cx) {
            Poll::Ready(Some(frame)) => frame?,
            Poll::Ready(None) => return Ok(Arrived::Enough),
            Poll::Pending => return Ok(Arrived::Nothing),
        };
        let this = self.project();
        *this.kept_bytes += frame.data_ref().map_or(0, Bytes::len);
        this.kept.push_back(frame);
        let has_room = *this.kept_bytes < MAX_KEPT_BYTES && this.kept.len() < MAX_KEPT_FRAMES;
        Ok(if has_room && !this.inner.is_end_stream() { Arrived::Frame } else { Arrived::Enough })
    }

    fn poll_inner(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let this = self.project();
        // A body that has failed has no more frames, so that nothing takes the rest for the whole.
        if *this.failed {
            return Poll::Ready(Some(Err(RequestBodyError::Client("the body has failed before".into()))));
        }
        let result = match this.inner.poll_frame(cx) {
            Poll::Pending => {
                let elapsed = match this.watch.as_ref().map(|watch| watch.wait(cx)) {
                    Some(Phase::Body) => ready!(this.timer.poll_total(cx)),
                    Some(Phase::Ended(at)) => ready!(this.timer.poll_elapsed(cx, Some(at))),
                    Some(Phase::Head) | None => ready!(this.timer.poll_elapsed(cx, None)),
                };
                Err(match this.watch {
                    Some(watch) => watch.late(elapsed),
                    None => elapsed.into(),
                })
            }
            Poll::Ready(None) => {
                if let Some(watch) = this.watch {
                    watch.progress();
                }
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Err(error))) => Err(RequestBodyError::Client(error.into())),
            Poll::Ready(Some(Ok(mut frame))) => {
                if let Some(watch) = this.watch {
                    watch.progress();
                }
                if let Some(trailers) = frame.trailers_mut() {
                    strip_trailers(trailers, *this.strips_unusual_names);
                }
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                match (this.left.checked_sub(length), this.timer.progress()) {
                    (None, _) => Err(RequestBodyError::TooLarge),
                    (_, Err(_)) => Err(RequestBodyError::Total),
                    (Some(left), Ok(())) => {
                        *this.left = left;
                        Ok(frame)
                    }
                }
            }
        };
        if let Err(error) = &result {
            *this.failed = true;
            if let Some(watch) = this.watch {
                watch.fail(error);
            }
        }
        Poll::Ready(Some(result))
    }
}

impl<B: Body<Data = Bytes>> Body for RequestBody<B>
where
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let this = self.as_mut().project();
        if let Some(frame) = this.kept.pop_front() {
            *this.kept_bytes -= frame.data_ref().map_or(0, Bytes::len);
            return Poll::Ready(Some(Ok(frame)));
        }
        self.poll_inner(cx)
    }

    fn is_end_stream(&self) -> bool {
        !self.failed && self.kept.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.inner.size_hint();
        if self.kept_bytes == 0 {
            return hint;
        }
        let kept = self.kept_bytes as u64;
        let mut with_kept = SizeHint::new();
        if let Some(upper) = hint.upper() {
            with_kept.set_upper(upper.saturating_add(kept));
        }
        with_kept.set_lower(hint.lower().saturating_add(kept));
        with_kept
    }
}
