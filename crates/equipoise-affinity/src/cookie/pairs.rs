//! Where cookies begin and end in a header line.

use std::ops::Range;

/// One cookie of a header line, as byte ranges of that line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    /// Where the delimiter in front of it stands; the first of a line has none and starts at 0.
    pub(super) start: usize,
    /// The name without the white space around it. May be empty.
    pub(super) name: Range<usize>,
    /// `None` for a word without `=`.
    pub(super) assigned: Option<Assigned>,
    /// Where the next delimiter stands, or the line ends.
    pub(super) end: usize,
}

/// What follows a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assigned {
    /// Where `=` stands.
    pub(super) equal: usize,
    /// The value without the white space around it, quotes included.
    pub(super) value: Range<usize>,
}

/// The cookies of a `Cookie` line in order. `;` and `,` delimit, except within quotes: RFC 2965's rule, wider than
/// RFC 6265's, and the one HAProxy goes by.
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
        let pair = pair(self.line, self.at, self.at + usize::from(!self.first), b";,");
        (self.at, self.first) = (pair.end, false);
        Some(pair)
    }
}

/// The one cookie of a `Set-Cookie` line. Its name may hold commas; its value ends at the first, as in HAProxy.
pub(super) fn set_cookie(line: &[u8]) -> Pair {
    pair(line, 0, 0, b";")
}

fn pair(line: &[u8], start: usize, body: usize, ends_name: &[u8]) -> Pair {
    let begin = skip_blanks(line, body);
    let rest = line.get(begin..).unwrap_or_default();
    let stop = rest.iter().position(|byte| *byte == b'=' || ends_name.contains(byte));
    let stop = stop.map_or(line.len(), |at| begin + at);
    let name = begin..trim_end(line, begin, stop);
    if line.get(stop) != Some(&b'=') {
        return Pair { start, name, assigned: None, end: stop };
    }
    let value = skip_blanks(line, stop + 1);
    let end = value_end(line, value);
    Pair { start, name, assigned: Some(Assigned { equal: stop, value: value..trim_end(line, value, end) }), end }
}

/// Where the value that begins at `from` ends: at a delimiter outside quotes. A quote that is never closed reaches to
/// the end of the line.
fn value_end(line: &[u8], from: usize) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in line.iter().enumerate().skip(from) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' | b';' if !quoted => return at,
            _ => {}
        }
    }
    line.len()
}

pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn skip_blanks(line: &[u8], from: usize) -> usize {
    let from = from.min(line.len());
    line[from..].iter().position(|byte| !is_blank(*byte)).map_or(line.len(), |blanks| from + blanks)
}

fn trim_end(line: &[u8], from: usize, to: usize) -> usize {
    line.get(from..to)
        .unwrap_or_default()
        .iter()
        .rposition(|byte| !is_blank(*byte))
        .map_or(from, |last| from + last + 1)
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
    fn both_delimiters_part_cookies_and_blanks_belong_to_none() {
        assert_eq!(
            names_and_values(" a = 1 ;\tb=2,c ;=3;;d="),
            [("a", Some("1")), ("b", Some("2")), ("c", None), ("", Some("3")), ("", None), ("d", Some(""))]
        );
    }

    #[test]
    fn a_delimiter_within_quotes_parts_nothing() {
        assert_eq!(names_and_values(r#"a="1;\";2";b=3"#), [("a", Some(r#""1;\";2""#)), ("b", Some("3"))]);
        assert_eq!(names_and_values(r#"a="1;b=3"#), [("a", Some(r#""1;b=3"#))]);
    }

    #[test]
    fn empty_places_are_walked_over_one_by_one() {
        assert_eq!(names_and_values(""), []);
        assert_eq!(names_and_values(";;a=1;"), [("", None), ("", None), ("a", Some("1")), ("", None)]);
    }
}
