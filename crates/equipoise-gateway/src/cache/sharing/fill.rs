use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use crate::cache::{
    CacheError,
    store::{self, FillingBytes, Head},
};

/// The bytes that wait for the slowest reader of a response that is not stored.
const WINDOW: u64 = 256 * 1024;

/// Chunks of fewer bytes are copied.
const SHORT: usize = 4096;

/// For how long a reader that reads nothing may keep the others of a response that is not stored waiting. A client
/// behind a slow link takes some MB at once, into the buffers of its socket, and then nothing until these are sent. A
/// server lets it take nothing for as long by default.
const PATIENCE: Duration = Duration::from_secs(60);

/// A response that is being received, and read by any number of clients at the same time.
///
/// All bytes are kept until the end, so a client may join at any time and is never slowed down by another one. When the
/// response becomes larger than the limit, it will not be stored: from then on no client can join, and bytes are kept
/// only until all clients have read them.
#[derive(Debug)]
pub(crate) struct Filling {
    pub(crate) head: Arc<Head>,
    expected: Option<u64>,
    limit: u64,
    /// The bytes that all fillings hold, and their maximum.
    budget: Arc<Budget>,
    state: Mutex<State>,
    /// Wakes the producer when a reader has read or has left.
    room: Notify,
}

/// The limits of all fillings of a cache: how many bytes they may hold together, and how long a body may be silent.
#[derive(Debug)]
pub(crate) struct Budget {
    pub(crate) of_cache: FillingBytes,
    /// The bytes of all caches with the same store.
    pub(crate) of_store: Arc<FillingBytes>,
    pub(crate) idle_timeout: Duration,
}

impl Budget {
    /// Adds bytes. Returns whether they are within both limits.
    fn add(&self, bytes: u64) -> bool {
        let (cache, store) = (self.of_cache.add(bytes), self.of_store.add(bytes));
        cache && store
    }

    fn remove(&self, bytes: u64) {
        self.of_cache.remove(bytes);
        self.of_store.remove(bytes);
    }
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Bytes>,
    /// The complete body, whose chunks these are then.
    body: Option<store::Body>,
    /// The number of chunks that were dropped from the front.
    dropped: usize,
    kept_bytes: u64,
    total: u64,
    /// Whether the response is too large to be stored.
    overflown: bool,
    end: Option<End>,
    readers: Vec<Option<Cursor>>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Cursor {
    next: usize,
    /// The bytes of the next chunk that were read already.
    skip: usize,
    waker: Option<Waker>,
}

#[derive(Clone, Debug)]
enum End {
    Complete(Option<HeaderMap>),
    Failed(CacheError),
}

impl State {
    /// Takes the place of the slowest readers, which get an error.
    fn give_up_slowest(&mut self) {
        let slowest = self.readers.iter().flatten().map(|cursor| cursor.next).min();
        for place in &mut self.readers {
            if place.as_ref().map(|cursor| cursor.next) == slowest {
                *place = None;
            }
        }
    }
}

impl Filling {
    pub(crate) fn new(head: Arc<Head>, expected: Option<u64>, limit: u64, budget: Arc<Budget>) -> Arc<Self> {
        Arc::new(Self { head, expected, limit, budget, state: Mutex::default(), room: Notify::new() })
    }

    /// Whether the response was too large to be stored.
    pub(crate) fn is_overflown(&self) -> bool {
        self.state.lock().overflown
    }

    /// Whether a client reads the response.
    pub(crate) fn has_readers(&self) -> bool {
        self.state.lock().readers.iter().any(Option::is_some)
    }

    /// Begins to read from the first byte. `None` if the response has become too large for that, or has failed.
    pub(crate) fn join(self: &Arc<Self>) -> Option<Reader> {
        let mut state = self.state.lock();
        if state.overflown || matches!(state.end, Some(End::Failed(_))) {
            return None;
        }
        let cursor = Some(Cursor { next: 0, skip: 0, waker: None });
        let slot = match state.free.pop() {
            Some(slot) => {
                if let Some(place) = state.readers.get_mut(slot) {
                    *place = cursor;
                }
                slot
            }
            None => {
                state.readers.push(cursor);
                state.readers.len() - 1
            }
        };
        Some(Reader { filling: Arc::clone(self), slot, given_up: false })
    }

