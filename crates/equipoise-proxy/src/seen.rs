use http::HeaderMap;

use crate::headers::{X_FORWARDED_PREFIX, is_unusual};

/// Which fields a message has that a proxy must look at. Most messages have few of them. Reading all names once is much
/// faster than looking each field up, and the rules for missing fields are skipped.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// The length of all fields, each with its name, its value and 4 bytes.
    pub(crate) bytes: usize,
    /// `Connection` or another field of one connection, except `Transfer-Encoding`.
    pub(crate) hop_by_hop: bool,
    pub(crate) upgrade: bool,
    pub(crate) te: bool,
    pub(crate) transfer_encoding: bool,
    pub(crate) content_length: bool,
    pub(crate) expect: bool,
    /// The number of lines.
    pub(crate) cookies: usize,
    /// A field that tells about the client.
    pub(crate) forwarding: bool,
    /// A name with a character other than a letter, a digit or `-`.
    pub(crate) unusual_name: bool,
}

impl Seen {
    /// Reads the names of all fields.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut seen = Self::default();
        for (name, value) in headers {
            let name = name.as_str();
            seen.bytes = seen.bytes.saturating_add(name.len() + value.len() + 4);
            match name {
                "connection"
                | "keep-alive"
                | "proxy-connection"
                | "proxy-authenticate"
                | "proxy-authorization"
                | "proxy"
                | "http2-settings" => seen.hop_by_hop = true,
                "upgrade" => (seen.upgrade, seen.hop_by_hop) = (true, true),
                "te" => (seen.te, seen.hop_by_hop) = (true, true),
                "transfer-encoding" => seen.transfer_encoding = true,
                "content-length" => seen.content_length = true,
                "expect" => seen.expect = true,
                "cookie" => seen.cookies += 1,
                "x-forwarded-for" | "x-forwarded-proto" | "x-forwarded-host" | "x-forwarded-port" | "x-real-ip"
                | "forwarded" | "client-cert" | "client-cert-chain" => seen.forwarding = true,
                _ if name.starts_with(X_FORWARDED_PREFIX) => {
                    seen.forwarding = true;
                    seen.unusual_name |= is_unusual(name);
                }
                _ => seen.unusual_name |= is_unusual(name),
            }
        }
        seen
    }
}
