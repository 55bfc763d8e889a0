use std::{
    borrow::Borrow,
    ops::Deref,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::filling::{CountedBody, FillingBytes};

/// One stored response: its head and its complete body. It never changes. A clone is one increment of a reference
/// count.
#[derive(Clone, Debug)]
pub struct Entry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    head: Head,
    body: Body,
    size: usize,
}

impl Entry {
    /// Creates an entry.
    #[must_use]
    pub fn new(head: Head, body: Body) -> Self {
        let size = head.size() + body.size() + size_of::<Inner>() + 2 * size_of::<usize>();
        Self(Arc::new(Inner { head, body, size }))
    }

    /// Returns an entry with another head and the same body, for a response that was validated. The body is shared,
    /// not copied.
    #[must_use]
    pub fn with_head(&self, head: Head) -> Self {
        Self::new(head, self.0.body.clone())
    }

    /// Returns the head.
    pub fn head(&self) -> &Head {
        &self.0.head
    }

    /// Returns the body.
    pub fn body(&self) -> &Body {
        &self.0.body
    }

    /// Returns the memory that the entry holds, in bytes: body, fields and administration.
    pub fn size(&self) -> usize {
        self.0.size
    }

    /// Returns whether nothing may use the entry any more. See [`Head::expires`].
    pub fn is_expired(&self, now: SystemTime) -> bool {
        self.0.head.expires.is_some_and(|expires| expires <= now)
    }

    /// Returns the entry with a body that holds no more memory than its length. O(length of the body) unless it is so
    /// already.
    #[must_use]
    pub(crate) fn compact(self) -> Self {
        if self.0.body.compact { self } else { Self::new(self.0.head.clone(), self.0.body.compact()) }
    }
}

/// The status, the fields and the times of a stored response.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Head {
    /// The method of the request.
    pub method: Method,
    /// The status of the response.
    pub status: StatusCode,
    /// The fields of the response, without those of the connection.
    pub headers: HeaderMap,
    /// The fields that `Vary` names, with their values in the request, in a normal form. Two entries of a key are the
    /// same variant if these are equal. Empty if the response has no `Vary` field.
    pub vary: Vec<(HeaderName, Vec<HeaderValue>)>,
    /// The tags by which the response can be purged. A response with more than [`Tag::MAX_PER_ENTRY`] tags is not
    /// stored.
    pub tags: Vec<Tag>,
    /// When the request was sent.
    pub request_time: SystemTime,
    /// When the head of the response was received. The newest entry of a key is the one with the latest time.
    pub response_time: SystemTime,
    /// When nothing may use the entry any more, not even after validation. A store drops it then. `None` keeps it until
    /// it is evicted.
    pub expires: Option<SystemTime>,
    /// The age of the response when it was received (`corrected_initial_age` of RFC 9111, 4.2.3).
    pub initial_age: Duration,
    /// How long the response is fresh (`freshness_lifetime` of RFC 9111, 4.2.1), counted from its generation.
    pub fresh_for: Duration,
    /// For how long the response may be used after it has become stale, while it is validated in the background (RFC
    /// 5861, 3).
    pub stale_while_revalidate: Duration,
    /// For how long the response may be used after it has become stale, if the backend fails (RFC 5861, 4).
    pub stale_if_error: Duration,
    /// Decisions of the cache that were made when the response was stored. The store only keeps them.
    pub flags: u32,
}

impl Head {
    /// Creates the head of the response to a `GET` request, without variants and tags, that never expires, with the age
    /// 0 and no freshness.
    #[must_use]
    pub fn new(status: StatusCode, headers: HeaderMap, request_time: SystemTime, response_time: SystemTime) -> Self {
        Self {
            method: Method::GET,
            status,
            headers,
            vary: Vec::new(),
            tags: Vec::new(),
            request_time,
            response_time,
            expires: None,
            initial_age: Duration::ZERO,
            fresh_for: Duration::ZERO,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            flags: 0,
        }
    }

    /// Returns whether another response is the same variant: it replaces this one when it is stored. O(fields that
    /// `Vary` names).
    pub fn is_same_variant(&self, other: &Self) -> bool {
        self.vary == other.vary
    }