    /// Receives the whole body. Returns it, with its trailers, if it is complete and not too large: then the readers
    /// see its end after [`finish`](Self::finish). Otherwise, they see its end or its error now.
    pub(crate) async fn receive<R>(&self, body: R) -> Option<(store::Body, Option<HeaderMap>)>
    where
        R: Body<Data = Bytes>,
        R::Error: Into<equipoise_tower::BoxError>,
    {
        let mut body = std::pin::pin!(body);
        let mut trailers = None;
        let mut received = 0_u64;
        loop {
            let frame = match tokio::time::timeout(self.budget.idle_timeout, body.as_mut().frame()).await {
                Ok(Some(frame)) => frame.map(Frame::into_data).map_err(CacheError::body),
                Ok(None) => break,
                Err(_) => Err(CacheError::body(std::io::Error::new(
                    std::io::ErrorKind::TimedOut,
                    "no bytes of the body have arrived for too long",
                ))),
            };
            match frame {
                Ok(Ok(chunk)) => {
                    received += chunk.len() as u64;
                    if let Some(expected) = self.expected
                        && received > expected
                    {
                        self.end(End::Failed(CacheError::Length { expected, received }));
                        return None;
                    }
                    if !self.push(chunk) && !self.wait_for_room().await {
                        return None;
                    }
                }
                Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
                Err(error) => {
                    self.end(End::Failed(error));
                    return None;
                }
            }
        }
        if let Some(expected) = self.expected
            && expected != received
        {
            self.end(End::Failed(CacheError::Length { expected, received }));
            return None;
        }
        let body = {
            let state = self.state.lock();
            (!state.overflown).then(|| store::Body::new(state.chunks.iter().cloned()))
        };
        let Some(body) = body else {
            self.end(End::Complete(trailers));
            return None;
        };
        Some((body, trailers))
    }

    /// Tells the readers that the response is complete. From now on, they read the body that was handed to the store.
    /// If the store is in memory, what they have not read yet needs no memory beside the store, and is no longer
    /// counted here.
    pub(crate) fn finish(&self, body: store::Body, trailers: Option<HeaderMap>, is_in_memory: bool) {
        let kept = {
            let mut guard = self.state.lock();
            let state = &mut *guard;
            let ends = ends_of(&state.chunks);
            let new_ends = ends_of(body.chunks());
            for cursor in state.readers.iter_mut().flatten() {
                let read = cursor.next.checked_sub(1).and_then(|last| ends.get(last)).copied().unwrap_or(0);
                cursor.next = new_ends.partition_point(|end| *end <= read);
                let begin = cursor.next.checked_sub(1).and_then(|last| new_ends.get(last)).copied().unwrap_or(0);
                cursor.skip = read - begin;
            }
            state.chunks = body.chunks().iter().cloned().collect();
            state.body = Some(body);
            if is_in_memory { std::mem::take(&mut state.kept_bytes) } else { 0 }
        };
        self.budget.remove(kept);
        self.end(End::Complete(trailers));
    }

    /// Adds bytes. Returns false if the producer has to wait until they are read.
    fn push(&self, chunk: Bytes) -> bool {
        if chunk.is_empty() {
            return true;
        }
        // A short chunk is often a part of a larger buffer, which it would keep in memory without being counted.
        let chunk = if chunk.len() < SHORT { Bytes::copy_from_slice(&chunk) } else { chunk };
        let len = chunk.len() as u64;
        let is_within = self.budget.add(len);
        let mut state = self.state.lock();
        state.chunks.push_back(chunk);
        state.kept_bytes += len;
        state.total += len;
        if !state.overflown && (state.total > self.limit || !is_within) {
            state.overflown = true;
        }
        if state.overflown {
            self.trim(&mut state);
        }
        state.readers.iter_mut().flatten().filter_map(|cursor| cursor.waker.take()).for_each(Waker::wake);
        !state.overflown || state.kept_bytes <= WINDOW
    }

    /// Waits until the readers of a response that is too large have read enough. Returns false if there are none left.
    /// The slowest readers are given up if they read nothing for a while and others wait for data.
    async fn wait_for_room(&self) -> bool {
        let (mut deadline, mut dropped) = (Instant::now() + PATIENCE, None);
        loop {
            let room = self.room.notified();
            {
                let mut guard = self.state.lock();
                let state = &mut *guard;
                let now = Instant::now();
                if *dropped.get_or_insert(state.dropped) != state.dropped {
                    dropped = Some(state.dropped);
                    deadline = now + PATIENCE;
                } else if now >= deadline {
                    deadline = now + PATIENCE;
                    if state.readers.iter().flatten().any(|cursor| cursor.waker.is_some()) {
                        state.give_up_slowest();
                        self.trim(state);
                    }
                }
                if state.readers.iter().all(Option::is_none) {
                    return false;
                }
                if state.kept_bytes <= WINDOW {
                    return true;
                }
            }
            let _ = tokio::time::timeout_at(deadline, room).await;
        }
    }

