/// The hashes of sessions that were evicted without having been used, or have lost their endpoint: who comes back is no
/// stranger.
///
/// Each hash has one cell, where the next to come replaces it: as good as a queue of them, and without its upkeep.
pub(super) struct Ghosts {
    cells: Box<[u32]>,
    size: usize,
}

impl Ghosts {
    /// Room for `size` hashes (a power of two), taken when the first comes.
    pub(super) fn new(size: usize) -> Self {
        Self { cells: Box::default(), size }
    }

    pub(super) fn remember(&mut self, hash: u32) {
        if self.cells.is_empty() {
            self.cells = vec![0; self.size].into();
        }
        if let Some(cell) = self.cell(hash) {
            *cell = hash;
        }
    }

    /// Whether it was remembered; it no longer is.
    pub(super) fn recall(&mut self, hash: u32) -> bool {
        // 0 is "nobody": one session in 2³² is a stranger again.
        hash != 0 && self.cell(hash).is_some_and(|cell| *cell == hash && std::mem::take(cell) != 0)
    }

    fn cell(&mut self, hash: u32) -> Option<&mut u32> {
        let mask = self.cells.len().wrapping_sub(1);
        self.cells.get_mut(hash as usize & mask)
    }
}
