//! A tree of atomic numbers that finds the least loaded endpoint without reading the loads of all endpoints.

use std::sync::Arc;

use super::load::{LeastConnectionsState, load_of};
use crate::{
    endpoint::Slot,
    strategy::{
        live::{LiveParts, Registered},
        memories::Memories,
    },
    sync::{AtomicU64, Ordering, ordered},
};

/// The number of children of a node. 16 keys fill two cache lines. With more children, the tree has fewer levels, and
/// more keys are compared on each. Four levels are enough for 65,536 endpoints. Models under loom use 2, because they
/// need a tree and not many endpoints.
pub(super) const WIDTH: usize = if cfg!(loom) { 2 } else { 16 };

/// A tree of keys. The leaves are the loads of the endpoints, and each node holds the lowest key of its 16 children.
///
/// All keys are derived from other values. The key of a leaf follows from the lease count of its endpoint. This count
/// is stored with the endpoint. The key of a node follows from the keys of its children. After a hook has written a
/// key, it *reads again* the values from which this key is derived. If they have changed meanwhile, it writes the key
/// again. The last write to each key is therefore correct, and while no hook is running, all keys are exact. While
/// hooks are running, a key may lack the changes that these hooks have not written yet. A pick can then be wrong by one
/// lease for each of these hooks. A pick never fails, because it follows the children that it finds.
///
/// This argument needs a single order of all accesses, so all of them are `SeqCst`. On x86 this costs nothing, because
/// the writes are read-modify-write operations anyway.
pub(super) struct Tournament {
    /// The leaf of each slot. `None` for slots whose endpoints are not in this tree, for example because they belong to
    /// another tier.
    leaves: Box<[Option<Leaf>]>,
    /// Keeps the states alive whose addresses are stored in the leaves.
    _memories: Memories<LeastConnectionsState>,
    /// The keys of each level, from the leaves up to the first level with at most [`WIDTH`] keys. A key is the bits of
    /// a positive `f64`. These bits have the same order as the number.
    levels: Box<[Box<[AtomicU64]>]>,
}

/// The leaf of one endpoint: what a hook needs to update the endpoint's key.
#[derive(Clone, Copy)]
struct Leaf {
    /// The address of the endpoint's state. It distinguishes the endpoint from others that had the same slot earlier,
    /// or have it in another pool.
    state: usize,
    /// 1 / weight of the endpoint.
    inverse: f64,
    /// The position of the endpoint's key in the lowest level.
    at: u32,
}

impl Tournament {
    /// Creates a tournament of the endpoints in these slots, and registers it so that hooks update it. It is exact from
    /// the first pick, even if leases begin and end while it is built.
    pub(super) fn registered(
        slots: &[Slot],
        inverse: impl Fn(usize) -> f64,
        capacity: usize,
        memories: &Memories<LeastConnectionsState>,
        live: &Arc<LiveParts<Self>>,
    ) -> Registered<Self> {
        let mut leaves = vec![None; capacity].into_boxed_slice();
        let mut keys = Vec::with_capacity(slots.len());
        for (at, &slot) in slots.iter().enumerate() {
            let Some(state) = memories.get(slot) else { continue };
            let leaf = Leaf { state: address(state), inverse: inverse(at), at: keys.len() as u32 };
            keys.push(load_of(state.count(), leaf.inverse).to_bits());
            leaves[slot.index()] = Some(leaf);
        }
        let mut levels = Vec::new();
        while keys.len() > WIDTH {
            let above = keys.chunks(WIDTH).map(|keys| keys.iter().copied().min().unwrap_or(u64::MAX)).collect();
            levels.push(std::mem::replace(&mut keys, above));
        }
        levels.push(keys);
        let levels = levels.into_iter().map(|keys| keys.into_iter().map(AtomicU64::new).collect()).collect();
        let tournament = live.register(Self { leaves, _memories: memories.clone(), levels });
        // Corrects the keys of endpoints whose leases began or ended before the hooks knew this tournament.
        for &slot in slots {
            if let (Some(state), Some(leaf)) = (memories.get(slot), tournament.leaves[slot.index()])
                && tournament.key(leaf.at as usize) != load_of(state.count(), leaf.inverse)
            {
                tournament.follow_from(leaf, state);
            }
        }
        tournament
    }

    /// Returns the load of the endpoint at this position.
    #[inline]
    pub(super) fn key(&self, at: usize) -> f64 {
        self.levels[0].get(at).map_or(f64::MAX, |key| f64::from_bits(key.load(Ordering::SeqCst)))
    }

    /// Returns the lowest load of all endpoints.
    #[inline]
    pub(super) fn lowest(&self) -> f64 {
        f64::from_bits(self.levels.last().map_or(u64::MAX, |top| lowest_of(top)))
    }

    /// Returns the position of an endpoint with the lowest load. If several have it, `bits` choose one of them.
    #[inline]
    pub(super) fn winner(&self, bits: u64) -> Option<usize> {
        let (top, rest) = self.levels.split_last()?;
        let (mut at, promised) = first_lowest(top, bits)?;
        let mut found = promised;
        for (level, depth) in rest.iter().rev().zip(1..) {
            let children = children(level, at);
            let (child, key) = first_lowest(children, bits.rotate_left(8 * depth))?;
            (at, found) = (at * WIDTH + child, key);
        }
        // A load below this node has risen since the node was read. There may be a lower one elsewhere.
        if found > promised { self.winner_among(bits, &mut |_| true) } else { Some(at) }
    }

