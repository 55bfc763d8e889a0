//! Web cache deception: a URL that looks like a static file, and a response that is none.

use http::{HeaderMap, header::CONTENT_TYPE};

/// Whether the last extension of the path is one of a static file and the type of the response is another one, such as
/// `/account/x.css` with `text/html`.
pub(super) fn contradicts_extension(path: &str, headers: &HeaderMap) -> bool {
    let Some(content_type) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = essence == "application/json" || essence.ends_with("+json");
    if !is_json && !matches!(essence.as_str(), "text/html" | "application/xhtml+xml") {
        return false;
    }
    let last = path.rsplit('/').next().unwrap_or_default();
    let Some((_, extension)) = last.rsplit_once('.') else { return false };
    STATIC_EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension))
}

/// Extensions of files that are never HTML or JSON.
const STATIC_EXTENSIONS: &[&str] = &[
    "7z", "avif", "bmp", "bz2", "css", "csv", "doc", "docx", "eot", "exe", "flac", "gif", "gz", "ico", "jar", "jpeg",
    "jpg", "js", "mid", "midi", "mjs", "mp3", "mp4", "ogg", "otf", "pdf", "png", "ppt", "pptx", "svg", "swf", "tar",
    "tif", "tiff", "ttf", "wasm", "wav", "webm", "webp", "woff", "woff2", "xls", "xlsx", "zip", "zst",
];
