use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::{BuildHasherDefault, Hash},
};

use parking_lot::Mutex;

use super::super::{
    Entry, Key, Tag,
    key::{KeyHasher, hash_text},
};

/// Which keys have a tag or, among those with an extra part, a URL. It has what is in the store and nothing else, so it
/// is bounded by the size of the store.
#[derive(Default)]
pub(super) struct Index {
    tags: Groups<Tag>,
    urls: Groups<Box<str>>,
}

impl Index {
    /// Adds a key with the tags of its variants. `id` is that of its slot.
    pub(super) fn add(&self, key: &Key, entries: &[Entry], id: u64) {
        for tag in entries.iter().flat_map(|entry| &entry.head().tags) {
            self.tags.add(tag.as_str(), || tag.clone(), key, id);
        }
        if !key.extra().is_empty() {
            self.urls.add(key.url(), || key.url().into(), key, id);
        }
    }

    /// Removes a key from the tags of its variants, where it was not added again with another `id`.
    pub(super) fn remove(&self, key: &Key, entries: &[Entry], id: u64) {
        for tag in entries.iter().flat_map(|entry| &entry.head().tags) {
            self.tags.remove(tag.as_str(), key, id);
        }
        if !key.extra().is_empty() {
            self.urls.remove(key.url(), key, id);
        }
    }

    pub(super) fn keys_of_tag(&self, tag: &Tag) -> Vec<Key> {
        self.tags.keys(tag.as_str())
    }

    /// Returns the keys with this URL that have an extra part.
    pub(super) fn keys_of_url(&self, url: &str) -> Vec<Key> {
        self.urls.keys(url)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.tags.len() + self.urls.len()
    }
}

/// Sets of keys by a label, with a few locks by the hash of the label.
struct Groups<L>([Mutex<HashMap<L, Keys>>; 16]);

type Keys = HashMap<Key, u64, BuildHasherDefault<KeyHasher>>;

impl<L> Default for Groups<L> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl<L: Borrow<str> + Eq + Hash> Groups<L> {
    fn part(&self, label: &str) -> &Mutex<HashMap<L, Keys>> {
        &self.0[hash_text(label) as usize % self.0.len()]
    }

    fn add(&self, label: &str, owned: impl FnOnce() -> L, key: &Key, id: u64) {
        let mut groups = self.part(label).lock();
        if let Some(keys) = groups.get_mut(label) {
            keys.insert(key.clone(), id);
        } else {
            groups.entry(owned()).or_default().insert(key.clone(), id);
        }
    }

    fn remove(&self, label: &str, key: &Key, id: u64) {
        let mut groups = self.part(label).lock();
        let Some(keys) = groups.get_mut(label) else { return };
        if keys.get(key) == Some(&id) {
            keys.remove(key);
        }
        if keys.is_empty() {
            groups.remove(label);
            // A burst of labels does not hold its memory for ever. Halving keeps the cost constant on average.
            if groups.capacity() > 64 && groups.len() * 4 < groups.capacity() {
                let half = groups.capacity() / 2;
                groups.shrink_to(half);
            }
        } else if keys.capacity() > 64 && keys.len() * 4 < keys.capacity() {
            let half = keys.capacity() / 2;
            keys.shrink_to(half);
        }
    }

    fn keys(&self, label: &str) -> Vec<Key> {
        self.part(label).lock().get(label).map(|keys| keys.keys().cloned().collect()).unwrap_or_default()
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.iter().map(|part| part.lock().values().map(HashMap::len).sum::<usize>()).sum()
    }
}
