//! Parts of a path.

pub(super) fn path_segment(path: &str, index: usize) -> Option<&str> {
    path.strip_prefix('/')?.split('/').nth(index)
}

pub(super) fn path_prefix(path: &str, segments: usize) -> &str {
    let slashes = path.match_indices('/').map(|(at, _)| at);
    let end = slashes.skip(1).nth(segments.saturating_sub(1));
    end.and_then(|end| path.get(..end)).unwrap_or(path).trim_end_matches('/')
}
