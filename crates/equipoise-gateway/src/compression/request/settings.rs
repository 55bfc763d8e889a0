use std::sync::atomic::{AtomicU64, Ordering};

use equipoise_proxy::error::ErrorResponses;
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING},
};

use super::error::Failure;
use crate::{
    Denial,
    compression::{Encoding, choice::Preference, stats::ByEncoding},
};

/// The settings of a layer.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) preference: Preference,
    pub(super) max_bytes: u64,
    pub(super) max_ratio: u32,
    pub(super) errors: ErrorResponses,
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) encodings: ByEncoding,
    pub(super) unsupported: AtomicU64,
    pub(super) too_large: AtomicU64,
    pub(super) ratio: AtomicU64,
    pub(super) malformed: AtomicU64,
}

impl Shared {
    pub(super) fn on_failure(&self, failure: Failure) {
        let counter = match failure {
            Failure::TooLarge => &self.too_large,
            Failure::Ratio => &self.ratio,
            Failure::Malformed => &self.malformed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// An encoding that is not decompressed, or several.
pub(super) struct Unsupported;

impl Settings {
    /// Returns the encoding of a request. `Ok(None)` if it has none.
    pub(super) fn encoding(&self, headers: &HeaderMap) -> Result<Option<Encoding>, Unsupported> {
        let mut values = headers.get_all(CONTENT_ENCODING).iter();
        let encoding = match (values.next(), values.next()) {
            (None, _) => return Ok(None),
            (Some(value), None) if value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity") => return Ok(None),
            (Some(value), None) => Encoding::of(value.as_bytes().trim_ascii()),
            (Some(_), Some(_)) => None,
        };
        match encoding.filter(|encoding| self.preference.iter().any(|listed| listed == *encoding)) {
            Some(encoding) => Ok(Some(encoding)),
            None => Err(Unsupported),
        }
    }

    pub(super) fn unsupported(&self) -> Denial {
        let names: Vec<_> = self.preference.iter().map(Encoding::as_str).collect();
        let accepted = HeaderValue::from_str(&names.join(", ")).unwrap_or(HeaderValue::from_static("identity"));
        Denial::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_content_encoding",
            "this Content-Encoding of a request is not supported",
        )
        .field(ACCEPT_ENCODING, accepted)
    }
}
