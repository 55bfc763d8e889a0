//! A header line that is copied only once it changes.

use std::ops::Range;

use super::pairs::is_blank;
use crate::scan;

/// What a line becomes: its parts are [kept](Self::keep) in order, and as long as nothing between them is left out or
/// added, nothing is copied.
pub(super) struct Line<'a> {
    old: &'a [u8],
    /// How much of `old` the new one begins with, until the two part.
    same: usize,
    new: Option<Vec<u8>>,
}

impl<'a> Line<'a> {
    pub(super) fn new(old: &'a [u8]) -> Self {
        Self { old, same: 0, new: None }
    }

    pub(super) fn len(&self) -> usize {
        self.new.as_ref().map_or(self.same, Vec::len)
    }

    /// Goes on with these bytes of the old one.
    pub(super) fn keep(&mut self, part: Range<usize>) {
        if self.new.is_none() && part.start == self.same && part.end <= self.old.len() {
            self.same = part.end.max(self.same);
        } else if let Some(bytes) = self.old.get(part).filter(|bytes| !bytes.is_empty()) {
            self.push(bytes);
        }
    }

    /// Goes on with bytes that the old one did not have here.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let (old, same) = (self.old, self.same);
        self.new
            .get_or_insert_with(|| {
                let mut new = Vec::with_capacity(old.len().saturating_add(bytes.len()));
                new.extend_from_slice(&old[..same]);
                new
            })
            .extend_from_slice(bytes);
    }

    pub(super) fn truncate(&mut self, len: usize) {
        match &mut self.new {
            Some(new) => new.truncate(len),
            None => self.same = self.same.min(len),
        }
    }

    pub(super) fn trim_end(&mut self) {
        let kept = self.new.as_deref().unwrap_or(&self.old[..self.same]);
        let len = scan::rfind(kept, |byte| !is_blank(byte)).map_or(0, |last| last + 1);
        self.truncate(len);
    }

    /// The new line, if it is another one.
    pub(super) fn changed(self) -> Option<Vec<u8>> {
        match self.new {
            Some(new) => (new != self.old).then_some(new),
            None => (self.same != self.old.len()).then(|| self.old[..self.same].to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_kept_whole_is_not_copied() {
        let mut line = Line::new(b"abc");
        line.keep(0..1);
        line.keep(1..3);
        assert!(line.new.is_none());
        assert_eq!(line.changed(), None);
    }

    #[test]
    fn what_is_left_out_or_added_makes_another_line() {
        let mut line = Line::new(b"a b");
        line.keep(0..1);
        line.keep(2..3);
        line.push(b" ~ ");
        line.trim_end();
        assert_eq!(line.len(), 4);
        assert_eq!(line.changed().as_deref(), Some(&b"ab ~"[..]));
    }
}