    /// Returns whether this response is the same variant as another one, and was received later.
    pub(crate) fn supersedes(&self, other: &Self) -> bool {
        self.response_time > other.response_time && self.is_same_variant(other)
    }

    /// The memory that the fields hold, outside of the structure itself.
    fn size(&self) -> usize {
        // A field in a `HeaderMap` has a bucket of about 100 bytes, an entry of the index, and its name and value.
        const FIELD: usize = 112;
        // `Bytes` of a value that is no constant has a shared part of its own.
        const VALUE: usize = 64;
        let headers: usize =
            self.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD + VALUE).sum();
        let vary: usize = self
            .vary
            .iter()
            .map(|(name, values)| {
                let values: usize = values.iter().map(|value| value.len() + VALUE).sum();
                size_of::<(HeaderName, Vec<HeaderValue>)>() + name.as_str().len() + values
            })
            .sum();
        let tags: usize = self.tags.iter().map(Tag::size).sum();
        headers + vary + tags
    }
}

/// The variants of a key, the newest first. It dereferences to a slice. A clone is one increment of a reference count.
#[derive(Clone, Debug, Default)]
pub struct Entries(Option<Arc<[Entry]>>);

impl Deref for Entries {
    type Target = [Entry];

    fn deref(&self) -> &[Entry] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl FromIterator<Entry> for Entries {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Self {
        let mut entries = entries.into_iter().peekable();
        Self(entries.peek().is_some().then(|| entries.collect()))
    }
}

/// A label by which entries can be purged, from a field such as `Cache-Tag` or `Surrogate-Key`. Upper and lower case
/// differ.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Arc<str>);

impl Tag {
    /// Maximum length of a tag in bytes: 1 024.
    pub const MAX_LEN: usize = 1024;
    /// Maximum number of tags of one entry: 256.
    pub const MAX_PER_ENTRY: usize = 256;

    /// Creates a tag. Returns `None` unless it has 1 to [`MAX_LEN`](Self::MAX_LEN) visible ASCII characters (no space).
    pub fn new(tag: &str) -> Option<Self> {
        let valid = (1..=Self::MAX_LEN).contains(&tag.len()) && tag.bytes().all(|byte| byte.is_ascii_graphic());
        valid.then(|| Self(tag.into()))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The memory of the tag and of its place in a list.
    fn size(&self) -> usize {
        self.0.len() + 4 * size_of::<usize>()
    }
}

impl Borrow<str> for Tag {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The complete body of a stored response, in one or more pieces. A clone is one increment of a reference count.
#[derive(Clone, Debug)]
pub struct Body {
    chunks: Arc<[Bytes]>,
    len: u64,
    /// Whether the pieces hold no more memory than they show.
    compact: bool,
    /// Counts the body until the last clone is dropped.
    _counted: Option<Arc<CountedBody>>,
}

impl Body {
    /// Creates a body of the given pieces, which are not copied. A store in memory copies them once when it stores
    /// them, because a piece may hold a larger buffer. [`BodyBuilder`] avoids that.
    #[must_use]
    pub fn new(chunks: impl IntoIterator<Item = Bytes>) -> Self {
        Self::build(chunks.into_iter().filter(|chunk| !chunk.is_empty()).collect(), false)
    }

    fn build(chunks: Arc<[Bytes]>, compact: bool) -> Self {
        let len = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        Self { chunks, len, compact, _counted: None }
    }

    /// Returns the pieces in their order. None is empty.
    pub fn chunks(&self) -> &[Bytes] {
        &self.chunks
    }

    /// Returns the length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Returns whether the length is 0.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns a copy that holds no more memory than its length, and is counted until the last clone is dropped.
    pub(crate) fn compact_and_counted(&self, of: &Arc<FillingBytes>) -> Self {
        Self { _counted: CountedBody::new(self.len, of), ..self.compact() }
    }

    fn compact(&self) -> Self {
        let mut builder = BodyBuilder::with_capacity(self.len);
        for chunk in self.chunks.iter() {
            builder.push(chunk);
        }
        builder.finish()
    }

