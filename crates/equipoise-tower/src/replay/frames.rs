use std::collections::VecDeque;

use bytes::Buf;
use http::HeaderMap;
use http_body::Frame;

/// Frames of a body, in the order in which the body returned them.
pub(super) struct Frames<D> {
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
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none() && self.others.is_empty()
    }

    /// Returns the number of bytes in all data frames.
    pub(super) fn data_bytes(&self) -> u64 {
        let others = self.others.iter().filter_map(Frame::data_ref).map(D::remaining);
        let bytes: usize = self.first.iter().map(D::remaining).chain(others).sum();
        bytes as u64
    }

    pub(super) fn pop(&mut self) -> Option<Frame<D>> {
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
    pub(super) fn append(&mut self, mut more: Self) {
        while let Some(frame) = more.pop() {
            self.push(frame);
        }
    }
}

/// Copies of the frames that an attempt has taken, up to a limit of bytes.
pub(super) struct Record<D> {
    pub(super) frames: Frames<D>,
    /// The number of bytes that may still be kept.
    room: usize,
    /// Whether the attempt has taken the whole body.
    pub(super) ended: bool,
}

impl<D: Buf + Clone> Record<D> {
    pub(super) fn new(room: usize) -> Self {
        Self { frames: Frames::default(), room, ended: false }
    }

    /// Keeps a copy of the frame. Returns false if the frame exceeds the limit.
    pub(super) fn keep(&mut self, frame: &Frame<D>) -> bool {
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
