//! Parts of a path.

use crate::scan;

pub(super) fn path_segment(path: &str, index: usize) -> Option<&[u8]> {
    scan::split(path.as_bytes().strip_prefix(b"/")?, b'/').nth(index)
}

pub(super) fn path_prefix(path: &str, segments: usize) -> &[u8] {
    let path = path.as_bytes();
    let slashes = scan::bytes(path).enumerate().filter(|(_, byte)| *byte == b'/').map(|(at, _)| at);
    let end = slashes.skip(1).nth(segments.saturating_sub(1));
    let prefix = end.and_then(|end| path.get(..end)).unwrap_or(path);
    let end = scan::rfind(prefix, |byte| byte != b'/').map_or(0, |last| last + 1);
    prefix.get(..end).unwrap_or(prefix)
}
