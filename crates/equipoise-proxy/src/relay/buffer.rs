use std::{cell::Cell, ops::Range};

/// The size of the largest read: with larger ones, the buffer does not stay in the cache of usual processors.
pub(super) const MAX_READ: usize = 256 * 1024;

thread_local! {
    /// The buffer that the relays of this thread read into. Empty before the first read, and while a relay has it.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The buffer of the thread, for one poll of a relay.
#[derive(Debug, Default)]
pub(super) struct Scratch(Vec<u8>);

impl Scratch {
    /// Returns the first bytes of the buffer. Takes the buffer of the thread, or creates one, at the first call.
    pub(super) fn bytes(&mut self, length: usize) -> &mut [u8] {
        if self.0.is_empty() {
            // There is none while the thread ends.
            self.0 = BUFFER.try_with(Cell::take).unwrap_or_default();
        }
        if self.0.is_empty() {
            self.0 = vec![0; MAX_READ];
        }
        let length = length.min(self.0.len());
        &mut self.0[..length]
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            let buffer = std::mem::take(&mut self.0);
            let _ = BUFFER.try_with(|thread| thread.set(buffer));
        }
    }
}

/// Bytes that were read, and could not be written yet.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    buffer: Vec<u8>,
    range: Range<usize>,
}

impl Unwritten {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.range.clone()]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Keeps a part of the buffer of the thread. There must be no bytes before. Many bytes are not copied: the buffer
    /// itself is kept.
    pub(super) fn keep(&mut self, scratch: &mut Scratch, range: Range<usize>) {
        if range.len() >= MAX_READ / 4 {
            (self.buffer, self.range) = (std::mem::take(&mut scratch.0), range);
        } else {
            (self.buffer, self.range) = (scratch.0[range.clone()].to_vec(), 0..range.len());
        }
    }

    /// Adds bytes at the end.
    #[cfg(feature = "tcp")]
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.truncate(self.range.end);
        self.buffer.extend_from_slice(bytes);
        self.range.end = self.buffer.len();
    }

    /// Removes bytes that were written. When none are left, the buffer is freed, or given back to the thread.
    pub(super) fn remove(&mut self, count: usize, scratch: &mut Scratch) {
        self.range.start += count;
        if self.range.is_empty() {
            let buffer = std::mem::take(&mut self.buffer);
            self.range = 0..0;
            if buffer.len() == MAX_READ && scratch.0.is_empty() {
                scratch.0 = buffer;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_bytes_are_copied_and_many_keep_the_buffer() {
        let mut scratch = Scratch::default();
        scratch.bytes(MAX_READ).fill(7);
        let mut few = Unwritten::default();
        few.keep(&mut scratch, 10..13);
        assert_eq!((few.bytes(), few.buffer.len(), scratch.0.len()), (&[7; 3][..], 3, MAX_READ));
        let mut many = Unwritten::default();
        many.keep(&mut scratch, 5..MAX_READ);
        assert_eq!((many.bytes().len(), scratch.0.len()), (MAX_READ - 5, 0));
        few.remove(3, &mut scratch);
        many.remove(MAX_READ - 6, &mut scratch);
        assert!(few.is_empty() && many.bytes() == [7]);
        many.remove(1, &mut scratch);
        assert_eq!((many.buffer.len(), scratch.0.len()), (0, MAX_READ));
    }

    #[test]
    fn a_thread_uses_one_buffer() {
        let address = |scratch: &mut Scratch| scratch.bytes(1).as_ptr();
        let (mut one, mut other) = (Scratch::default(), Scratch::default());
        let (first, second) = (address(&mut one), address(&mut other));
        assert_ne!(first, second);
        drop(other);
        drop(one);
        assert_eq!(address(&mut Scratch::default()), first);
    }
}
