//! Changes header lines. A line is copied only if it changes.

use std::ops::Range;

use http::{HeaderMap, HeaderName, HeaderValue, header::Entry};

use super::pairs::is_blank;
use crate::scan;

/// What becomes of a header line.
pub(super) enum Edit {
    Keep,
    Replace(Vec<u8>),
    Remove,
}

/// Applies `decide` to the lines of this name, in order.
pub(super) fn edit(headers: &mut HeaderMap, name: HeaderName, mut decide: impl FnMut(&[u8]) -> Edit) {
    let Ok(Entry::Occupied(mut lines)) = headers.try_entry(name) else { return };
    let mut gone = Vec::new();
    for (at, line) in lines.iter_mut().enumerate() {
        match decide(line.as_bytes()) {
            Edit::Keep => {}
            Edit::Replace(new) => replace(line, new),
            Edit::Remove => gone.push(at),
        }
    }
    if gone.is_empty() {
        return;
    }
    let stays = |at: &usize| gone.binary_search(at).is_err();
    let kept: Vec<_> = lines.iter().enumerate().filter(|(at, _)| stays(at)).map(|(_, line)| line.clone()).collect();
    let mut kept = kept.into_iter();
    match kept.next() {
        Some(first) => {
            lines.insert(first);
            kept.for_each(|line| lines.append(line));
        }
        None => {
            lines.remove();
        }
    }
}

fn replace(line: &mut HeaderValue, new: Vec<u8>) {
    // Always valid: all bytes are from a header or from a checked value.
    if let Ok(mut new) = HeaderValue::try_from(new) {
        new.set_sensitive(line.is_sensitive());
        *line = new;
    }
}

/// A line that is built from parts of an old one. Nothing is copied as long as it is equal to the old one.
pub(super) struct Line<'a> {
    old: &'a [u8],
    /// How many bytes of `old` the new line begins with, while they are equal.
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

    /// Appends these bytes of the old line.
    pub(super) fn keep(&mut self, part: Range<usize>) {
        if self.new.is_none() && part.start == self.same && part.end <= self.old.len() {
            self.same = part.end.max(self.same);
        } else if let Some(bytes) = self.old.get(part).filter(|bytes| !bytes.is_empty()) {
            self.push(bytes);
        }
    }

    /// Appends bytes that are not in the old line here.
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

    /// Returns the new line if it differs from the old one.
    pub(super) fn changed(self) -> Option<Vec<u8>> {
        match self.new {
            Some(new) => (new != self.old).then_some(new),
            None => (self.same != self.old.len()).then(|| self.old[..self.same].to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header::{COOKIE, HOST};

    use super::*;

    #[test]
    fn lines_that_go_leave_the_others_in_order() {
        let mut headers = HeaderMap::new();
        for line in ["a", "x", "b", "x", "c"] {
            headers.append(COOKIE, HeaderValue::from_static(line));
        }
        headers.insert(HOST, HeaderValue::from_static("x"));
        edit(&mut headers, COOKIE, |line| if line == b"x" { Edit::Remove } else { Edit::Keep });
        assert!(headers.get_all(COOKIE).iter().eq(["a", "b", "c"]));
        edit(&mut headers, COOKIE, |_| Edit::Remove);
        assert!(!headers.contains_key(COOKIE));
        assert_eq!(headers.len(), 1);
    }

    #[test]
    fn a_line_that_is_replaced_stays_as_secret_as_it_was() {
        let mut headers = HeaderMap::new();
        let mut line = HeaderValue::from_static("a");
        line.set_sensitive(true);
        headers.insert(COOKIE, line);
        edit(&mut headers, COOKIE, |_| Edit::Replace(b"b".to_vec()));
        assert!(headers[COOKIE].is_sensitive() && headers[COOKIE] == "b");
    }

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
