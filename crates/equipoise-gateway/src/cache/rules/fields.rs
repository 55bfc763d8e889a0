//! The fields of stored responses (RFC 9111, 3.1 and 3.2).

use http::{
    HeaderMap, HeaderName,
    header::{CONNECTION, DATE, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE},
};

/// Returns the fields of a stored response with those of a 304 or of the response to `HEAD` (RFC 9111, 3.2).
pub(crate) fn updated(stored: &HeaderMap, update: &HeaderMap) -> HeaderMap {
    let mut headers = stored.clone();
    let update = without_connection_fields(update);
    let excluded = |name: &HeaderName| {
        // They describe the stored body, or the connection.
        matches!(name.as_str(), "content-length" | "content-encoding" | "content-range" | "transfer-encoding")
    };
    // The old date would make the response fresh until long after the new `Expires`.
    headers.remove(DATE);
    for name in update.keys().filter(|name| !excluded(name)) {
        headers.remove(name);
    }
    for (name, value) in update.iter().filter(|(name, _)| !excluded(name)) {
        headers.append(name.clone(), value.clone());
    }
    headers
}

/// Returns the fields without those that are meant for one connection (RFC 9111, 3.1).
pub(crate) fn without_connection_fields(headers: &HeaderMap) -> HeaderMap {
    let mut kept = headers.clone();
    for value in headers.get_all(CONNECTION) {
        for name in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if let Ok(name) = HeaderName::from_bytes(name) {
                kept.remove(name);
            }
        }
    }
    for name in [CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE] {
        kept.remove(name);
    }
    for name in ["keep-alive", "proxy-connection", "proxy-authentication-info"] {
        kept.remove(name);
    }
    kept
}
