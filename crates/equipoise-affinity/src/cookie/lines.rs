//! Finds the cookies in `Cookie` and `Set-Cookie` lines, and edits these lines. A line is copied only if it changes.

use std::ops::Range;

use http::{HeaderMap, HeaderName, HeaderValue, header::Entry};

use crate::scan;

/// One cookie of a header line, as byte ranges of this line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    /// The position of the delimiter before the cookie. 0 for the first cookie of a line, which has no delimiter.
    pub(super) start: usize,
    /// The cookie's name without the white space around it. May be empty.
    pub(super) name: Range<usize>,
    /// What follows the name. `None` if there is no `=`.
    pub(super) assigned: Option<Assigned>,
    /// The position of the delimiter after the cookie, or the end of the line.
    pub(super) end: usize,
}

/// The `=` after a cookie's name, and the cookie's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assigned {
    /// The position of `=`.
    pub(super) equal: usize,
    /// The value without the white space around it, but with quotes.
    pub(super) value: Range<usize>,
}

/// Iterates over the cookies of a `Cookie` line, in order. Only `;` separates cookies, as in RFC 6265 and 6265bis.
///
/// HAProxy follows RFC 2965 instead: `,` also separates cookies, and a delimiter in quotes has no effect. Then the
/// comma in the value of another cookie could begin a persistence cookie, and a quote could hide a persistence cookie.
pub(super) struct Pairs<'a> {
    line: &'a [u8],
    at: usize,
    first: bool,
}

impl<'a> Pairs<'a> {
    pub(super) fn new(line: &'a [u8]) -> Self {
        Self { line, at: 0, first: true }
    }
}

impl Iterator for Pairs<'_> {
    type Item = Pair;

    fn next(&mut self) -> Option<Pair> {
        if self.at >= self.line.len() {
            return None;
        }
        let pair = pair(self.line, self.at, self.at + usize::from(!self.first));
        (self.at, self.first) = (pair.end, false);
        Some(pair)
    }
}

/// Returns the cookie of a `Set-Cookie` line, without its attributes.
pub(super) fn set_cookie(line: &[u8]) -> Pair {
    pair(line, 0, 0)
}

/// Parses the cookie at `body`. Reads no byte after the next `;`, so that reading a line takes linear time.
fn pair(line: &[u8], start: usize, body: usize) -> Pair {
    let end = position(line, body, |byte| byte == b';');
    let line = line.get(..end).unwrap_or(line);
    let begin = position(line, body, |byte| !is_blank(byte));
    let equal = position(line, begin, |byte| byte == b'=');
    let name = begin..trim_end(line, begin, equal);
    if equal == end {
        return Pair { start, name, assigned: None, end };
    }
    let value = position(line, equal + 1, |byte| !is_blank(byte));
    Pair { start, name, assigned: Some(Assigned { equal, value: value..trim_end(line, value, end) }), end }
}

/// Returns the position of the first byte from `from` on for which `such` returns true, or the end of the line.
fn position(line: &[u8], from: usize, such: impl Fn(u8) -> bool) -> usize {
    let rest = line.get(from..).unwrap_or_default();
    scan::find(rest, such).map_or(line.len(), |at| from + at)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn trim_end(line: &[u8], from: usize, to: usize) -> usize {
    let part = line.get(from..to).unwrap_or_default();
    scan::rfind(part, |byte| !is_blank(byte)).map_or(from, |last| from + last + 1)
}

/// The change of one header line.
pub(super) enum Edit {
    Keep,
    Replace(Vec<u8>),
    Remove,
}

/// Calls `decide` for each header line of this name, in order, and makes the change that it returns.
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

/// Builds a header line from parts of an old line. Copies nothing while the new line is a prefix of the old one.
pub(super) struct Line<'a> {
    old: &'a [u8],
    /// How many bytes of `old` the new line has. Used while `new` is `None`.
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

    /// Appends the bytes `part` of the old line.
    pub(super) fn keep(&mut self, part: Range<usize>) {
        if self.new.is_none() && part.start == self.same && part.end <= self.old.len() {
            self.same = part.end.max(self.same);
        } else if let Some(bytes) = self.old.get(part).filter(|bytes| !bytes.is_empty()) {
            self.push(bytes);
        }
    }

    /// Appends bytes that the old line does not have at this position.
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

    /// Returns the new line if it differs from the old line.
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

    fn names_and_values(line: &str) -> Vec<(&str, Option<&str>)> {
        Pairs::new(line.as_bytes())
            .map(|pair| (&line[pair.name], pair.assigned.map(|assigned| &line[assigned.value])))
            .collect()
    }

    #[test]
    fn semicolons_part_cookies_and_blanks_belong_to_none() {
        assert_eq!(
            names_and_values(" a = 1 ;\tb=2;c ;=3;;d="),
            [("a", Some("1")), ("b", Some("2")), ("c", None), ("", Some("3")), ("", None), ("d", Some(""))]
        );
    }

    #[test]
    fn commas_and_quotes_part_and_hide_nothing() {
        assert_eq!(names_and_values("a=1,b=2; c,d=3"), [("a", Some("1,b=2")), ("c,d", Some("3"))]);
        assert_eq!(
            names_and_values(r#"a="1;b=2;c="\";d=3""#),
            [("a", Some("\"1")), ("b", Some("2")), ("c", Some(r#""\""#)), ("d", Some("3\""))]
        );
    }

    #[test]
    fn empty_places_are_walked_over_one_by_one() {
        assert_eq!(names_and_values(""), []);
        assert_eq!(names_and_values(";;a=1;"), [("", None), ("", None), ("a", Some("1")), ("", None)]);
    }
}
