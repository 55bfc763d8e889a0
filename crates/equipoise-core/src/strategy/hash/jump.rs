use super::{HashMembers, KeyPlacement, Keyed, Table, keyed::sealed::Sealed};
use crate::{
    endpoint::Slot,
    entropy::{GAMMA, mix},
    strategy::{BuildError, Random},
};

/// Jump consistent hashing: the endpoints are numbered, and the key of a request gives the number of its endpoint.
///
/// Choose it for numbered sets that grow and shrink at their end, such as shards. Shares are as even as hashing allows.
/// If an endpoint is added to n endpoints, each of them gives 1 / (n + 1) of its keys to the new endpoint. No other
/// keys move.
///
/// Weakness: an endpoint is identified by its position, not by its id. Positions follow the order of the slots. At
/// first, this is the order of the endpoints in the first update of the pool. If an endpoint other than the last is
/// removed, the positions of all later endpoints change, and their keys move. If one update removes an endpoint and
/// adds another, the [new endpoint](crate::Pool::update) gets the position of the old one. An endpoint that is
/// unavailable or excluded keeps its position, and only its own keys go to other endpoints. Two balancers send a key to
/// the same endpoint only if their pools have had the same changes in the same order.
///
/// If weights are unequal, an endpoint declines a part of its keys. Another number is then computed for such a key. For
/// example, an endpoint with half the largest weight declines half of its keys. The average number of computations for
/// a key is (largest weight / mean weight). After 32 declines, the endpoint of a key is computed as by
/// [`Rendezvous`](super::Rendezvous), so that the shares stay exact.
///
/// A pick takes O(log n × largest weight / mean weight) time. With equal weights, each doubling of n adds about 7 ns.
/// If the largest weight is more than 32 times the mean, most picks take O(n) time, and another strategy is better.
/// Building a picker takes O(n log n) time. Source: Lamping and Veach, *A Fast, Minimal Memory, Consistent Hash
/// Algorithm*, 2014. [`Keyed`] describes what all hashing strategies have in common.
///
/// ```
/// use equipoise_core::{EndpointSpec, Jump, PickRequest, Pool};
///
/// let pool = Pool::new(Jump::new());
/// pool.update(["shard-0", "shard-1", "shard-2"].map(EndpointSpec::new), |_| ())?;
/// let request = PickRequest::new().key(b"user-42");
/// let first = pool.pick(&request)?;
/// assert_eq!(pool.pick(&request)?.endpoint().id(), first.endpoint().id());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type Jump<F = Random> = Keyed<JumpPlacement, F>;

/// The algorithm of jump consistent hashing ([`Jump`]). It has no settings.
#[derive(Clone, Copy, Debug, Default)]
pub struct JumpPlacement(());

impl Sealed for JumpPlacement {}

impl KeyPlacement for JumpPlacement {
    type Table = JumpTable;

    fn build_table(&self, members: &HashMembers) -> Result<JumpTable, BuildError> {
        let mut entries = members.entries().to_vec();
        entries.sort_unstable_by_key(|entry| entry.slot);
        let heaviest = entries.iter().map(|entry| entry.weight).max().unwrap_or(1);
        let odds = |weight: u32| ((u64::from(weight) << 32) / u64::from(heaviest)) as u32;
        Ok(JumpTable {
            slots: entries.iter().map(|entry| entry.slot).collect(),
            odds: match members.is_even() {
                true => Box::default(),
                // The odds of the heaviest member are 2³². They wrap to the largest value, which accepts all draws.
                false => entries.iter().map(|entry| odds(entry.weight).wrapping_sub(1)).collect(),
            },
        })
    }
}

/// The table of jump consistent hashing ([`Jump`]). It maps the hash of a key to an endpoint, and contains the
/// endpoints in the order of their numbers.
pub struct JumpTable {
    slots: Box<[Slot]>,
    /// The highest of 2³² draws that each member accepts. Empty if the weights are equal.
    odds: Box<[u32]>,
}

/// The number of declines after which a key is placed by rendezvous hashing. For a few thousand endpoints, this takes
/// about as long as 32 computations. It is constant, so that it does not depend on the members.
const MAX_DECLINES: usize = 32;

