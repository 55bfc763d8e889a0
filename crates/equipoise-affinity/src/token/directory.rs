use std::collections::{HashMap, hash_map::Entry};

use equipoise_core::EndpointId;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::format::Tag;

/// The tags of the endpoints under one key, in both directions.
#[derive(Clone, Default)]
pub(super) struct Directory {
    tags: HashMap<EndpointId, Tag>,
    ids: HashMap<Tag, EndpointId>,
}

impl Directory {
    /// Returns the directory of `ids`. Known tags are reused.
    pub(super) fn with(&self, ids: &[EndpointId], hash: impl Fn(&EndpointId) -> Tag) -> Self {
        let mut next = Self { tags: HashMap::with_capacity(ids.len()), ids: HashMap::with_capacity(ids.len()) };
        for id in ids {
            let tag = self.tags.get(id).copied().unwrap_or_else(|| hash(id));
            next.tags.insert(id.clone(), tag);
            match next.ids.entry(tag) {
                Entry::Vacant(place) => {
                    place.insert(id.clone());
                }
                // One pair in 2⁶⁴. The smaller id gets the tag, so that all balancers agree. Sessions of the other one move
                // to it with their second request.
                Entry::Occupied(mut place) if id < place.get() => {
                    place.insert(id.clone());
                }
                Entry::Occupied(_) => {}
            }
        }
        next
    }

    pub(super) fn tag(&self, id: &str) -> Option<Tag> {
        self.tags.get(id).copied()
    }

    pub(super) fn id(&self, tag: &Tag) -> Option<&EndpointId> {
        self.ids.get(tag)
    }
}

pub(super) fn tag(key: &Hmac<Sha256>, id: &str) -> Tag {
    let whole = key.clone().chain_update(id).finalize().into_bytes();
    let mut tag = Tag::default();
    tag.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
    tag
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn ids(names: &[&str]) -> Vec<EndpointId> {
        names.iter().map(EndpointId::from).collect()
    }

    #[test]
    fn only_ids_that_are_new_are_hashed() {
        let hashed = Cell::new(0);
        let hash = |id: &EndpointId| {
            hashed.set(hashed.get() + 1);
            [id.as_str().as_bytes()[0]; 8]
        };
        let first = Directory::default().with(&ids(&["a", "b"]), hash);
        let second = first.with(&ids(&["b", "c"]), hash);
        assert_eq!(hashed.get(), 3);
        assert_eq!(second.id(&[b'a'; 8]), None);
        assert_eq!(second.id(&[b'b'; 8]), Some(&"b".into()));
        assert_eq!(second.id(&[b'c'; 8]), Some(&"c".into()));
    }

    #[test]
    fn of_two_ids_with_one_tag_the_smaller_has_it_and_the_other_inherits() {
        for order in [["a", "b"], ["b", "a"]] {
            let both = Directory::default().with(&ids(&order), |_| [7; 8]);
            assert_eq!(both.id(&[7; 8]), Some(&"a".into()));
            assert_eq!(both.tag("b"), Some([7; 8]));
            let one = both.with(&ids(&["b"]), |_| unreachable!("it is known"));
            assert_eq!(one.id(&[7; 8]), Some(&"b".into()));
        }
    }
}
