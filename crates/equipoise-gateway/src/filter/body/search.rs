use std::{collections::VecDeque, ops::Range, sync::Arc};

use aho_corasick::{AhoCorasick, MatchKind};
use bytes::Bytes;

/// Finds texts in a body, also over the borders of chunks, in linear time (Aho and Corasick, 1975).
#[derive(Clone, Debug)]
pub(super) struct Texts(Arc<Finders>);

#[derive(Debug)]
struct Finders {
    /// Finds texts within a chunk. It is several times as fast as the automaton, because it uses vector
    /// instructions, but it cannot say which part of a text is at the end of a chunk.
    within: AhoCorasick,
    /// Finds texts over the borders of chunks.
    over: Automaton,
    /// The length of the longest text.
    longest: usize,
}

#[derive(Debug)]
struct Automaton {
    /// The class of each byte. Bytes that are in no text have class 0.
    classes: [u8; 256],
    class_count: usize,
    /// The next state, by state and class.
    next: Box<[u16]>,
    states: Box<[State]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// The number of bytes at the end of the input that may be the start of a text.
    depth: u16,
    /// The text that ends here, and its length.
    found: Option<(u16, u16)>,
}

/// Why texts cannot be looked for in bodies.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTexts {
    /// There is no text, or one is empty.
    #[error("write at least one text, and no empty one")]
    Empty,
    /// All texts together are too long.
    #[error("the texts have {bytes} bytes together; use at most 4096")]
    TooLong {
        /// The length of all texts in bytes.
        bytes: usize,
    },
    /// A text contains another one, so it would never be found.
    #[error("{outer:?} contains {inner:?}, which is found first; use texts that do not contain each other")]
    Contained {
        /// The longer text.
        outer: String,
        /// The text in it. Both are the same if a text is written twice.
        inner: String,
    },
}

const MAX_BYTES: usize = 4096;

impl Texts {
    /// Prepares to look for texts. No text contains another one.
    pub(super) fn new(texts: &[Vec<u8>], ignore_case: bool) -> Result<Self, InvalidTexts> {
        let bytes = texts.iter().map(Vec::len).sum();
        if texts.is_empty() || texts.iter().any(Vec::is_empty) {
            return Err(InvalidTexts::Empty);
        }
        if bytes > MAX_BYTES {
            return Err(InvalidTexts::TooLong { bytes });
        }
        check(texts)?;
        let folded = |byte: u8| if ignore_case { byte.to_ascii_lowercase() } else { byte };
        let mut classes = [0; 256];
        let mut class_count: usize = 1;
        for byte in texts.iter().flatten().map(|byte| folded(*byte)) {
            let class = &mut classes[usize::from(byte)];
            if *class == 0 {
                // All 256 bytes would need 257 classes. Then the last one shares class 255 with none, because class 0
                // is free.
                *class = u8::try_from(class_count).unwrap_or(0);
                class_count = (class_count + 1).min(256);
            }
        }
        if ignore_case {
            for upper in b'A'..=b'Z' {
                classes[usize::from(upper)] = classes[usize::from(upper.to_ascii_lowercase())];
            }
        }
        let mut automaton = Automaton {
            classes,
            class_count,
            next: vec![0; class_count].into(),
            states: vec![State::default()].into(),
        };
        automaton.build(texts);
        // The packed search of the library needs leftmost matches. They are the first ones, since no text contains
        // another one.
        let mut within = AhoCorasick::builder();
        within.match_kind(MatchKind::LeftmostFirst).ascii_case_insensitive(ignore_case);
        // The library refuses only what is much longer than the maximum.
        let within = within.build(texts).map_err(|_| InvalidTexts::TooLong { bytes })?;
        let longest = texts.iter().map(Vec::len).max().unwrap_or(0);
        Ok(Self(Arc::new(Finders { within, over: automaton, longest })))
    }
}

/// Checks that no text contains another one. So the text that ends first also begins first, and it is the only one that
/// ends there.
fn check(texts: &[Vec<u8>]) -> Result<(), InvalidTexts> {
    let shown = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    for (at, outer) in texts.iter().enumerate() {
        for (_, inner) in texts.iter().enumerate().filter(|(other, _)| *other != at) {
            if outer.windows(inner.len()).any(|part| part == inner) {
                return Err(InvalidTexts::Contained { outer: shown(outer), inner: shown(inner) });
            }
        }
    }
    Ok(())
}

