use std::{
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use equipoise_tower::BoxError;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::Denial;

pin_project! {
    /// The body of a request behind a [`Filter`](super::Filter). It fails if it is longer than its limit.
    #[derive(Debug)]
    pub struct LimitedBody<B> {
        #[pin]
        inner: B,
        limit: Option<Limit>,
    }
}

/// The limit of one body.
#[derive(Debug)]
pub(super) struct Limit {
    left: u64,
    max: u64,
    denial: Arc<OnceLock<Denial>>,
    too_large: Arc<AtomicU64>,
}

/// The denial of a request whose body is too long.
pub(super) fn too_large() -> Denial {
    Denial::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "the body of the request is too large")
}

impl Limit {
    /// Limits a body to `max` bytes. When it is longer, `denial` is set and `too_large` is incremented.
    pub(super) fn new(max: u64, denial: Arc<OnceLock<Denial>>, too_large: Arc<AtomicU64>) -> Self {
        Self { left: max, max, denial, too_large }
    }
}

/// Why the body of a request behind a [`Filter`](super::Filter) failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LimitedBodyError {
    /// The body is longer than its limit. The response has status 413.
    #[error("the body of the request is longer than {max} bytes")]
    TooLarge {
        /// The limit in bytes.
        max: u64,
    },
    /// The body of the client failed.
    #[error("the body of the request failed")]
    Client(#[source] BoxError),
}

impl<B> LimitedBody<B> {
    pub(super) fn new(inner: B, limit: Option<Limit>) -> Self {
        Self { inner, limit }
    }
}

impl<B: Body<Data = Bytes>> Body for LimitedBody<B>
where
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = LimitedBodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, LimitedBodyError>>> {
        let this = self.project();
        if let Some(limit) = this.limit
            && limit.denial.get().is_some()
        {
            return Poll::Ready(None);
        }
        let frame = match ready!(this.inner.poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(LimitedBodyError::Client(error.into())))),
            None => return Poll::Ready(None),
        };
        if let (Some(limit), Some(data)) = (this.limit, frame.data_ref()) {
            let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
            match limit.left.checked_sub(length) {
                Some(left) => limit.left = left,
                None => {
                    let _ = limit.denial.set(too_large());
                    limit.too_large.fetch_add(1, Ordering::Relaxed);
                    return Poll::Ready(Some(Err(LimitedBodyError::TooLarge { max: limit.max })));
                }
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
