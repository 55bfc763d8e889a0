use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use equipoise_tower::BoxError;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::traits::{BodyFilter, BodyOutput, BodyRejected};
use crate::Denial;

pin_project! {
    /// A body whose bytes go through a [`BodyFilter`], or one that is passed on as it is.
    pub struct FilteredBody<B> {
        #[pin]
        inner: B,
        filtering: Option<Box<Filtering>>,
    }
}

struct Filtering {
    filter: Box<dyn BodyFilter>,
    changes: bool,
    output: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    state: State,
    outcome: Outcome,
    failure: Option<BodyRejected>,
}

/// What becomes of a filtered body, for its layer.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    /// The denial for which the filter has ended the message.
    pub(super) denial: Arc<OnceLock<Denial>>,
    pub(super) counts: Arc<Counts>,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    filtered: AtomicU64,
    rejected: AtomicU64,
}

/// What a [`RequestBodyFilterLayer`](super::RequestBodyFilterLayer) or a
/// [`ResponseBodyFilterLayer`](super::ResponseBodyFilterLayer) has counted since it was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BodyFilterStats {
    /// The number of bodies that were given to a filter.
    pub filtered: u64,
    /// The number of messages that a filter has ended, and of requests whose encoding it cannot read.
    pub rejected: u64,
}

impl Counts {
    pub(super) fn on_rejected(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn stats(&self) -> BodyFilterStats {
        BodyFilterStats {
            filtered: self.filtered.load(Ordering::Relaxed),
            rejected: self.rejected.load(Ordering::Relaxed),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reading,
    /// The inner body has ended. What is kept follows.
    Ended,
    Failed,
}

/// Why a filtered body failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilteredBodyError {
    /// A [`BodyFilter`] has ended the message.
    #[error("a filter has ended the body: {0}")]
    Rejected(BodyRejected),
    /// The body failed before the filter.
    #[error("the body failed")]
    Inner(#[source] BoxError),
}

impl<B> FilteredBody<B> {
    /// Passes on a body as it is.
    pub(super) fn plain(inner: B) -> Self {
        Self { inner, filtering: None }
    }

    /// Filters a body. `outcome` gets the reason if the filter ends the message.
    pub(super) fn new(inner: B, filter: Box<dyn BodyFilter>, outcome: Outcome) -> Self {
        outcome.counts.filtered.fetch_add(1, Ordering::Relaxed);
        let filtering = Filtering {
            changes: filter.changes_body(),
            filter,
            output: VecDeque::new(),
            trailers: None,
            state: State::Reading,
            outcome,
            failure: None,
        };
        Self { inner, filtering: Some(Box::new(filtering)) }
    }
}

impl Filtering {
    fn chunk(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        if let Err(rejected) = self.filter.chunk(data, &mut BodyOutput(&mut self.output)) {
            self.fail(rejected);
        }
    }

    fn end(&mut self, trailers: Option<HeaderMap>) {
        self.state = State::Ended;
        if let Err(rejected) = self.filter.end(&mut BodyOutput(&mut self.output)) {
            return self.fail(rejected);
        }
        self.trailers = trailers;
        if let Some(trailers) = &mut self.trailers {
            self.filter.trailers(trailers);
        }
    }

    fn fail(&mut self, rejected: BodyRejected) {
        self.state = State::Failed;
        // Set before the body fails, so that the layer knows why the inner service fails.
        let _ = self.outcome.denial.set(rejected.denial().clone());
        self.outcome.counts.on_rejected();
        self.failure = Some(rejected);
    }

    /// Returns the next frame that is there. `Some(None)` is the end, and `None` means that more must be read.
    fn next(&mut self) -> Option<Option<Result<Frame<Bytes>, FilteredBodyError>>> {
        if let Some(data) = self.output.pop_front() {
            return Some(Some(Ok(Frame::data(data))));
        }
        match self.state {
            State::Reading => None,
            State::Ended => Some(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers)))),
            State::Failed => Some(self.failure.take().map(|rejected| Err(FilteredBodyError::Rejected(rejected)))),
        }
    }
}

impl<B: Body<Data = Bytes>> Body for FilteredBody<B>
where
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = FilteredBodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, FilteredBodyError>>> {
        let mut this = self.project();
        let Some(filtering) = this.filtering else {
            let frame = ready!(this.inner.poll_frame(cx));
            return Poll::Ready(frame.map(|frame| frame.map_err(|error| FilteredBodyError::Inner(error.into()))));
        };
        loop {
            if let Some(next) = filtering.next() {
                return Poll::Ready(next);
            }
            match ready!(this.inner.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => filtering.chunk(data),
                    Err(frame) => match frame.into_trailers() {
                        Ok(trailers) => filtering.end(Some(trailers)),
                        // Frames of kinds that this version does not know cannot be filtered.
                        Err(_) => continue,
                    },
                },
                Some(Err(error)) => {
                    // The filter is dropped without `end`: the body is not complete.
                    filtering.state = State::Failed;
                    return Poll::Ready(Some(Err(FilteredBodyError::Inner(error.into()))));
                }
                None => filtering.end(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.filtering {
            None => self.inner.is_end_stream(),
            Some(filtering) => {
                filtering.state != State::Reading
                    && filtering.output.is_empty()
                    && filtering.trailers.is_none()
                    && filtering.failure.is_none()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.filtering {
            None => self.inner.size_hint(),
            Some(filtering) if filtering.changes => SizeHint::default(),
            Some(filtering) if filtering.output.is_empty() => self.inner.size_hint(),
            Some(_) => SizeHint::default(),
        }
    }
}

impl<B: fmt::Debug> fmt::Debug for FilteredBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilteredBody")
            .field("inner", &self.inner)
            .field("is_filtered", &self.filtering.is_some())
            .finish_non_exhaustive()
    }
}
