//! Who has to go when the table is full: S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction",
//! SOSP 2023), with sessions that have ended first.

use super::Shard;
use crate::table::time::Moment;

/// One in so many sessions may be one that was not yet used since it came.
const FRESH_SHARE: usize = 10;

/// How many sessions are looked at for one that can go. Those that stay move to where they are not looked at again for
/// long, so the work is theirs once; this bounds what a single newcomer waits for.
const LOOKED_AT: usize = 64;

impl Shard {
    /// Makes room for one. False if there is nobody.
    pub(super) fn evict(&mut self, at: &Moment) -> bool {
        for _ in 0..LOOKED_AT {
            let Some(slot) = self.candidate() else { return false };
            let entry = &mut self.entries[slot];
            match (entry.ended(at), entry.uses) {
                (Some(why), _) => {
                    self.end(slot, why);
                    return true;
                }
                (None, 0) => {
                    self.send_away(slot);
                    return true;
                }
                (None, uses) => {
                    self.queue_out(slot);
                    let entry = &mut self.entries[slot];
                    entry.uses = if entry.proven { uses - 1 } else { 0 };
                    entry.proven = true;
                    self.queue_in(slot);
                }
            }
        }
        // All of them in use: the one that came last has the least to lose.
        let last = self.fresh.newest().or_else(|| self.main.oldest());
        last.is_some_and(|slot| {
            match self.entries[slot].ended(at) {
                Some(why) => self.end(slot, why),
                None => self.send_away(slot),
            }
            true
        })
    }

    fn candidate(&self) -> Option<usize> {
        let all = self.fresh.len() + self.main.len();
        let of_fresh = self.fresh.len() * FRESH_SHARE > all;
        self.fresh.oldest().filter(|_| of_fresh).or_else(|| self.main.oldest()).or_else(|| self.fresh.oldest())
    }

    fn send_away(&mut self, slot: usize) {
        let entry = &self.entries[slot];
        if !entry.proven {
            self.ghosts.remember(entry.hash);
        }
        self.counts.evictions += 1;
        self.remove(slot);
    }

    pub(super) fn queue_in(&mut self, slot: usize) {
        let queue = if self.entries[slot].proven { &mut self.main } else { &mut self.fresh };
        queue.push(&mut self.entries, slot);
    }

    pub(super) fn queue_out(&mut self, slot: usize) {
        let queue = if self.entries[slot].proven { &mut self.main } else { &mut self.fresh };
        queue.take(&mut self.entries, slot);
    }
}
