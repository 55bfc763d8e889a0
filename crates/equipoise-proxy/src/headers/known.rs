use http::{HeaderMap, HeaderName};

/// A field that a proxy must not treat like any other.
pub(crate) struct Known {
    name: &'static str,
    /// It belongs to one connection, and is not forwarded.
    #[cfg_attr(not(test), expect(dead_code, reason = "the test compares it with `is_hop_by_hop`"))]
    is_hop_by_hop: bool,
    /// HTTP/2 does not allow it (RFC 9113, section 8.2.2). `TE` and `Transfer-Encoding` have rules of their own.
    is_http1_only: bool,
    /// `Connection` cannot remove it, because a proxy must forward it or has written it.
    is_protected: bool,
}

const fn head_only(name: &'static str) -> Known {
    Known { name, is_hop_by_hop: false, is_http1_only: false, is_protected: false }
}

const fn hop_by_hop(name: &'static str) -> Known {
    Known { is_hop_by_hop: true, ..head_only(name) }
}

const fn http1_only(name: &'static str) -> Known {
    Known { is_http1_only: true, ..hop_by_hop(name) }
}

const fn protected(name: &'static str) -> Known {
    Known { is_protected: true, ..head_only(name) }
}

/// All fields that some rule of this crate names. None of them may be in trailers (RFC 9110, section 6.5.1), because a
/// server could merge them into the head: they are for framing, routing, authentication, conditions, caching and the
/// format of the body. `Seen` looks for some of them with a `match`, which is faster.
pub(crate) static KNOWN: [Known; 50] = [
    http1_only("connection"),
    http1_only("keep-alive"),
    http1_only("proxy-connection"),
    http1_only("upgrade"),
    hop_by_hop("transfer-encoding"),
    hop_by_hop("te"),
    hop_by_hop("http2-settings"),
    hop_by_hop("proxy-authenticate"),
    hop_by_hop("proxy-authorization"),
    // Not a field of HTTP. CGI programs see it as `HTTP_PROXY`, which many take for the proxy to use ("httpoxy").
    hop_by_hop("proxy"),
    protected("host"),
    protected("content-length"),
    protected("via"),
    protected("max-forwards"),
    protected("x-forwarded-for"),
    protected("x-forwarded-proto"),
    protected("x-forwarded-host"),
    protected("x-forwarded-port"),
    protected("x-forwarded-client-cert"),
    protected("x-real-ip"),
    protected("forwarded"),
    protected("client-cert"),
    protected("client-cert-chain"),
    head_only("age"),
    head_only("authorization"),
    head_only("cache-control"),
    head_only("content-encoding"),
    head_only("content-location"),
    head_only("content-range"),
    head_only("content-type"),
    head_only("cookie"),
    head_only("date"),
    head_only("expect"),
    head_only("expires"),
    head_only("if-match"),
    head_only("if-modified-since"),
    head_only("if-none-match"),
    head_only("if-range"),
    head_only("if-unmodified-since"),
    head_only("location"),
    head_only("origin"),
    head_only("pragma"),
    head_only("proxy-authentication-info"),
    head_only("range"),
    head_only("retry-after"),
    head_only("set-cookie"),
    head_only("trailer"),
    head_only("vary"),
    head_only("warning"),
    head_only("www-authenticate"),
];

/// Proxies have more fields about the client than those in the table, such as `X-Forwarded-Prefix`. All their
/// names begin with this text.
pub(crate) const X_FORWARDED_PREFIX: &str = "x-forwarded-";

/// Returns whether a name contains a character other than a letter, a digit or `-`. `name` is in lower case, as in a
/// [`HeaderName`].
pub(crate) fn is_unusual(name: &str) -> bool {
    // All bytes are looked at, so that the compiler can compare many at once.
    name.bytes().fold(false, |found, byte| found | !matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

fn known(name: &HeaderName) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name.as_str())
}

/// Returns whether the field belongs to one connection. A `match` is faster than a search in the table.
pub(super) fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "upgrade"
            | "transfer-encoding"
            | "te"
            | "http2-settings"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy"
    )
}

/// Returns whether `Connection` cannot remove the field.
pub(super) fn is_protected(name: &HeaderName) -> bool {
    name.as_str().starts_with(X_FORWARDED_PREFIX) || known(name).is_some_and(|known| known.is_protected)
}

/// Returns whether the field must not be in trailers.
pub(super) fn is_head_only(name: &HeaderName) -> bool {
    name.as_str().starts_with(X_FORWARDED_PREFIX) || known(name).is_some()
}

/// Returns whether there is a field that HTTP/2 does not allow, except `TE` and `Transfer-Encoding`.
pub(crate) fn has_http1_only(headers: &HeaderMap) -> bool {
    KNOWN.iter().any(|known| known.is_http1_only && headers.contains_key(known.name))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::{
        headers::{remove_hop_by_hop, strip_trailers},
        seen::Seen,
    };

    fn with(name: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static("x"))])
    }

    #[test]
    fn the_fast_look_at_a_head_knows_the_same_fields() {
        const CLIENT: [&str; 4] = ["x-real-ip", "forwarded", "client-cert", "client-cert-chain"];
        for known in &KNOWN {
            let seen = Seen::of(&with(known.name));
            assert_eq!(seen.hop_by_hop || seen.transfer_encoding, known.is_hop_by_hop, "{}", known.name);
            let is_about_client = known.name.starts_with("x-forwarded-") || CLIENT.contains(&known.name);
            assert_eq!(seen.forwarding, is_about_client, "{}", known.name);
        }
    }

    #[test]
    fn each_rule_follows_the_table() {
        for known in &KNOWN {
            let mut headers = with(known.name);
            remove_hop_by_hop(&mut headers);
            assert_eq!(headers.is_empty(), known.is_hop_by_hop, "{}", known.name);
            let mut headers = with(known.name);
            headers.insert("connection", HeaderValue::from_static(known.name));
            remove_hop_by_hop(&mut headers);
            assert_eq!(headers.is_empty(), !known.is_protected, "{}", known.name);
            let mut trailers = with(known.name);
            strip_trailers(&mut trailers, false);
            assert!(trailers.is_empty(), "{}", known.name);
        }
    }

    #[test]
    fn each_field_has_one_row() {
        for (at, known) in KNOWN.iter().enumerate() {
            assert!(KNOWN.iter().skip(at + 1).all(|other| other.name != known.name), "{}", known.name);
        }
    }
}