    /// Drops the chunks that all readers have read.
    fn trim(&self, state: &mut State) {
        let Some(slowest) = state.readers.iter().flatten().map(|cursor| cursor.next).min() else { return };
        while state.dropped < slowest
            && let Some(chunk) = state.chunks.pop_front()
        {
            let len = chunk.len() as u64;
            state.kept_bytes -= len;
            state.dropped += 1;
            self.budget.remove(len);
        }
    }

    fn end(&self, end: End) {
        let mut state = self.state.lock();
        if state.end.is_none() {
            state.end = Some(end);
            state.readers.iter_mut().flatten().filter_map(|cursor| cursor.waker.take()).for_each(Waker::wake);
        }
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        self.budget.remove(self.state.get_mut().kept_bytes);
    }
}

/// Returns where each chunk ends, in bytes from the beginning of the body.
fn ends_of<'a>(chunks: impl IntoIterator<Item = &'a Bytes>) -> Vec<usize> {
    let mut end = 0;
    let add = |chunk: &Bytes| {
        end += chunk.len();
        end
    };
    chunks.into_iter().map(add).collect()
}

/// Tells the readers when the producer is gone before the end, for example because the runtime shuts down.
pub(crate) struct EndsOnDrop<'a>(pub(crate) &'a Filling);

impl Drop for EndsOnDrop<'_> {
    fn drop(&mut self) {
        self.0.end(End::Failed(CacheError::Lost));
    }
}

/// Reads a response that is being received.
#[derive(Debug)]
pub(crate) struct Reader {
    filling: Arc<Filling>,
    slot: usize,
    /// Whether the error for a reader that was too slow was given.
    given_up: bool,
}

impl Reader {
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CacheError>>> {
        let mut guard = self.filling.state.lock();
        let state = &mut *guard;
        let count = state.dropped + state.chunks.len();
        let Some(Some(cursor)) = state.readers.get_mut(self.slot) else {
            if self.given_up {
                return Poll::Ready(None);
            }
            self.given_up = true;
            return Poll::Ready(Some(Err(CacheError::body(std::io::Error::new(
                std::io::ErrorKind::TimedOut,
                "the client read too slowly, and others waited for it",
            )))));
        };
        if let Some(chunk) = cursor.next.checked_sub(state.dropped).and_then(|index| state.chunks.get(index)) {
            let chunk = chunk.slice(std::mem::take(&mut cursor.skip).min(chunk.len())..);
            cursor.next += 1;
            if state.overflown {
                self.filling.trim(state);
                drop(guard);
                self.filling.room.notify_one();
            }
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        match &state.end {
            // One past the end says that the trailers or the error were given.
            _ if cursor.next > count => Poll::Ready(None),
            Some(End::Complete(None)) => Poll::Ready(None),
            Some(End::Complete(Some(trailers))) => {
                cursor.next = count + 1;
                Poll::Ready(Some(Ok(Frame::trailers(trailers.clone()))))
            }
            Some(End::Failed(error)) => {
                cursor.next = count + 1;
                Poll::Ready(Some(Err(error.clone())))
            }
            None => {
                cursor.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        let state = self.filling.state.lock();
        let count = state.dropped + state.chunks.len();
        let at_end = state.readers.get(self.slot).and_then(Option::as_ref).is_some_and(|cursor| cursor.next >= count);
        at_end && matches!(state.end, Some(End::Complete(None)))
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let state = self.filling.state.lock();
        let cursor = state.readers.get(self.slot).and_then(Option::as_ref);
        let (next, skip) = cursor.map_or((0, 0), |cursor| (cursor.next, cursor.skip as u64));
        let unread: u64 =
            state.chunks.iter().skip(next.saturating_sub(state.dropped)).map(|chunk| chunk.len() as u64).sum();
        let unread = unread.saturating_sub(skip);
        let read = state.total - unread.min(state.total);
        match (self.filling.expected, &state.end) {
            (_, Some(End::Complete(_))) => SizeHint::with_exact(unread),
            (Some(expected), None) if expected >= read => SizeHint::with_exact(expected - read),
            _ => SizeHint::default(),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        {
            let mut guard = self.filling.state.lock();
            let state = &mut *guard;
            if let Some(place) = state.readers.get_mut(self.slot) {
                *place = None;
                state.free.push(self.slot);
            }
            if state.overflown {
                self.filling.trim(state);
            }
        }
        self.filling.room.notify_one();
    }
}