impl Automaton {
    fn build(&mut self, texts: &[Vec<u8>]) {
        let classes = self.class_count;
        let (mut next, mut states) = (vec![0_u16; classes], vec![State::default()]);
        // The tree of all texts. State 0 is the root, and stands for "none" as long as the tree is built.
        for (index, text) in texts.iter().enumerate() {
            let mut at = 0_usize;
            for byte in text {
                let edge = at * classes + usize::from(self.classes[usize::from(*byte)]);
                if next[edge] == 0 {
                    next[edge] = u16::try_from(states.len()).unwrap_or(0);
                    let depth = states[at].depth + 1;
                    states.push(State { depth, found: None });
                    next.extend(std::iter::repeat_n(0, classes));
                }
                at = usize::from(next[edge]);
            }
            states[at].found = Some((u16::try_from(index).unwrap_or(0), states[at].depth));
        }
        // Level by level, the edges that are missing lead where the longest proper suffix leads.
        let mut suffixes = vec![0_usize; states.len()];
        let mut queue: VecDeque<usize> = VecDeque::from([0]);
        while let Some(at) = queue.pop_front() {
            for class in 0..classes {
                let to = usize::from(next[at * classes + class]);
                let fallback = if at == 0 { 0 } else { usize::from(next[suffixes[at] * classes + class]) };
                if to == 0 {
                    next[at * classes + class] = u16::try_from(fallback).unwrap_or(0);
                } else {
                    suffixes[to] = fallback;
                    if states[to].found.is_none() {
                        states[to].found = states[fallback].found;
                    }
                    queue.push_back(to);
                }
            }
        }
        (self.next, self.states) = (next.into(), states.into());
    }

    fn step(&self, state: usize, byte: u8) -> usize {
        let class = usize::from(self.classes[usize::from(byte)]);
        self.next.get(state * self.class_count + class).copied().unwrap_or(0).into()
    }
}

impl Finders {
    /// Returns the next text that ends at or after a place in a chunk, and its length. Moves the place behind it, or else to
    /// the end of the chunk. `state` is that of the automaton at the place.
    fn find(&self, state: &mut usize, data: &[u8], at: &mut usize) -> Option<(usize, usize)> {
        let mut is_searched = false;
        while let Some(byte) = data.get(*at) {
            if *state == 0 && !is_searched {
                let rest = data.get(*at..)?;
                if let Some(found) = self.within.find(rest) {
                    *at += found.end();
                    return Some((found.pattern().as_usize(), found.len()));
                }
                // No text ends in this chunk, so its state at the end depends on the last bytes only.
                is_searched = true;
                *at += rest.len().saturating_sub(self.longest);
                continue;
            }
            *state = self.over.step(*state, *byte);
            *at += 1;
            if let Some(State { found: Some((text, length)), .. }) = self.over.states.get(*state) {
                *state = 0;
                return Some((usize::from(*text), usize::from(*length)));
            }
        }
        None
    }
}

/// What was found in a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Bytes that belong to no text.
    Other(Bytes),
    /// The text with this index.
    Text(usize),
}

/// The search in one body.
#[derive(Debug)]
pub(super) struct Search {
    texts: Texts,
    state: usize,
    /// Bytes of earlier chunks that may be the start of a text. At most as long as the longest text.
    kept: Vec<u8>,
}

impl Search {
    pub(super) fn new(texts: Texts) -> Self {
        Self { texts, state: 0, kept: Vec::new() }
    }

    /// Takes the next bytes, and gives what was found in order. `found` returns whether the search goes on; otherwise
    /// the rest is given as it is.
    pub(super) fn chunk(&mut self, data: &Bytes, mut found: impl FnMut(Found) -> bool) {
        let texts = &*self.texts.0;
        let before = self.kept.len();
        // Positions count from the first byte that is kept. What comes before `given` was given.
        let (mut given, mut at) = (0, 0);
        let mut state = self.state;
        while let Some((text, length)) = texts.find(&mut state, data, &mut at) {
            let end = before + at;
            for bytes in self.between(given..end - length, data) {
                found(Found::Other(bytes));
            }
            given = end;
            if !found(Found::Text(text)) {
                for bytes in self.between(given..before + data.len(), data) {
                    found(Found::Other(bytes));
                }
                self.kept.clear();
                self.state = 0;
                return;
            }
        }
        self.state = state;
        let depth = texts.over.states.get(state).map_or(0, |state| usize::from(state.depth));
        let end = before + data.len();
        let keep = end - depth;
        for bytes in self.between(given..keep, data) {
            found(Found::Other(bytes));
        }
        if keep >= before {
            self.kept.clear();
            self.kept.extend_from_slice(data.get(keep - before..).unwrap_or_default());
        } else {
            self.kept.drain(..keep);
            self.kept.extend_from_slice(data);
        }
    }

    /// Returns what is kept at the end of the body: no text ends there.
    pub(super) fn end(&mut self) -> Bytes {
        self.state = 0;
        std::mem::take(&mut self.kept).into()
    }