    /// The memory of the pieces, if they hold no more than they show.
    fn size(&self) -> usize {
        let chunks: usize = self.chunks.iter().map(|chunk| chunk.len() + size_of::<Bytes>() + 48).sum();
        chunks + 2 * size_of::<usize>()
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::build(Arc::default(), true)
    }
}

/// Collects a body in pieces that hold no more memory than needed: bytes that arrive are copied into pieces of up to
/// 64 KiB.
#[derive(Debug, Default)]
pub struct BodyBuilder {
    chunks: Vec<Bytes>,
    /// The piece that is being filled. Its capacity is never exceeded.
    block: Vec<u8>,
    len: u64,
    expected: u64,
}

impl BodyBuilder {
    const MIN_BLOCK: usize = 4 * 1024;
    /// Pieces of at most this size leave less memory unused in the allocator when large bodies of different sizes come
    /// and go: 8 % of the store with 64 KiB, 31 % with 1 MiB.
    const MAX_BLOCK: usize = 64 * 1024;

    /// Creates a builder for a body of unknown length.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a builder for a body of an expected length in bytes. It saves copying; the real length may differ.
    /// Memory is allocated when bytes arrive.
    #[must_use]
    pub fn with_capacity(expected: u64) -> Self {
        Self { expected, ..Self::default() }
    }

    /// Appends a copy of some bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.block.len() == self.block.capacity() {
                self.flush();
                // As much as is expected, or else as much again as there is already.
                let missing = usize::try_from(self.expected.saturating_sub(self.len)).unwrap_or(Self::MAX_BLOCK);
                let guess = if missing > 0 { missing } else { self.len as usize }.max(bytes.len());
                let least = if missing > 0 { 1 } else { Self::MIN_BLOCK };
                self.block = Vec::with_capacity(guess.clamp(least, Self::MAX_BLOCK));
            }
            let room = self.block.capacity() - self.block.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.block.extend_from_slice(now);
            self.len += now.len() as u64;
            bytes = later;
        }
    }

    /// Returns the number of bytes so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Returns whether there are no bytes yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the body.
    #[must_use]
    pub fn finish(mut self) -> Body {
        self.flush();
        Body::build(self.chunks.into(), true)
    }

    fn flush(&mut self) {
        if !self.block.is_empty() {
            // A boxed slice has no spare capacity.
            self.chunks.push(Bytes::from(std::mem::take(&mut self.block).into_boxed_slice()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_builder_keeps_the_bytes_in_their_order_without_spare_memory() {
        for expected in [0, 10, 5_000_000] {
            let mut builder = BodyBuilder::with_capacity(expected);
            let all: Vec<u8> = (0..3_000_000_u32).map(|i| i as u8).collect();
            for part in all.chunks(7_001) {
                builder.push(part);
            }
            let body = builder.finish();
            assert_eq!(body.chunks().concat(), all);
            assert_eq!(body.len(), 3_000_000);
            let block = BodyBuilder::MAX_BLOCK;
            assert!(body.chunks().iter().all(|chunk| chunk.len() <= block));
            assert!(body.chunks().len() <= 3_000_000 / block + 7, "{} with {expected} expected", body.chunks().len());
        }
    }

    #[test]
    fn a_body_of_the_expected_length_is_one_piece() {
        let mut builder = BodyBuilder::with_capacity(10_000);
        builder.push(&[1; 4_000]);
        builder.push(&[2; 6_000]);
        assert_eq!(builder.finish().chunks().len(), 1);
    }

    #[test]
    fn tags_are_visible_ascii() {
        assert_eq!(Tag::new("product-7").expect("a tag").as_str(), "product-7");
        for tag in ["", "a b", "a\n", "ä", &"x".repeat(Tag::MAX_LEN + 1)] {
            assert_eq!(Tag::new(tag), None, "{tag:?}");
        }
    }

    #[test]
    fn no_entries_hold_no_memory() {
        assert!(Entries::from_iter([]).0.is_none());
        assert!(Entries::default().is_empty());
    }
}
