use std::borrow::Cow;

use equipoise_tower::RequestHead;
use http::header;

use crate::scan;

/// The host of the URI (HTTP/2, HTTP/3 and proxy requests have one there), else of the `Host` header.
pub(super) fn host(head: RequestHead<'_>) -> Option<Cow<'_, [u8]>> {
    let host = match head.uri.host() {
        Some(host) => host.as_bytes(),
        None => without_port(scan::trim(head.headers.get(header::HOST)?.as_bytes())),
    };
    let host = host.strip_suffix(b".").unwrap_or(host);
    Some(if scan::find(host, |byte| byte.is_ascii_uppercase()).is_some() {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    })
}

fn without_port(host: &[u8]) -> &[u8] {
    // The colons of an IPv6 address are in brackets.
    let from = scan::find(host, |byte| byte == b']').unwrap_or(0);
    let colon = scan::find(host.get(from..).unwrap_or_default(), |byte| byte == b':');
    colon.and_then(|colon| host.get(..from + colon)).unwrap_or(host)
}
