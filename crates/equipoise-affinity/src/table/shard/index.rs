/// Hash → place. Open addressing, linear probing, deletion by shifting back: no tombstones, so churn costs nothing.
///
/// A cell is the hash (upper half) and the place plus one (lower half); 0 is free. The hash in the cell saves visits to
/// entries, which are cache misses: two keys of one shard share all of it once in 2³² pairs.
pub(super) struct Index {
    /// A power of two, or none.
    cells: Box<[u64]>,
    len: usize,
}

impl Index {
    pub(super) fn new() -> Self {
        Self { cells: Box::default(), len: 0 }
    }

    fn mask(&self) -> usize {
        self.cells.len().wrapping_sub(1)
    }

    /// The place with this hash that `is` the one sought.
    #[inline]
    pub(super) fn find(&self, hash: u32, mut is: impl FnMut(usize) -> bool) -> Option<usize> {
        let mask = self.mask();
        let mut at = hash as usize & mask;
        loop {
            let cell = *self.cells.get(at)?;
            if cell == 0 {
                return None;
            }
            if (cell >> 32) as u32 == hash && is(slot(cell)) {
                return Some(slot(cell));
            }
            at = (at + 1) & mask;
        }
    }

    pub(super) fn insert(&mut self, hash: u32, slot: usize) {
        // At most three quarters full, so every search ends.
        if (self.len + 1) * 4 > self.cells.len() * 3 {
            self.grow();
        }
        self.put(u64::from(hash) << 32 | (slot as u64 + 1));
        self.len += 1;
    }

    pub(super) fn remove(&mut self, hash: u32, sought: usize) {
        let mask = self.mask();
        let mut hole = hash as usize & mask;
        loop {
            match self.cells.get(hole) {
                None | Some(0) => return,
                Some(&cell) if slot(cell) == sought => break,
                Some(_) => hole = (hole + 1) & mask,
            }
        }
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let cell = self.cells[at];
            if cell == 0 {
                break;
            }
            // How far it is from where it would like to be, and how far the hole is from here.
            let home = (cell >> 32) as usize & mask;
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(hole) & mask {
                self.cells[hole] = cell;
                hole = at;
            }
        }
        self.cells[hole] = 0;
        self.len -= 1;
    }

    fn put(&mut self, cell: u64) {
        let mask = self.mask();
        let mut at = (cell >> 32) as usize & mask;
        while self.cells[at] != 0 {
            at = (at + 1) & mask;
        }
        self.cells[at] = cell;
    }

    fn grow(&mut self) {
        let larger = (self.cells.len() * 2).max(16);
        let old = std::mem::replace(&mut self.cells, vec![0; larger].into());
        for cell in old.into_iter().filter(|&cell| cell != 0) {
            self.put(cell);
        }
    }
}

fn slot(cell: u64) -> usize {
    (cell as u32).wrapping_sub(1) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_finds_what_was_put_in_and_nothing_else(
            // Few hashes, so that they collide, wrap around the end and coincide.
            steps in prop::collection::vec((prop_oneof![0..8u32, u32::MAX - 4..=u32::MAX], 0..64usize, any::<bool>()), 0..400),
        ) {
            let (mut index, mut model) = (Index::new(), HashMap::new());
            for (hash, slot, put) in steps {
                match model.get(&slot).copied() {
                    None if put => {
                        index.insert(hash, slot);
                        model.insert(slot, hash);
                    }
                    Some(hash) if !put => {
                        index.remove(hash, slot);
                        model.remove(&slot);
                    }
                    _ => {}
                }
                prop_assert_eq!(index.len, model.len());
                prop_assert!(model.iter().all(|(&slot, &hash)| index.find(hash, |found| found == slot) == Some(slot)));
            }
            for slot in 0..64 {
                for hash in (0..8).chain(u32::MAX - 4..=u32::MAX) {
                    let found = index.find(hash, |found| found == slot);
                    prop_assert_eq!(found.is_some(), model.get(&slot) == Some(&hash));
                }
            }
        }
    }
}
