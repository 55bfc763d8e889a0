use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::{body::PageBody, reply};

/// A file of the page. It is part of the program.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asset {
    /// The part of the path below `assets/`.
    pub(super) name: &'static str,
    content_type: &'static str,
    text: &'static str,
}

pub(super) const PAGE: Asset =
    Asset { name: "page.html", content_type: "text/html; charset=utf-8", text: include_str!("assets/page.html") };

/// The files that the page loads from below `assets/`.
pub(super) const ASSETS: [Asset; 9] = [
    Asset { name: "page.css", content_type: "text/css; charset=utf-8", text: include_str!("assets/page.css") },
    script("page.js", include_str!("assets/page.js")),
    script("dom.js", include_str!("assets/dom.js")),
    script("model.js", include_str!("assets/model.js")),
    script("functions.js", include_str!("assets/functions.js")),
    script("panels.js", include_str!("assets/panels.js")),
    script("pool.js", include_str!("assets/pool.js")),
    script("row.js", include_str!("assets/row.js")),
    Asset { name: "icon.svg", content_type: "image/svg+xml", text: include_str!("assets/icon.svg") },
];

const fn script(name: &'static str, text: &'static str) -> Asset {
    Asset { name, content_type: "text/javascript; charset=utf-8", text }
}

impl Asset {
    /// Returns the file, or `304 Not Modified` if the client has it already. Browsers ask each time, so that they never
    /// mix the files of two versions of the program.
    pub(super) fn respond(&self, headers: &HeaderMap) -> Response<PageBody> {
        let etag = self.etag();
        let is_known =
            headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok()).any(|line| {
                line.split(',').map(str::trim).any(|known| known == "*" || known.trim_start_matches("W/") == etag)
            });
        let body = if is_known { Bytes::new() } else { Bytes::from_static(self.text.as_bytes()) };
        let mut response = reply::data(self.content_type, PageBody::from(body));
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if let Ok(etag) = HeaderValue::try_from(etag) {
            response.headers_mut().insert(header::ETAG, etag);
        }
        response
    }

    /// Returns a tag that changes with the contents.
    fn etag(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.text.hash(&mut hasher);
        format!("\"{:016x}\"", hasher.finish())
    }
}