impl Table for JumpTable {
    #[inline]
    fn candidates(&self, hash: u64) -> impl Iterator<Item = Slot> {
        let (mut state, mut declined) = (hash, 0);
        std::iter::from_fn(move || {
            while declined < MAX_DECLINES {
                let (from, at) = (state, jump(state, self.slots.len()));
                state = mix(state.wrapping_add(GAMMA));
                // The draw must be independent of the jump, which uses the upper bits of `from`.
                let accepts = |&odds: &u32| (mix(!from) >> 32) as u32 <= odds;
                if self.odds.get(at).is_none_or(accepts) {
                    return self.slots.get(at).copied();
                }
                declined += 1;
            }
            None
        })
    }
}

/// Returns a number below `n`, which must not be 0. This is the algorithm of the paper.
#[inline]
fn jump(mut key: u64, n: usize) -> usize {
    let (mut at, mut next) = (0, 0u64);
    while next < n as u64 {
        at = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        next = ((at + 1) as f64 * ((1u64 << 31) as f64 / ((key >> 33) + 1) as f64)) as u64;
    }
    at as usize
}

#[cfg(test)]
mod tests {
    use super::{JumpPlacement, jump};
    use crate::{
        Availability, EndpointSpec, Jump, PickRequest, Pool,
        entropy::mix,
        strategy::hash::{HashMembers, KeyPlacement, Table},
    };

    #[test]
    fn jumps_are_those_of_the_paper() {
        // The results of the authors' code, which the tests of other implementations contain.
        for (key, n, at) in [(1, 1, 0), (42, 57, 43), (0xdead_10cc, 1, 0), (0xdead_10cc, 666, 361), (256, 1024, 520)] {
            assert_eq!(jump(key, n), at, "jump({key}, {n})");
        }
    }

    #[test]
    fn candidates_end_however_seldom_an_endpoint_accepts() {
        let members = HashMembers::of::<super::JumpTable>(&[("a", 1_000_000), ("b", 1), ("c", 1), ("d", 1)]);
        let table = JumpPlacement::default().build_table(&members).expect("a table");
        let declined = |hash: u64| table.candidates(mix(hash)).take(1000).count() < 1000;
        assert!((0..100).all(declined));
    }

    /// The pool has one endpoint of weight 64 and 63 endpoints of weight 1. The jump table declines about a third of all
    /// keys, and rendezvous hashing places these.
    #[test]
    fn shares_are_exact_and_only_keys_of_unavailable_endpoints_move() {
        let n = 64;
        let pool = Pool::new(Jump::new());
        let weight = |at| if at == 20 { n } else { 1 };
        pool.update((0..n).map(|at| EndpointSpec::new(at.to_string()).weight(weight(at))), |_| ()).expect("valid");
        let keys: Vec<[u8; 4]> = (0..40_000u32).map(u32::to_be_bytes).collect();
        let owner = |key: &[u8; 4]| {
            let lease = pool.pick(&PickRequest::new().key(key)).expect("an endpoint");
            lease.endpoint().id().as_str().parse::<usize>().expect("a number")
        };
        let before: Vec<usize> = keys.iter().map(owner).collect();
        let mut counts = vec![0.0; n as usize];
        before.iter().for_each(|&at| counts[at] += 1.0);
        let due = |at: usize| keys.len() as f64 * f64::from(weight(at as u32)) / f64::from(2 * n - 1);
        let chi_squared: f64 = counts.iter().enumerate().map(|(at, count)| (count - due(at)).powi(2) / due(at)).sum();
        // 63 degrees of freedom: 63 ± 11.
        assert!((30.0..100.0).contains(&chi_squared), "{chi_squared}");
        for gone in ["20", "21"] {
            pool.set_availability(gone, Availability::Maintenance).expect("a member");
            let stays = |(key, &was): (&[u8; 4], &usize)| (owner(key) != was) == (was.to_string() == gone);
            assert!(keys.iter().zip(&before).all(stays), "{gone}");
            pool.set_availability(gone, Availability::Up).expect("a member");
        }
    }
}
