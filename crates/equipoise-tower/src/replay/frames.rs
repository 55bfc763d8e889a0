use std::collections::VecDeque;

use bytes::Buf;
use http::HeaderMap;
use http_body::Frame;

/// Frames of a body, in their order.
pub(super) struct Frames<D> {
    /// Apart from the others: most bodies have one frame, which then needs no allocation.
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

    /// The number of bytes in all data frames.
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

    /// Adds these frames after its own.
    pub(super) fn append(&mut self, mut more: Self) {
        while let Some(frame) = more.pop() {
            self.push(frame);
        }
    }
}

/// Copies of the frames that an attempt has taken, as far as there is room.
pub(super) struct Record<D> {
    pub(super) frames: Frames<D>,
    /// The number of bytes for which there is room.
    room: usize,
    /// Whether the attempt has taken the whole body.
    pub(super) ended: bool,
}

impl<D: Buf + Clone> Record<D> {
    pub(super) fn new(room: usize) -> Self {
        Self { frames: Frames::default(), room, ended: false }
    }

    /// Keeps a copy of the frame. False if there is no room for it.
    pub(super) fn keep(&mut self, frame: &Frame<D>) -> bool {
        // Otherwise frames of a few bytes would take many times the memory that the limit allows.
        let overhead = if self.frames.is_empty() { 0 } else { size_of::<Frame<D>>() };
        let Some(room) = self.room.checked_sub(overhead.saturating_add(content_bytes(frame))) else { return false };
        let data = frame.data_ref().cloned().map(Frame::data);
        // Neither: a kind of frame that a later version of `http-body` adds.
        let Some(copy) = data.or_else(|| frame.trailers_ref().cloned().map(Frame::trailers)) else { return false };
        self.room = room;
        self.frames.push(copy);
        true
    }
}

/// The memory of what the frame refers to.
fn content_bytes<D: Buf>(frame: &Frame<D>) -> usize {
    /// The memory of a field beside its text, as RFC 9113, section 6.5.2, counts it.
    const FIELD: usize = 32;
    let data = frame.data_ref().map_or(0, D::remaining);
    let fields = frame.trailers_ref().into_iter().flat_map(HeaderMap::iter);
    fields.fold(data, |sum, (name, value)| sum.saturating_add(name.as_str().len() + value.len() + FIELD))
}
