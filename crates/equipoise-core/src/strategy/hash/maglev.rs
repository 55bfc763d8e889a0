use std::{cmp::Reverse, collections::BinaryHeap};

use super::{HashMembers, InvalidHashing, KeyPlacement, Keyed, Table, keyed::sealed::Sealed, table::scaled};
use crate::{
    endpoint::Slot,
    entropy::{GAMMA, mix},
    strategy::{BuildError, Random},
};

/// Maglev hashing: the endpoint of a key is looked up in a table. When the table is built, the endpoints take turns. In
/// its turn, an endpoint takes the first free entry. Each endpoint goes through the entries in its own order.
///
/// For most pools, it is the best choice among the hashing strategies. It has the fastest pick, and its shares equal
/// the weights to within one table entry. Weakness: when an endpoint is added or removed, a few keys of other endpoints
/// move too. For example, with 65 537 entries, the removal of one of 100 endpoints moves 1.6 % of all keys. Of these, 1
/// % belonged to the removed endpoint, and 0.6 % belonged to other endpoints. With smaller tables, more keys of other
/// endpoints move. [`Ring`](super::Ring) and [`Rendezvous`](super::Rendezvous) move no keys of other endpoints. If an
/// endpoint becomes unavailable or is excluded, only its own keys move.
///
/// A pick takes O(1) time. The table is built only when the membership changes. This takes about 1 ms for 65 537
/// entries. An entry takes 4 bytes. Source: Eisenbud and others, *Maglev: A Fast and Reliable Software Network Load
/// Balancer*, NSDI 2016. Endpoints get entries in proportion to their weights, as in Envoy. [`Keyed`] describes what
/// all hashing strategies have in common.
///
/// ```
/// use equipoise_core::{EndpointSpec, Maglev, PickRequest, Pool};
///
/// let pool = Pool::new(Maglev::new());
/// pool.update(["a:80", "b:80", "c:80"].map(EndpointSpec::new), |_| ())?;
/// let request = PickRequest::new().key(b"user-42");
/// let first = pool.pick(&request)?;
/// assert_eq!(pool.pick(&request)?.endpoint().id(), first.endpoint().id());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type Maglev<F = Random> = Keyed<MaglevPlacement, F>;

/// The largest table size, as in Envoy. This is 20 MB, and takes more than 100 ms to build.
const LARGEST: u32 = 5_000_011;

impl<F> Maglev<F> {
    /// Sets the number of entries of the Maglev table. Range: the prime numbers up to 5 000 011. Default: 65 537. With
    /// 100 entries per endpoint, an endpoint of mean weight gets its share of the keys to within about one percent of
    /// this share. For example, it gets 9.9 % to 10.1 % of the keys instead of exactly 10 %. If a tier (priority group)
    /// gets more endpoints than the table has entries, the update fails with
    /// [`UpdateError::Strategy`](crate::UpdateError::Strategy).
    ///
    /// ```
    /// use equipoise_core::Maglev;
    ///
    /// let strategy = Maglev::new().table_size(655_373)?;
    /// assert!(strategy.table_size(1_000_000).is_err());
    /// # Ok::<(), equipoise_core::InvalidHashing>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidHashing::TableSize`] if `size` is not a prime number, or is above 5 000 011.
    pub fn table_size(mut self, size: u32) -> Result<Self, InvalidHashing> {
        if size > LARGEST || !is_prime(size) {
            return Err(InvalidHashing::TableSize { size, most: LARGEST });
        }
        self.placement.size = size;
        Ok(self)
    }
}

fn is_prime(n: u32) -> bool {
    n >= 2 && (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d))
}

/// The algorithm of Maglev hashing ([`Maglev`]), and its setting: the number of entries of the table.
#[derive(Clone, Copy, Debug)]
pub struct MaglevPlacement {
    size: u32,
}

impl Default for MaglevPlacement {
    fn default() -> Self {
        Self { size: 65_537 }
    }
}

impl Sealed for MaglevPlacement {}

