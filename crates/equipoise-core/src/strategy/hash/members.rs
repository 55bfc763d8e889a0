use super::Table;
use crate::{
    endpoint::{EndpointId, Slot},
    entropy::{mix, unit},
    view::View,
};

/// The members of a tier (priority group of endpoints) on which keys can be placed: those with a weight above 0.
///
/// Their order depends only on the ids and the seed. All balancers with the same members and the same seed have the
/// same order.
pub struct HashMembers(Box<[Entry]>);

#[derive(Clone, Copy)]
pub(super) struct Entry {
    /// The hash of the endpoint's id.
    pub(super) hash: u64,
    pub(super) slot: Slot,
    pub(super) weight: u32,
}

/// Changes the seed for ids, so that the hash of an id differs from the hash of a key with the same bytes.
const IDS: u64 = 0x6964_735f_6861_7368;

impl HashMembers {
    pub(super) fn new<T: Table>(view: &View, seed: u64) -> Self {
        let entry = |&slot: &Slot| {
            let (weight, id) = (view.weight(slot), view.endpoint(slot)?.id());
            (weight > 0).then(|| (Entry { hash: T::hash(id.as_str().as_bytes(), seed ^ IDS), slot, weight }, id))
        };
        let mut entries: Vec<(Entry, &EndpointId)> = view.members().iter().filter_map(entry).collect();
        entries.sort_unstable_by_key(|&(entry, id)| (entry.hash, id));
        Self(entries.into_iter().map(|(entry, _)| entry).collect())
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.0
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the sum of the weights of all members.
    pub(super) fn weight(&self) -> u64 {
        self.0.iter().map(|entry| u64::from(entry.weight)).sum()
    }

    pub(super) fn is_even(&self) -> bool {
        self.0.windows(2).all(|pair| pair[0].weight == pair[1].weight)
    }

    /// Picks by weighted rendezvous hashing from the members that `eligible` accepts. Takes O(n) time for n members.
    /// The score of a member depends only on the key and on this member.
    ///
    /// For each member, the key draws an exponentially distributed number with mean 1 / weight. The member with the
    /// smallest number is picked.
    pub(super) fn rendezvous(&self, hash: u64, mut eligible: impl FnMut(Slot) -> bool) -> Option<Slot> {
        let (mut best, mut least) = (None, f64::INFINITY);
        for entry in &self.0 {
            let unit = unit(mix(entry.hash ^ hash));
            let weight = f64::from(entry.weight);
            // -ln(u) >= 1 - u. This rules out most members without computing a logarithm.
            if 1.0 - unit >= least * weight {
                continue;
            }
            let drawn = -unit.ln() / weight;
            if drawn < least && eligible(entry.slot) {
                (best, least) = (Some(entry.slot), drawn);
            }
        }
        best
    }
}

#[cfg(test)]
impl HashMembers {
    /// Members with these ids and weights, in the slots 0, 1 …
    pub(super) fn of<T: Table>(members: &[(&str, u32)]) -> Self {
        let entry = |(at, &(id, weight)): (usize, &(&str, u32))| Entry {
            hash: T::hash(id.as_bytes(), IDS),
            slot: Slot(at as u32),
            weight,
        };
        let mut entries: Vec<Entry> = members.iter().enumerate().map(entry).collect();
        entries.sort_unstable_by_key(|entry| entry.hash);
        Self(entries.into())
    }

    pub(super) fn without(&self, gone: Slot) -> Self {
        Self(self.0.iter().copied().filter(|entry| entry.slot != gone).collect())
    }
}