    /// Returns the position of an endpoint with the lowest load among those for which `usable` returns true. Only
    /// subtrees whose key is lower than the lowest load found so far are searched. `usable` is called at most once for
    /// each endpoint.
    pub(super) fn winner_among(&self, bits: u64, usable: &mut dyn FnMut(usize) -> bool) -> Option<usize> {
        let mut best = (u64::MAX, None);
        let top = self.levels.len().checked_sub(1)?;
        self.search(top, 0, self.levels[top].len(), bits, usable, &mut best);
        best.1
    }

    fn search(
        &self,
        level: usize,
        from: usize,
        to: usize,
        bits: u64,
        usable: &mut dyn FnMut(usize) -> bool,
        best: &mut (u64, Option<usize>),
    ) {
        let mut order = [(u64::MAX, 0); WIDTH];
        let n = to - from;
        for (place, child) in order.iter_mut().zip(shuffled(n, bits)) {
            let at = from + child;
            *place = (self.levels[level][at].load(Ordering::SeqCst), at);
        }
        let order = &mut order[..n.min(WIDTH)];
        order.sort_by_key(|&(key, _)| key);
        for &mut (key, at) in order {
            if key >= best.0 {
                return;
            }
            if level > 0 {
                let to = ((at + 1) * WIDTH).min(self.levels[level - 1].len());
                self.search(level - 1, at * WIDTH, to, bits.rotate_left(8), usable, best);
            } else if usable(at) {
                *best = (key, Some(at));
            }
        }
    }

    /// Updates the tree after a lease on the endpoint in `slot` has begun or ended. Does nothing if the endpoint has no
    /// leaf in this tree, because it belongs to another tier or has left the pool.
    #[inline]
    pub(super) fn follow(&self, slot: Slot, state: &LeastConnectionsState) {
        if let Some(Some(leaf)) = self.leaves.get(slot.index())
            && leaf.state == address(state)
        {
            self.follow_from(*leaf, state);
        }
    }

    #[inline]
    fn follow_from(&self, leaf: Leaf, state: &LeastConnectionsState) {
        let at = leaf.at as usize;
        let Some(key) = self.levels[0].get(at) else { return };
        let mut count = state.count();
        let mut now = load_of(count, leaf.inverse).to_bits();
        let mut was = key.swap(now, Ordering::SeqCst);
        loop {
            ordered();
            let again = state.count();
            if again == count {
                break;
            }
            count = again;
            now = load_of(count, leaf.inverse).to_bits();
            key.swap(now, Ordering::SeqCst);
            // Other threads may have read any of several keys here, so all nodes above are checked.
            was = 0;
        }
        self.ascend(at, was, now);
    }

    /// Updates the nodes above a child whose key has changed from `was` to `now`.
    #[inline]
    fn ascend(&self, mut at: usize, mut was: u64, mut now: u64) {
        for pair in self.levels.windows(2) {
            at /= WIDTH;
            let (children, Some(node)) = (children(&pair[0], at), pair[1].get(at)) else { return };
            ordered();
            let stands = node.load(Ordering::SeqCst);
            if was > stands && now >= stands {
                // The child was not the lowest, and it is not the lowest now.
                return;
            }
            let mut lowest = lowest_of(children);
            if lowest == stands {
                return;
            }
            was = node.swap(lowest, Ordering::SeqCst);
            loop {
                ordered();
                let again = lowest_of(children);
                if again == lowest {
                    break;
                }
                lowest = again;
                node.swap(lowest, Ordering::SeqCst);
                was = 0;
            }
            now = lowest;
        }
    }
}

#[inline]
fn address(state: &LeastConnectionsState) -> usize {
    std::ptr::from_ref(state) as usize
}

#[inline]
fn children(level: &[AtomicU64], parent: usize) -> &[AtomicU64] {
    let from = (parent * WIDTH).min(level.len());
    &level[from..(from + WIDTH).min(level.len())]
}

#[inline]
fn lowest_of(keys: &[AtomicU64]) -> u64 {
    keys.iter().map(|key| key.load(Ordering::SeqCst)).fold(u64::MAX, u64::min)
}

/// Returns the index of the lowest key, and the key. If several keys are the lowest, it returns the first of them in an
/// order that `bits` choose.
#[inline]
fn first_lowest(keys: &[AtomicU64], bits: u64) -> Option<(usize, u64)> {
    let mut best = None;
    let mut lowest = u64::MAX;
    for at in shuffled(keys.len(), bits) {
        let key = keys[at].load(Ordering::SeqCst);
        if key < lowest {
            (best, lowest) = (Some((at, key)), key);
        }
    }
    best
}

/// Returns the numbers below `n` in one of 128 orders that `bits` choose. `n` is at most [`WIDTH`]. Rotations alone are
/// not enough: an endpoint that follows many busy ones would be chosen too often.
#[inline]
fn shuffled(n: usize, bits: u64) -> impl Iterator<Item = usize> {
    let (start, stride) = (bits as usize >> 4, bits as usize & 15 | 1);
    (0..WIDTH).map(move |turn| start.wrapping_add(turn * stride) % WIDTH).filter(move |&at| at < n)
}