impl KeyPlacement for MaglevPlacement {
    type Table = MaglevTable;

    fn build_table(&self, members: &HashMembers) -> Result<MaglevTable, BuildError> {
        let (size, count) = (self.size as usize, members.len());
        if count > size {
            return Err(BuildError::Refused(format!(
                "a Maglev table of {size} entries is too small for {count} endpoints: use about a hundred times as many entries"
            )));
        }
        if count == 0 {
            return Ok(MaglevTable { entries: Box::default() });
        }
        let mut permutations: Vec<Permutation> =
            members.entries().iter().map(|entry| Permutation::new(entry.hash, self.size)).collect();
        let mut draft = Draft::new(self.size);
        if members.is_even() {
            (0..size).for_each(|turn| draft.take(&mut permutations, turn % count));
        } else {
            let weights = members.entries().iter().map(|entry| entry.weight);
            Turns::new(weights).take(size).for_each(|at| draft.take(&mut permutations, at));
        }
        let slot = |&at: &u32| members.entries().get(at as usize).map(|entry| entry.slot);
        Ok(MaglevTable { entries: draft.owners.iter().filter_map(slot).collect() })
    }
}

/// The table of Maglev hashing ([`Maglev`]). It maps the hash of a key to an endpoint.
pub struct MaglevTable {
    entries: Box<[Slot]>,
}

impl Table for MaglevTable {
    /// Returns the members for the hash, then for the hash of the hash, and so on. Each member occurs in proportion to
    /// its number of entries.
    #[inline]
    fn candidates(&self, hash: u64) -> impl Iterator<Item = Slot> {
        let mut at = hash;
        std::iter::from_fn(move || {
            let slot = self.entries.get(scaled(at, self.entries.len()));
            at = mix(at.wrapping_add(GAMMA));
            slot.copied()
        })
    }
}

/// The order in which a member visits the table entries: the permutation of the paper. It contains every entry once,
/// because the size is prime.
struct Permutation {
    next: u32,
    step: u32,
}

impl Permutation {
    fn new(hash: u64, size: u32) -> Self {
        let below = |n: u32, salt: u64| scaled(mix(hash ^ salt), n as usize) as u32;
        Self { next: below(size, GAMMA), step: 1 + below(size - 1, !GAMMA) }
    }
}

/// A table that is being filled.
struct Draft {
    /// The index of the member that owns each entry.
    owners: Vec<u32>,
    /// Whether each entry is taken: one bit per entry. Filling mostly checks this, and the bits fit into the L1 cache.
    taken: Vec<u64>,
}

impl Draft {
    fn new(size: u32) -> Self {
        Self { owners: vec![0; size as usize], taken: vec![0; size.div_ceil(64) as usize] }
    }

    /// Gives the member with index `member` the first free entry in its order. There must be a free entry.
    #[inline]
    fn take(&mut self, permutations: &mut [Permutation], member: usize) {
        let size = self.owners.len() as u32;
        let Permutation { next, step } = &mut permutations[member];
        loop {
            let at = *next;
            *next = if at >= size - *step { at - (size - *step) } else { at + *step };
            let (word, bit) = (&mut self.taken[at as usize / 64], 1 << (at % 64));
            if *word & bit == 0 {
                *word |= bit;
                self.owners[at as usize] = member as u32;
                return;
            }
        }
    }
}

/// The order of turns for unequal weights. The heaviest member has a turn in every round, the others have turns in
/// proportion to their weights. All members have a turn in the first round.
struct Turns {
    /// The round of each member's next turn, and the index of the member.
    due: BinaryHeap<Reverse<(u64, u32)>>,
    /// The number of turns that each member has had, and its weight.
    had: Vec<(u64, u64)>,
    heaviest: u64,
}

impl Turns {
    fn new(weights: impl Iterator<Item = u32>) -> Self {
        let had: Vec<(u64, u64)> = weights.map(|weight| (0, u64::from(weight))).collect();
        let heaviest = had.iter().map(|&(_, weight)| weight).max().unwrap_or(1);
        Self { due: (0..had.len() as u32).map(|at| Reverse((0, at))).collect(), had, heaviest }
    }
}

