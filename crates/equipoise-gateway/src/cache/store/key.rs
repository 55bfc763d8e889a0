use std::{
    fmt,
    hash::{BuildHasher, Hash, Hasher, RandomState},
    sync::{Arc, LazyLock},
};

/// Keys that an attacker chooses must not collide on purpose, so the hash has a secret of the process.
static SECRET: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// The primary key of stored responses: a URL, and an extra part for what else the cache is told to tell apart.
///
/// The URL has the form that the cache gives it, such as `https://example.com/a?b=1`. The extra part is empty, or has
/// for example the identity of a client or the value of a field. Keys are equal if both parts are equal byte by byte.
/// The hash is computed once, with a secret of the process. A clone is one increment of a reference count.
///
/// ```
/// use equipoise_gateway::cache::store::Key;
///
/// let key = Key::new("https://example.com/", b"alice").expect("a key");
/// assert_eq!((key.url(), key.extra()), ("https://example.com/", &b"alice"[..]));
/// assert_ne!(key, Key::new("https://example.com/", b"").expect("a key"));
/// ```
#[derive(Clone)]
pub struct Key(Arc<Parts>);

struct Parts {
    hash: u64,
    url: Box<str>,
    extra: Box<[u8]>,
}

impl Key {
    /// Maximum length of the URL and the extra part together, in bytes: 16 KiB.
    pub const MAX_LEN: usize = 16 * 1024;

    /// Creates a key. Returns `None` if both parts together are longer than [`MAX_LEN`](Self::MAX_LEN): such a request
    /// is not cached. O(length).
    pub fn new(url: impl AsRef<str>, extra: impl AsRef<[u8]>) -> Option<Self> {
        Self::of(url.as_ref().to_owned(), extra.as_ref().to_owned())
    }

    /// Creates a key of parts that it keeps as they are.
    pub(crate) fn of(url: String, extra: Vec<u8>) -> Option<Self> {
        if url.len().checked_add(extra.len())? > Self::MAX_LEN {
            return None;
        }
        let hash = SECRET.hash_one((url.as_str(), extra.as_slice()));
        Some(Self(Arc::new(Parts { hash, url: url.into(), extra: extra.into() })))
    }

    /// Returns the URL.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// Returns the extra part. Empty if only the URL counts.
    pub fn extra(&self) -> &[u8] {
        &self.0.extra
    }

    /// Returns the hash of both parts. It differs from process to process.
    pub fn hash(&self) -> u64 {
        self.0.hash
    }

    /// Returns the memory that the key holds, in bytes.
    pub(crate) fn size(&self) -> usize {
        size_of::<Parts>() + 2 * size_of::<usize>() + self.0.url.len() + self.0.extra.len()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || (self.0.hash == other.0.hash && self.0.url == other.0.url && self.0.extra == other.0.extra)
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash);
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("url", &self.url())
            .field("extra", &self.extra().escape_ascii().to_string())
            .finish()
    }
}

/// Hashes a URL or a tag with the secret of the process.
pub(crate) fn hash_text(text: &str) -> u64 {
    SECRET.hash_one(text)
}

/// Passes on the hash that a [`Key`] has computed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Not used by `Key`. It is correct for any other type, only slow.
        for byte in bytes {
            self.0 = (self.0.rotate_left(5) ^ u64::from(*byte)).wrapping_mul(0x517c_c1b7_2722_0a95);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(url: &str, extra: &[u8]) -> Key {
        Key::new(url, extra).expect("a key")
    }

    #[test]
    fn the_border_between_url_and_extra_counts() {
        assert_ne!(key("https://a/b", b"c"), key("https://a/bc", b""));
        assert_ne!(key("https://a/b", b"c").hash(), key("https://a/bc", b"").hash());
        assert_eq!(key("https://a/b", b"c"), key("https://a/b", b"c"));
    }

    #[test]
    fn keys_with_equal_hashes_differ_by_their_text() {
        let parts = |url: &str| Key(Arc::new(Parts { hash: 7, url: url.into(), extra: Box::default() }));
        assert_ne!(parts("https://a/"), parts("https://b/"));
    }

    #[test]
    fn too_long_keys_are_refused() {
        assert!(Key::new("a".repeat(Key::MAX_LEN), b"").is_some());
        assert!(Key::new("a".repeat(Key::MAX_LEN), b"a").is_none());
    }
}
