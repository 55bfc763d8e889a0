//! Where cookies begin and end in a header line.

use std::ops::Range;

use crate::scan;

/// One cookie of a header line, as byte ranges of that line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    /// The position of the delimiter before it. 0 for the first of a line, which has none.
    pub(super) start: usize,
    /// The name without the white space around it. May be empty.
    pub(super) name: Range<usize>,
    /// `None` for a word without `=`.
    pub(super) assigned: Option<Assigned>,
    /// The position of the next delimiter, or the end of the line.
    pub(super) end: usize,
}

/// What follows a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assigned {
    /// The position of `=`.
    pub(super) equal: usize,
    /// The value without the white space around it, quotes included.
    pub(super) value: Range<usize>,
}

/// The cookies of a `Cookie` line in order, as in RFC 6265 and 6265bis: only `;` is a delimiter. HAProxy follows RFC 2965,
/// where `,` is one too and quotes hide delimiters. Then a comma in another cookie's value could begin a cookie of ours,
/// and a quote could hide one.
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

/// The one cookie of a `Set-Cookie` line, which ends where its attributes begin.
pub(super) fn set_cookie(line: &[u8]) -> Pair {
    pair(line, 0, 0)
}

/// Reads no byte beyond the next `;`, so that reading a line takes linear time.
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

/// The position of the first such byte from `from` on, or the end of the line.
fn position(line: &[u8], from: usize, such: impl Fn(u8) -> bool) -> usize {
    let rest = line.get(from..).unwrap_or_default();
    scan::find(rest, such).map_or(line.len(), |at| from + at)
}

pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn trim_end(line: &[u8], from: usize, to: usize) -> usize {
    let part = line.get(from..to).unwrap_or_default();
    scan::rfind(part, |byte| !is_blank(byte)).map_or(from, |last| from + last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

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
