//! Functions that read bytes from outside (such as headers) for the parsers of this crate.
//!
//! The parsers read their input with these functions only. Each function reads a byte at most once per call. In unit
//! tests, the functions count the bytes that are read. `linear` uses the count to check that each parser takes linear
//! time: twice the input must cause at most twice the work.

#[cfg(test)]
pub(crate) mod linear;

/// Returns a byte or character that a parser reads. In unit tests, it also counts the byte.
#[inline]
pub(crate) fn look<T>(seen: T) -> T {
    #[cfg(test)]
    linear::count();
    seen
}

/// Iterates over the bytes of `text`, in order or from the end.
#[inline]
pub(crate) fn bytes(text: &[u8]) -> impl DoubleEndedIterator<Item = u8> + ExactSizeIterator {
    text.iter().map(|byte| look(*byte))
}

/// Returns the position of the first byte for which `such` returns true.
#[inline]
pub(crate) fn find(text: &[u8], mut such: impl FnMut(u8) -> bool) -> Option<usize> {
    bytes(text).position(&mut such)
}

/// Returns the position of the last byte for which `such` returns true.
#[inline]
pub(crate) fn rfind(text: &[u8], mut such: impl FnMut(u8) -> bool) -> Option<usize> {
    bytes(text).rposition(&mut such)
}

/// Iterates over the parts of `text` between the bytes that are equal to `at`.
#[inline]
pub(crate) fn split(text: &[u8], at: u8) -> impl Iterator<Item = &[u8]> {
    text.split(move |byte| look(*byte) == at)
}

/// Returns the text before and after the first byte that is equal to `at`. Returns `None` if there is none.
#[inline]
pub(crate) fn split_once(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let at = find(text, |byte| byte == at)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// Returns `text` without the ASCII white space around it.
#[inline]
pub(crate) fn trim(text: &[u8]) -> &[u8] {
    let is_text = |byte: u8| !byte.is_ascii_whitespace();
    let Some(begin) = find(text, is_text) else { return &[] };
    let end = rfind(text, is_text).map_or(begin, |last| last + 1);
    text.get(begin..end).unwrap_or_default()
}
