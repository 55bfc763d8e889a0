use super::entry::Entry;

/// No place: an end of a list.
pub(super) const NONE: u32 = u32::MAX;

/// A first-in, first-out queue of entries, linked through them.
#[derive(Debug)]
pub(super) struct Queue {
    newest: u32,
    oldest: u32,
    len: usize,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self { newest: NONE, oldest: NONE, len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn oldest(&self) -> Option<usize> {
        (self.oldest != NONE).then_some(self.oldest as usize)
    }

    pub(super) fn newest(&self) -> Option<usize> {
        (self.newest != NONE).then_some(self.newest as usize)
    }

    pub(super) fn push(&mut self, entries: &mut [Entry], slot: usize) {
        let (newest, this) = (self.newest, slot as u32);
        entries[slot].newer = NONE;
        entries[slot].older = newest;
        match newest {
            NONE => self.oldest = this,
            newest => entries[newest as usize].newer = this,
        }
        self.newest = this;
        self.len += 1;
    }

    /// Takes an entry out of this queue, wherever in it it stands.
    pub(super) fn take(&mut self, entries: &mut [Entry], slot: usize) {
        let (newer, older) = (entries[slot].newer, entries[slot].older);
        match newer {
            NONE => self.newest = older,
            newer => entries[newer as usize].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => entries[older as usize].newer = newer,
        }
        self.len -= 1;
    }
}
