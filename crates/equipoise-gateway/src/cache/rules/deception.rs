//! Web cache deception: a URL that looks like a static file, and a response that is none.

use http::{HeaderMap, header::CONTENT_TYPE};
use percent_encoding::percent_decode_str;

/// Whether the end of the path has the extension of a static file and the type of the response is another one, such as
/// `/account/x.css` with `text/html`. Caches and backends differ in where a path ends for them, so all its ends count.
pub(super) fn contradicts_extension(path: &str, headers: &HeaderMap) -> bool {
    let Some(content_type) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = essence == "application/json" || essence.ends_with("+json");
    if !is_json && !matches!(essence.as_str(), "text/html" | "application/xhtml+xml") {
        return false;
    }
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let decoded = percent_decode_str(last).collect::<Vec<_>>();
    let mut ends = decoded.split(|byte| matches!(byte, b'/' | b';' | b'?' | b'#' | b'\0' | b'\r' | b'\n'));
    ends.any(|end| {
        let dot = end.iter().rposition(|byte| *byte == b'.');
        let extension = dot.and_then(|dot| end.get(dot + 1..));
        STATIC_EXTENSIONS.iter().any(|known| extension.is_some_and(|text| known.as_bytes().eq_ignore_ascii_case(text)))
    })
}

/// Extensions of files that are never HTML or JSON.
const STATIC_EXTENSIONS: &[&str] = &[
    "7z", "apk", "avi", "avif", "bin", "bmp", "bz2", "class", "css", "csv", "dmg", "doc", "docx", "ejs", "eot", "eps",
    "exe", "flac", "gif", "gz", "ico", "iso", "jar", "jpeg", "jpg", "js", "mid", "midi", "mjs", "mkv", "mp3", "mp4",
    "ogg", "otf", "pdf", "pict", "pls", "png", "ppt", "pptx", "ps", "rar", "svg", "svgz", "swf", "tar", "tgz", "tif",
    "tiff", "ttf", "wasm", "wav", "webm", "webp", "woff", "woff2", "xls", "xlsx", "zip", "zst",
];
