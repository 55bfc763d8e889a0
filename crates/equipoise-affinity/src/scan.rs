//! Functions that parsers use to read bytes from outside.
//!
//! The parsers of this crate read their input through these functions only. Each reads a byte at most once per call. Unit
//! tests count every byte read, and `linear` checks for each parser that twice the input is at most twice the work.

#[cfg(test)]
pub(crate) mod linear;

/// A byte or character that a parser looks at. In unit tests it is counted.
#[inline]
pub(crate) fn look<T>(seen: T) -> T {
    #[cfg(test)]
    linear::count();
    seen
}

/// The bytes of `text`, in order or from the end.
#[inline]
pub(crate) fn bytes(text: &[u8]) -> impl DoubleEndedIterator<Item = u8> + ExactSizeIterator {
    text.iter().map(|byte| look(*byte))
}

/// Where the first byte stands for which `such` holds.
#[inline]
pub(crate) fn find(text: &[u8], mut such: impl FnMut(u8) -> bool) -> Option<usize> {
    bytes(text).position(&mut such)
}

/// Where the last byte stands for which `such` holds.
#[inline]
pub(crate) fn rfind(text: &[u8], mut such: impl FnMut(u8) -> bool) -> Option<usize> {
    bytes(text).rposition(&mut such)
}

/// The parts of `text` between the bytes `at`.
#[inline]
pub(crate) fn split(text: &[u8], at: u8) -> impl Iterator<Item = &[u8]> {
    text.split(move |byte| look(*byte) == at)
}

/// What stands before and after the first byte `at`.
#[inline]
pub(crate) fn split_once(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let at = find(text, |byte| byte == at)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// `text` without the ASCII white space around it.
#[inline]
pub(crate) fn trim(text: &[u8]) -> &[u8] {
    let is_text = |byte: u8| !byte.is_ascii_whitespace();
    let Some(begin) = find(text, is_text) else { return &[] };
    let end = rfind(text, is_text).map_or(begin, |last| last + 1);
    text.get(begin..end).unwrap_or_default()
}
