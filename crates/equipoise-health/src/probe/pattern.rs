use super::{InvalidProbe, ProbeError, connect::excerpt};

/// What a peer is expected to send.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    Contains(Vec<u8>),
    Prefix(Vec<u8>),
    #[cfg(feature = "regex")]
    Regex(regex::bytes::Regex),
}

/// Reads with a bound, until it is clear whether the pattern is there.
#[derive(Debug)]
pub(super) struct Search<'a> {
    pattern: &'a Pattern,
    limit: usize,
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
        let wanted = |error: regex::Error| InvalidProbe {
            setting,
            value: expression.to_owned(),
            wanted: format!("it is a regular expression of the crate regex ({error})").into(),
        };
        regex::bytes::Regex::new(expression).map(Pattern::Regex).map_err(wanted)
    }

    /// Whether it is in what was seen, or that this is not clear yet. A regular expression is asked once, at the end: it
    /// may speak of the end, and asking it for every byte of a trickle would take the square of the time.
    fn found(&self, seen: &[u8], fresh: usize, ended: bool) -> Option<bool> {
        let (found, clear) = match self {
            Pattern::Contains(text) => {
                let from = (seen.len() - fresh).saturating_sub(text.len() - 1);
                (seen[from..].windows(text.len()).any(|window| window == text), false)
            }
            Pattern::Prefix(text) => {
                // What came before agreed, or it would have been clear then.
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
    pub(super) fn new(pattern: &'a Pattern, limit: usize) -> Self {
        Self { pattern, limit, seen: Vec::new() }
    }

    /// Takes in more; true once the pattern is there.
    pub(super) fn more(&mut self, bytes: &[u8]) -> Result<bool, ProbeError> {
        let fresh = bytes.len().min(self.limit - self.seen.len());
        self.seen.extend_from_slice(&bytes[..fresh]);
        self.judge(fresh, self.seen.len() == self.limit)
    }

    /// Nothing more comes.
    pub(super) fn end(&mut self) -> Result<(), ProbeError> {
        self.judge(0, true).map(drop)
    }

    fn judge(&self, fresh: usize, ended: bool) -> Result<bool, ProbeError> {
        match self.pattern.found(&self.seen, fresh, ended) {
            Some(false) => {
                let what = excerpt(&self.seen);
                Err(ProbeError::Unexpected(format!("{what}, in {} bytes nothing that was asked for", self.seen.len())))
            }
            found => Ok(found.is_some()),
        }
    }
}

fn not_empty(setting: &'static str, text: Vec<u8>) -> Result<Vec<u8>, InvalidProbe> {
    if text.is_empty() {
        let wanted = "without anything to look for, leave the setting away";
        return Err(InvalidProbe { setting, value: String::new(), wanted: wanted.into() });
    }
    Ok(text)
}

/// A bound is large enough to read something, and too small to hurt.
pub(super) fn bound(setting: &'static str, bytes: usize) -> Result<usize, InvalidProbe> {
    const MOST: usize = 16 * 1024 * 1024;
    match bytes {
        1..=MOST => Ok(bytes),
        _ => Err(InvalidProbe {
            setting,
            value: bytes.to_string(),
            wanted: "from 1 to 16 777 216 bytes are read".into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What came of it and after how many bytes, fed one by one.
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
        assert_eq!(search(&pattern, 6, "PO PONG etc"), (false, 6), "it is beyond the bound");
        assert_eq!(search(&pattern, 7, "PO PONG etc"), (true, 7));
    }

    #[test]
    fn a_prefix_is_refused_at_the_first_other_byte() {
        let pattern = Pattern::prefix("expect_prefix", b"220 ".to_vec()).unwrap();
        assert_eq!(search(&pattern, 100, "220 hello"), (true, 4));
        assert_eq!(search(&pattern, 100, "421 busy"), (false, 1));
        assert_eq!(search(&pattern, 100, "22"), (false, 2));
        assert_eq!(search(&pattern, 3, "220 hello"), (false, 3), "it is beyond the bound");
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
        assert!(bound("limit", 0).is_err() && bound("limit", usize::MAX).is_err());
        assert_eq!(bound("limit", 1), Ok(1));
    }
}
