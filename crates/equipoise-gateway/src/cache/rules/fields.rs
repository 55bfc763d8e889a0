//! The fields of stored responses (RFC 9111, 3.1 and 3.2).

use equipoise_proxy::headers::remove_hop_by_hop;
use http::{
    HeaderMap, HeaderName,
    header::{DATE, TRAILER},
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
    remove_hop_by_hop(&mut kept);
    kept.remove(TRAILER);
    kept.remove("proxy-authentication-info");
    kept
}
