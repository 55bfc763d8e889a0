//! Passes a request body to an attempt. If the attempt fails, the body comes back, together with copies of the frames
//! that the attempt has read from it.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Buf;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;

/// Frames of a body, in the order in which the body returned them.
struct Frames<D> {
    /// The first frame, if it is a data frame. It is stored separately because most bodies have one frame, which then
    /// needs no allocation.
    first: Option<D>,
    others: VecDeque<Frame<D>>,
}

impl<D> Default for Frames<D> {
    fn default() -> Self {
        Self { first: None, others: VecDeque::new() }
    }
}

impl<D: Buf> Frames<D> {
    fn is_empty(&self) -> bool {
        self.first.is_none() && self.others.is_empty()
    }

    /// Returns the number of bytes in all data frames.
    fn data_bytes(&self) -> u64 {
        let others = self.others.iter().filter_map(Frame::data_ref).map(D::remaining);
        let bytes: usize = self.first.iter().map(D::remaining).chain(others).sum();
        bytes as u64
    }

    fn pop(&mut self) -> Option<Frame<D>> {
        self.first.take().map(Frame::data).or_else(|| self.others.pop_front())
    }

    fn push(&mut self, frame: Frame<D>) {
        if self.is_empty() {
            match frame.into_data() {
                Ok(data) => self.first = Some(data),
                Err(frame) => self.others.push_back(frame),
            }
        } else {
            self.others.push_back(frame);
        }
    }

    /// Appends `more` after these frames.
    fn append(&mut self, mut more: Self) {
        while let Some(frame) = more.pop() {
            self.push(frame);
        }
    }
}

/// Copies of the frames that an attempt has taken, up to a limit of bytes.
pub(super) struct Record<D> {
    frames: Frames<D>,
    /// The number of bytes that may still be kept.
    room: usize,
    /// Whether the attempt has taken the whole body.
    ended: bool,
}

impl<D: Buf + Clone> Record<D> {
    fn new(room: usize) -> Self {
        Self { frames: Frames::default(), room, ended: false }
    }

    /// Keeps a copy of the frame. Returns false if the frame exceeds the limit.
    fn keep(&mut self, frame: &Frame<D>) -> bool {
        // Without this overhead, frames of a few bytes would take many times the memory that the limit allows.
        let overhead = if self.frames.is_empty() { 0 } else { size_of::<Frame<D>>() };
        let Some(room) = self.room.checked_sub(overhead.saturating_add(content_bytes(frame))) else { return false };
        let data = frame.data_ref().cloned().map(Frame::data);
        // A frame that is neither data nor trailers is of a kind that a later version of `http-body` adds.
        let Some(copy) = data.or_else(|| frame.trailers_ref().cloned().map(Frame::trailers)) else { return false };
        self.room = room;
        self.frames.push(copy);
        true
    }
}

/// Returns the number of bytes that the frame's data or trailers take in memory.
fn content_bytes<D: Buf>(frame: &Frame<D>) -> usize {
    /// The memory of a header field in addition to its text, as RFC 9113, section 6.5.2, counts it.
    const FIELD: usize = 32;
    let data = frame.data_ref().map_or(0, D::remaining);
    let fields = frame.trailers_ref().into_iter().flat_map(HeaderMap::iter);
    fields.fold(data, |sum, (name, value)| sum.saturating_add(name.as_str().len() + value.len() + FIELD))
}

/// A body, preceded by the frames that an earlier attempt has taken from it.
pub(super) struct Source<B: Body> {
    /// The frames that come before those of `body`.
    again: Option<Box<Frames<B::Data>>>,
    /// The rest of the body. `None` once it has ended.
    body: Option<B>,
}

impl<B: Body> Source<B> {
    pub(super) fn new(body: B) -> Self {
        Self { again: None, body: Some(body) }
    }

    pub(super) fn ended() -> Self {
        Self { again: None, body: None }
    }

    /// Returns the body if no frame has been taken from it.
    pub(super) fn into_body(self) -> Result<B, Self> {
        match self {
            Self { again: None, body: Some(body) } => Ok(body),
            other => Err(other),
        }
    }

    /// Returns this source with `frames` in front of its own frames.
    fn after(mut self, mut frames: Frames<B::Data>) -> Self {
        if !frames.is_empty() {
            if let Some(more) = self.again.take() {
                frames.append(*more);
            }
            self.again = Some(Box::new(frames));
        }
        self
    }
}

