use super::{
    Keyed, Placement, Roster, Table,
    placement::{PATIENCE, sealed::Sealed},
};
use crate::{
    endpoint::Slot,
    entropy::{GAMMA, mix},
    strategy::{BuildError, Random},
};

/// Jump consistent hashing: numbers the endpoints, and computes the number from the key alone.
///
/// Choose it for sets that are numbered by nature and grow and shrink at their end, such as shards: shares are as even
/// as hashing can be, and of n endpoints a further one takes 1 / (n + 1) of each one's keys and moves nothing else. Its
/// weakness: endpoints count by position (in the order of their slots, thus of the list that the pool was first given),
/// not by id. Only the last one leaves cheaply; after any other, all behind it move up and so do their keys (one that
/// is [replaced](crate::Pool::update) in the same update as it leaves hands its position on). An endpoint that is
/// merely closed or excluded keeps its position. Two balancers agree only if they have seen the same changes.
///
/// Unequal weights are met by refusal: an endpoint that is half as heavy as the heaviest declines half of the keys that
/// come its way, which then jump again. This takes heaviest / mean weight jumps on average.
///
/// Pick O(log n × heaviest / mean weight), some 7 ns a doubling of n where weights are even (one of a million among ones
/// makes it O(n): use another then); build O(n log n). Source: Lamping and Veach, *A Fast, Minimal Memory, Consistent Hash
/// Algorithm*, 2014. What all hashing strategies have in common is told at [`Keyed`].
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

/// The settings of [`Jump`]: there are none.
#[derive(Clone, Copy, Debug, Default)]
pub struct JumpPlacement(());

impl Sealed for JumpPlacement {}

impl Placement for JumpPlacement {
    type Table = JumpTable;

    fn lay(&self, roster: &Roster) -> Result<JumpTable, BuildError> {
        let mut entries = roster.entries().to_vec();
        entries.sort_unstable_by_key(|entry| entry.slot);
        let heaviest = entries.iter().map(|entry| entry.weight).max().unwrap_or(1);
        let odds = |weight: u32| ((u64::from(weight) << 32) / u64::from(heaviest)) as u32;
        Ok(JumpTable {
            slots: entries.iter().map(|entry| entry.slot).collect(),
            odds: match roster.is_even() {
                true => Box::default(),
                // The heaviest has odds of 2³², which do not fit, and accepts all.
                false => entries.iter().map(|entry| odds(entry.weight).wrapping_sub(1)).collect(),
            },
        })
    }
}

/// The layout of [`Jump`]: who has which number.
pub struct JumpTable {
    slots: Box<[Slot]>,
    /// The highest of 2³² throws that each accepts; empty if all accept all.
    odds: Box<[u32]>,
}

impl Table for JumpTable {
    #[inline]
    fn candidates(&self, hash: u64) -> impl Iterator<Item = Slot> {
        let (mut state, mut jumps) = (hash, PATIENCE * self.slots.len());
        std::iter::from_fn(move || {
            while jumps > 0 {
                let (from, at) = (state, jump(state, self.slots.len()));
                jumps -= 1;
                state = mix(state.wrapping_add(GAMMA));
                // The jump sees mostly the upper bits of what `from` becomes; the throw must know nothing of it.
                let accepts = |&odds: &u32| (mix(!from) >> 32) as u32 <= odds;
                if self.odds.get(at).is_none_or(accepts) {
                    return self.slots.get(at).copied();
                }
            }
            None
        })
    }
}

/// A number below `n`, which is not 0. The paper's, to the letter.
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
    use super::jump;

    #[test]
    fn jumps_are_those_of_the_paper() {
        // What the authors' code gives, as other implementations' tests record it.
        for (key, n, at) in [(1, 1, 0), (42, 57, 43), (0xdead_10cc, 1, 0), (0xdead_10cc, 666, 361), (256, 1024, 520)] {
            assert_eq!(jump(key, n), at, "jump({key}, {n})");
        }
    }
}
