use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A map by text whose keys come from the configuration. Requests only look texts up, so they cannot fill the map with
/// keys that collide, and the hash needs no secret.
pub(super) type TextMap<V> = HashMap<Box<str>, V, BuildHasherDefault<TextHasher>>;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TextHasher(u64);

impl Hasher for TextHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    /// The byte that ends each text. It is the same for all.
    fn write_u8(&mut self, _: u8) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found() {
        let texts = ["", "a", "b", "ab", "a.test", "a long text with more than sixteen bytes"];
        let map: TextMap<usize> = texts.iter().enumerate().map(|(index, text)| ((*text).into(), index)).collect();
        for (index, text) in texts.into_iter().enumerate() {
            assert_eq!(map.get(text), Some(&index));
        }
        assert_eq!(map.get("c"), None);
    }
}