impl<B: Body + Unpin> Body for Source<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        if let Some(frame) = self.again.as_mut().and_then(|again| again.pop()) {
            return Poll::Ready(Some(Ok(frame)));
        }
        self.again = None;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if frame.is_none() {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.again.as_ref().is_none_or(|again| again.is_empty()) && self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let body = self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        let Some(again) = &self.again else { return body };
        let before = again.data_bytes();
        let mut hint = SizeHint::new();
        if let Some(upper) = body.upper().and_then(|upper| upper.checked_add(before)) {
            hint.set_upper(upper);
        }
        hint.set_lower(body.lower().saturating_add(before));
        hint
    }
}

/// What the attempt and the balancer share of a body that was passed to the attempt.
struct Shared<B: Body> {
    /// Copies of the frames that the attempt has taken. `None` if they exceed the limit, if the body has failed, or if
    /// the balancer no longer needs them.
    taken: Option<Record<B::Data>>,
    /// The part of the body that the attempt has not taken. `None` until the attempt drops the body.
    left: Option<Source<B>>,
}

impl<B: Body<Data: Clone>> Shared<B> {
    /// Records what the attempt has polled. Returns false if nothing more needs to be recorded.
    fn note(&mut self, polled: Option<&Result<Frame<B::Data>, B::Error>>, ended: bool) -> bool {
        let Some(taken) = &mut self.taken else { return false };
        let (kept, last) = match polled {
            Some(Ok(frame)) => (taken.keep(frame), frame.is_trailers()),
            Some(Err(_)) => (false, true),
            None => (true, true),
        };
        if kept {
            taken.ended = ended || last;
        } else {
            self.taken = None;
        }
        kept
    }
}

/// The balancer's side of a body that was passed to an attempt.
pub(super) struct Slot<B: Body>(Arc<Mutex<Shared<B>>>);

impl<B: Body> Slot<B> {
    /// Returns the body as it was before the attempt. `None` if the attempt has taken more than may be kept, or if it still holds a
    /// body that has not ended. After this call, the attempt's side records nothing more.
    pub(super) fn take(&self) -> Option<Source<B>> {
        let (taken, left) = self.close();
        let taken = taken?;
        // A body that was taken completely need not come back. hyper may hold it for longer than its request.
        let left = if taken.ended { Source::ended() } else { left? };
        Some(left.after(taken.frames))
    }

    /// Takes what was kept. After this call, nothing more is kept.
    pub(super) fn close(&self) -> (Option<Record<B::Data>>, Option<Source<B>>) {
        let mut shared = self.0.lock();
        (shared.taken.take(), shared.left.take())
    }
}

/// Passes a body to one attempt, and returns both sides. At most `max_bytes` of what the attempt takes are kept.
pub(super) fn lend<B: Body<Data: Clone> + Unpin>(source: Source<B>, max_bytes: usize) -> (Lent<B>, Slot<B>) {
    let shared = Arc::new(Mutex::new(Shared { taken: Some(Record::new(max_bytes)), left: None }));
    (Lent { source: Some(source), shared: Arc::clone(&shared), notes: true }, Slot(shared))
}

/// The attempt's side of a body that was passed to the attempt. When it is dropped, the rest of the body goes back to the balancer.
pub(super) struct Lent<B: Body> {
    source: Option<Source<B>>,
    shared: Arc<Mutex<Shared<B>>>,
    /// Whether the balancer can still use what this side records.
    notes: bool,
}

impl<B: Body> Lent<B> {
    /// Takes the body out, so that an inner balancer can pass it to its own attempt.
    pub(super) fn empty(&mut self) -> Option<Source<B>> {
        self.source.take()
    }

    /// Puts the body back. `source` is `None` if the body did not come back from the inner balancer's attempt.
    pub(super) fn refill(mut self, source: Option<Source<B>>) -> Self {
        self.source = source;
        self
    }
}

impl<B: Body> Drop for Lent<B> {
    fn drop(&mut self) {
        if self.notes
            && let Some(source) = self.source.take()
        {
            self.shared.lock().left = Some(source);
        }
    }
}

impl<B: Body<Data: Clone> + Unpin> Body for Lent<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = &mut *self;
        let Some(source) = &mut this.source else { return Poll::Ready(None) };
        let polled = ready!(Pin::new(&mut *source).poll_frame(cx));
        if this.notes {
            let ended = source.is_end_stream();
            this.notes = this.shared.lock().note(polled.as_ref(), ended);
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.source.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.source.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