impl Iterator for Turns {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let mut first = self.due.peek_mut()?;
        let Reverse((round, at)) = &mut *first;
        let member = *at as usize;
        let (turns, weight) = &mut self.had[member];
        *turns += 1;
        *round = (*turns * self.heaviest).div_ceil(*weight);
        Some(member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(members: &[(&str, u32)]) -> Vec<u32> {
        let present = HashMembers::of::<MaglevTable>(members);
        MaglevPlacement::default().build_table(&present).expect("room").entries.iter().map(|slot| slot.0).collect()
    }

    fn named(n: usize) -> Vec<String> {
        (0..n).map(|at| format!("10.0.{}.{}:80", at / 256, at % 256)).collect()
    }

    fn even(names: &[String]) -> Vec<(&str, u32)> {
        names.iter().map(|name| (name.as_str(), 1)).collect()
    }

    #[test]
    fn every_endpoint_has_its_share_of_entries_to_within_one() {
        for n in [1, 2, 3, 10, 100, 1_000] {
            let names = named(n);
            let mut counts = vec![0usize; n];
            table(&even(&names)).iter().for_each(|&slot| counts[slot as usize] += 1);
            let (least, most) = (65_537 / n, 65_537usize.div_ceil(n));
            assert!(counts.iter().all(|count| (least..=most).contains(count)), "{n}: {counts:?}");
        }
    }

    #[test]
    fn entries_follow_the_weights() {
        let names = named(40);
        let members: Vec<(&str, u32)> = names.iter().zip(1..).map(|(name, weight)| (name.as_str(), weight)).collect();
        let mut counts = vec![0f64; 40];
        table(&members).iter().for_each(|&slot| counts[slot as usize] += 1.0);
        for (at, count) in counts.into_iter().enumerate() {
            let share = 65_537.0 * (at + 1) as f64 / 820.0;
            assert!((count - share).abs() <= 2.0, "weight {}: {count} and {share}", at + 1);
        }
    }

    #[test]
    fn a_light_endpoint_beside_a_heavy_one_has_an_entry() {
        let entries = table(&[("heavy", 1_000_000), ("light", 1), ("feather", 2)]);
        for (slot, most) in [(0, 65_535), (1, 1), (2, 1)] {
            assert_eq!(entries.iter().filter(|&&entry| entry == slot).count(), most);
        }
    }

    #[test]
    fn a_removal_moves_few_entries_of_other_endpoints() {
        // Other implementations with the same size move 10.25, 1.56 and 0.67 % of all entries.
        for (n, percent) in [(10, 10.25), (100, 1.56), (1_000, 0.67)] {
            let names = named(n);
            let members = even(&names);
            let before = table(&members);
            let mut moved = 0.0;
            for gone in 0..10 {
                // The other endpoints keep their slots.
                let present = HashMembers::of::<MaglevTable>(&members).without(Slot(gone));
                let after = MaglevPlacement::default().build_table(&present).expect("room").entries;
                moved += before.iter().zip(&after).filter(|(before, after)| **before != after.0).count() as f64;
            }
            let moved = 100.0 * moved / 10.0 / 65_537.0;
            assert!((moved / percent - 1.0).abs() < 0.1, "{n} endpoints: {moved} % moved");
        }
    }

    #[test]
    fn the_order_in_which_endpoints_came_does_not_matter() {
        let (there, back) = (table(&[("a", 1), ("b", 2), ("c", 1)]), table(&[("c", 1), ("b", 2), ("a", 1)]));
        assert!(there.iter().zip(&back).all(|(there, back)| there + back == 2));
    }

    #[test]
    fn primes_are_recognised() {
        assert!([2, 3, 251, 65_537, 655_373, LARGEST].into_iter().all(is_prime));
        assert!(![0, 1, 4, 65_536, 65_539 * 3, 4_999_999 - 1].into_iter().any(is_prime));
    }
}
