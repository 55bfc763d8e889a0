use super::{InvalidProbe, ProbeError, connect::excerpt};

/// The bytes that a probe expects in an answer.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    Contains(Vec<u8>),
    Prefix(Vec<u8>),
    #[cfg(feature = "regex")]
    Regex(regex::bytes::Regex),
}

/// A search for a pattern in an answer that arrives in parts, up to a maximum number of bytes.
#[derive(Debug)]
pub(super) struct Search<'a> {
    pattern: &'a Pattern,
    max_bytes: usize,
    seen: Vec<u8>,
}

impl Pattern {
    pub(super) fn contains(setting: &'static str, text: Vec<u8>) -> Result<Self, InvalidProbe> {
        Ok(Pattern::Contains(not_empty(setting, text)?))
    }

    pub(super) fn prefix(setting: &'static str, text: Vec<u8>) -> Result<Self, InvalidProbe> {
        Ok(Pattern::Prefix(not_empty(setting, text)?))
    }

    #[cfg(feature = "regex")]
    pub(super) fn regex(setting: &'static str, expression: &str) -> Result<Self, InvalidProbe> {
        let invalid = |error: regex::Error| InvalidProbe {
            setting,
            value: expression.to_owned(),
            expected: format!("use a regular expression of the crate regex ({error})").into(),
        };
        regex::bytes::Regex::new(expression).map(Pattern::Regex).map_err(invalid)
    }

    /// Returns whether the pattern matches `seen`, whose last `fresh` bytes are new. Returns `None` if more bytes are
    /// needed to decide.
    ///
    /// A regular expression is matched only once, at the end of the answer. It may contain `$`, and a match for each
    /// new byte would take O(n²) time.
    fn found(&self, seen: &[u8], fresh: usize, ended: bool) -> Option<bool> {
        let (found, clear) = match self {
            Pattern::Contains(text) => {
                let from = (seen.len() - fresh).saturating_sub(text.len() - 1);
                (seen[from..].windows(text.len()).any(|window| window == text), false)
            }
            Pattern::Prefix(text) => {
                // The earlier bytes matched. Otherwise the search would have ended.
                let (from, to) = (seen.len() - fresh, text.len().min(seen.len()));
                let differs = from < to && seen[from..to] != text[from..to];
                (!differs && seen.len() >= text.len(), differs)
            }
            #[cfg(feature = "regex")]
            Pattern::Regex(regex) => (ended && regex.is_match(seen), false),
        };
        (found || clear || ended).then_some(found)
    }
}

impl<'a> Search<'a> {
    pub(super) fn new(pattern: &'a Pattern, max_bytes: usize) -> Self {
        Self { pattern, max_bytes, seen: Vec::new() }
    }

    /// Adds bytes of the answer. Returns `true` as soon as the pattern is found, and an error as soon as it cannot be
    /// found any more.
    pub(super) fn more(&mut self, bytes: &[u8]) -> Result<bool, ProbeError> {
        let fresh = bytes.len().min(self.max_bytes - self.seen.len());
        self.seen.extend_from_slice(&bytes[..fresh]);
        self.judge(fresh, self.seen.len() == self.max_bytes)
    }

    /// Ends the answer. Returns an error if the pattern was not found.
    pub(super) fn end(&mut self) -> Result<(), ProbeError> {
        self.judge(0, true).map(drop)
    }

    fn judge(&self, fresh: usize, ended: bool) -> Result<bool, ProbeError> {
        match self.pattern.found(&self.seen, fresh, ended) {
            Some(false) => {
                let what = excerpt(&self.seen);
                Err(ProbeError::Unexpected(format!("{what}, expected answer not found in {} bytes", self.seen.len())))
            }
            found => Ok(found.is_some()),
        }
    }
}

fn not_empty(setting: &'static str, text: Vec<u8>) -> Result<Vec<u8>, InvalidProbe> {
    if text.is_empty() {
        let expected = "use at least one byte, or do not call it";
        return Err(InvalidProbe { setting, value: String::new(), expected: expected.into() });
    }
    Ok(text)
}

/// Validates a maximum number of bytes to read. Range: 1 byte to 16 MiB, because the bytes are buffered in memory.
pub(super) fn byte_limit(setting: &'static str, bytes: usize) -> Result<usize, InvalidProbe> {
    const MAX: usize = 16 * 1024 * 1024;
    match bytes {
        1..=MAX => Ok(bytes),
        _ => Err(InvalidProbe { setting, value: bytes.to_string(), expected: "use from 1 to 16 777 216 bytes".into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches byte by byte. Returns whether the pattern was found, and the number of bytes read.
    fn search(pattern: &Pattern, limit: usize, text: &str) -> (bool, usize) {
        let mut search = Search::new(pattern, limit);
        for (at, byte) in text.bytes().enumerate() {
            match search.more(&[byte]) {
                Ok(true) => return (true, at + 1),
                Ok(false) => {}
                Err(_) => return (false, at + 1),
            }
        }
        (search.end().is_ok(), text.len())
    }

    #[test]
    fn a_text_is_found_across_pieces_and_no_more_is_read() {
        let pattern = Pattern::contains("expect", b"PONG".to_vec()).unwrap();
        assert_eq!(search(&pattern, 100, "PO PONG etc"), (true, 7));
        assert_eq!(search(&pattern, 100, "PO"), (false, 2));
        assert_eq!(search(&pattern, 6, "PO PONG etc"), (false, 6), "it is beyond the limit");
        assert_eq!(search(&pattern, 7, "PO PONG etc"), (true, 7));
    }

    #[test]
    fn a_prefix_is_refused_at_the_first_other_byte() {
        let pattern = Pattern::prefix("expect_prefix", b"220 ".to_vec()).unwrap();
        assert_eq!(search(&pattern, 100, "220 hello"), (true, 4));
        assert_eq!(search(&pattern, 100, "421 busy"), (false, 1));
        assert_eq!(search(&pattern, 100, "22"), (false, 2));
        assert_eq!(search(&pattern, 3, "220 hello"), (false, 3), "it is beyond the limit");
        assert_eq!(search(&pattern, 100, "2204"), (false, 4));
        let mut whole = Search::new(&pattern, 100);
        assert!(whole.more(b"220 hello").unwrap());
    }

    #[cfg(feature = "regex")]
    #[test]
    fn a_regular_expression_is_asked_at_the_end_or_the_bound() {
        let pattern = Pattern::regex("body_matches", "^a+$").unwrap();
        assert_eq!(search(&pattern, 100, "aaa"), (true, 3));
        assert_eq!(search(&pattern, 100, "aaab"), (false, 4));
        assert_eq!(search(&pattern, 3, "aaab"), (true, 3));
    }

    #[test]
    fn a_bound_of_nothing_or_of_everything_is_refused() {
        assert!(byte_limit("max_bytes", 0).is_err() && byte_limit("max_bytes", usize::MAX).is_err());
        assert_eq!(byte_limit("max_bytes", 1), Ok(1));
    }
}