    /// Returns the bytes in a range of what is kept and a chunk. Those of the chunk are not copied.
    fn between(&self, range: Range<usize>, data: &Bytes) -> impl Iterator<Item = Bytes> + use<> {
        let before = self.kept.len();
        let kept = self.kept.get(range.start.min(before)..range.end.min(before)).unwrap_or_default();
        let kept = Bytes::copy_from_slice(kept);
        let new = range.start.saturating_sub(before)..range.end.saturating_sub(before);
        let new = if new.is_empty() { Bytes::new() } else { data.slice(new) };
        [kept, new].into_iter().filter(|bytes| !bytes.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(texts: &[&str]) -> Result<Texts, InvalidTexts> {
        Texts::new(&texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>(), false)
    }

    /// Returns the input with `<n>` for the text n, and the most bytes that were kept.
    fn marked(texts: &Texts, chunks: &[&[u8]]) -> (Vec<u8>, usize) {
        let mut search = Search::new(texts.clone());
        let (mut output, mut most) = (Vec::new(), 0);
        for chunk in chunks {
            search.chunk(&Bytes::copy_from_slice(chunk), |found| {
                match found {
                    Found::Other(bytes) => output.extend_from_slice(&bytes),
                    Found::Text(index) => output.extend_from_slice(format!("<{index}>").as_bytes()),
                }
                true
            });
            most = most.max(search.kept.len());
        }
        output.extend_from_slice(&search.end());
        (output, most)
    }

    /// Marks texts as a reader would: the leftmost one first.
    fn naive(texts: &[&str], ignore_case: bool, mut input: &str) -> String {
        let starts_with = |input: &str, text: &str| match ignore_case {
            true => input.to_ascii_lowercase().starts_with(text),
            false => input.starts_with(text),
        };
        let mut output = String::new();
        while let Some(first) = input.chars().next() {
            match texts.iter().enumerate().find(|(_, text)| starts_with(input, text)) {
                Some((index, text)) => {
                    output.push_str(&format!("<{index}>"));
                    input = &input[text.len()..];
                }
                None => {
                    output.push(first);
                    input = &input[first.len_utf8()..];
                }
            }
        }
        output
    }

    #[test]
    fn texts_are_found_over_all_borders() {
        let expected = b"a<1>n<0> <0>aabra".to_vec();
        let found = texts(&["cadabra", "bora"]).expect("texts");
        let input = b"aborancadabra cadabraaabra";
        for first in 0..input.len() {
            for second in first..input.len() {
                let chunks = [&input[..first], &input[first..second], &input[second..]];
                assert_eq!(marked(&found, &chunks).0, expected);
            }
        }
    }

    #[test]
    fn texts_that_cannot_be_found_are_refused() {
        assert_eq!(texts(&[]).err(), Some(InvalidTexts::Empty));
        assert_eq!(texts(&["a", ""]).err(), Some(InvalidTexts::Empty));
        for pair in [["foo", "foobar"], ["foobar", "oba"], ["bar", "foobar"], ["a", "a"]] {
            assert!(matches!(texts(&pair), Err(InvalidTexts::Contained { .. })), "{pair:?}");
        }
        assert_eq!(texts(&["x".repeat(4097).as_str()]).err(), Some(InvalidTexts::TooLong { bytes: 4097 }));
        assert!(texts(&["aba"]).is_ok() && texts(&["ab", "ba"]).is_ok());
    }

    #[test]
    fn all_bytes_can_be_in_texts() {
        let all: Vec<u8> = (0..=255).collect();
        let found = Texts::new(std::slice::from_ref(&all), false).expect("texts");
        let mut input = vec![7];
        input.extend_from_slice(&all);
        assert_eq!(marked(&found, &[&input]).0, b"\x07<0>");
    }

    proptest! {
        #[test]
        fn any_chunks_give_what_the_whole_gives(
            needles in proptest::collection::vec("[ab]{1,4}", 1..4),
            ignore_case in any::<bool>(),
            input in "[abcAB]{0,40}",
            cuts in proptest::collection::vec(0..40_usize, 0..12),
        ) {
            let bytes: Vec<_> = needles.iter().map(|text| text.as_bytes().to_vec()).collect();
            let needles: Vec<&str> = needles.iter().map(String::as_str).collect();
            let Ok(found) = Texts::new(&bytes, ignore_case) else { return Ok(()) };
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(input.len())).collect();
            cuts.extend([0, input.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|cut| &input.as_bytes()[cut[0]..cut[1]]).collect();
            let (output, most) = marked(&found, &chunks);
            prop_assert_eq!(String::from_utf8_lossy(&output).into_owned(), naive(&needles, ignore_case, &input));
            prop_assert!(most < needles.iter().map(|text| text.len()).max().unwrap_or(0));
        }
    }
}
