//! Header rules for a reverse proxy.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Hop-by-hop headers (RFC 9110, section 7.6.1, and older ones).
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Removes hop-by-hop headers, and those that `Connection` lists.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let declared: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in declared.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Tells the server the address of the client: appends the peer to `X-Forwarded-For` and sets `X-Real-IP` to it.
pub(crate) fn name_the_client(headers: &mut HeaderMap, peer: IpAddr) {
    let peer = peer.to_canonical().to_string();
    let mut route: Vec<&[u8]> = headers.get_all(FORWARDED_FOR).iter().map(HeaderValue::as_bytes).collect();
    route.push(peer.as_bytes());
    // Addresses are valid header values.
    if let (Ok(route), Ok(peer)) = (HeaderValue::from_bytes(&route.join(&b", "[..])), HeaderValue::from_str(&peer)) {
        headers.insert(FORWARDED_FOR, route);
        headers.insert(REAL_IP, peer);
    }
}
