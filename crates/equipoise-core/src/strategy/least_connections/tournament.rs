//! A tree that finds the least loaded endpoint without a scan.

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

/// The number of children of a node: two cache lines of keys. A wider node means fewer levels with more keys to compare on
/// each. Four levels suffice for 65 536 endpoints. (Models under loom need a tree, not many endpoints.)
pub(super) const WIDTH: usize = if cfg!(loom) { 2 } else { 16 };

/// A tree of keys, each node holding the lowest of its sixteen children; the leaves are the endpoints' loads.
///
/// Everything in it is derived: a leaf follows its endpoint's count, which is kept with the endpoint, and a node follows its
/// children. After a write, a hook *reads again* what the written word is derived from, and repeats if it has changed
/// meanwhile. So the last write to each word is right, and when no hook is running every word is exact. While hooks run, a
/// word can lack what they have not yet written. A pick is then wrong by as many leases. It never fails, because it
/// descends by the children that it finds.
///
/// The argument needs one order over all accesses, hence `SeqCst` throughout. On x86 that costs nothing: the writes are
/// read-modify-writes anyway.
pub(super) struct Tournament {
    /// The leaves by slot; `None` for slots of other tiers and parts.
    leaves: Box<[Option<Leaf>]>,
    /// Keeps the states alive whose addresses the leaves hold.
    _memories: Memories<LeastConnectionsState>,
    /// The keys, level by level, from the leaves up to the first level with at most [`WIDTH`] keys. A key is the bits of a
    /// positive `f64`, which have the order of the number.
    levels: Box<[Box<[AtomicU64]>]>,
}

/// The leaf of an endpoint: what a hook needs to update its key.
#[derive(Clone, Copy)]
struct Leaf {
    /// The address of its state, to tell it from an endpoint with the same slot in another pool or of another time.
    state: usize,
    /// 1 / weight.
    inverse: f64,
    at: u32,
}

impl Tournament {
    /// A tournament of the endpoints in these slots, registered for hooks. It is exact from the first pick on, also if leases
    /// begin and end while it is built.
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
        // Leases that began or ended before the hooks found the tournament.
        for &slot in slots {
            if let (Some(state), Some(leaf)) = (memories.get(slot), tournament.leaves[slot.index()])
                && tournament.key(leaf.at as usize) != load_of(state.count(), leaf.inverse)
            {
                tournament.follow_from(leaf, state);
            }
        }
        tournament
    }

    /// The load of the endpoint at this position.
    #[inline]
    pub(super) fn key(&self, at: usize) -> f64 {
        self.levels[0].get(at).map_or(f64::MAX, |key| f64::from_bits(key.load(Ordering::SeqCst)))
    }

    /// The lowest load of all endpoints.
    #[inline]
    pub(super) fn lowest(&self) -> f64 {
        f64::from_bits(self.levels.last().map_or(u64::MAX, |top| lowest_of(top)))
    }

    /// The position of an endpoint with the lowest load. Of several, `bits` choose one.
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
        // The load below this node has just risen: there may be a lower one elsewhere.
        if found > promised { self.winner_among(bits, &mut |_| true) } else { Some(at) }
    }

    /// The position of the endpoint with the lowest load among those for which `usable` returns true. Only subtrees with a
    /// lower key than the load found so far are entered, and `usable` is called at most once per endpoint.
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

    /// Updates the tree after a lease on the endpoint in `slot` has begun or ended. Does nothing if that endpoint has no
    /// leaf here, because it belongs to another tier or has left.
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
            // Other threads may have seen any of several keys here, so every node above is checked.
            was = 0;
        }
        self.ascend(at, was, now);
    }

    /// Updates the nodes above after a child's key has changed from `was` to `now`.
    #[inline]
    fn ascend(&self, mut at: usize, mut was: u64, mut now: u64) {
        for pair in self.levels.windows(2) {
            at /= WIDTH;
            let (children, Some(node)) = (children(&pair[0], at), pair[1].get(at)) else { return };
            ordered();
            let stands = node.load(Ordering::SeqCst);
            if was > stands && now >= stands {
                // The child was not the lowest and is not now.
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

/// The index of the lowest key, and that key. Of several, it is the first in an order that `bits` choose.
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

/// The numbers below `n`, which is at most [`WIDTH`], in one of 128 orders that `bits` choose. Rotations alone are too few:
/// an endpoint after many busy ones would win their ties too.
#[inline]
fn shuffled(n: usize, bits: u64) -> impl Iterator<Item = usize> {
    let (start, stride) = (bits as usize >> 4, bits as usize & 15 | 1);
    (0..WIDTH).map(move |turn| start.wrapping_add(turn * stride) % WIDTH).filter(move |&at| at < n)
}
