//! The header of the PROXY protocol, versions 1 (text) and 2 (binary): a proxy sends it at the start of a connection to
//! tell the receiver from which address the client came, and which address it had asked for. haproxy.org's
//! `proxy-protocol.txt` specifies it.
//!
//! [`ProxyHeader`] reads and writes it, without I/O:
//!
//! ```
//! use equipoise_http::proxy_protocol::{ProxyHeader, Version, kind};
//!
//! let header = ProxyHeader::proxied("203.0.113.9:40312".parse()?, "192.0.2.1:443".parse()?)
//!     .tlv(kind::AUTHORITY, b"shop.example")?;
//! let mut sent = header.encode(Version::V2).to_vec();
//! sent.extend_from_slice(b"GET / HTTP/1.1\r\n");
//!
//! let (received, length) = ProxyHeader::decode(&sent)?.ok_or("read more")?;
//! assert_eq!(received.source(), Some("203.0.113.9:40312".parse()?));
//! assert_eq!(received.authority(), Some("shop.example"));
//! assert_eq!(&sent[length..], b"GET / HTTP/1.1\r\n");
//! assert_eq!(header.encode(Version::V1), "PROXY TCP4 203.0.113.9 192.0.2.1 40312 443\r\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Settings::proxy_protocol`](crate::Settings::proxy_protocol) sends it to HTTP endpoints.
//!
//! # Which headers are valid
//!
//! A receiver must not guess: a listener expects a header on all of its connections, or on none. If it were optional,
//! clients could send headers of their own. So whatever does not begin like a header is [`InvalidProxyHeader`].
//!
//! | header | treatment |
//! | --- | --- |
//! | `PROXY UNKNOWN` in version 1, the family `AF_UNSPEC` in version 2 | valid, without addresses: those of the connection stay |
//! | the command `LOCAL` of version 2 | valid, without addresses; its family and addresses are ignored |
//! | other commands, families and transports | invalid |
//! | `AF_UNIX` | valid; [`ProxyHeader::unix_paths`] has the paths |
//! | extensions (TLVs) of unknown types | kept, in order |
//! | malformed extensions, and a checksum (CRC32C) that is wrong | invalid; all extensions are ignored if the header has no addresses |
//! | more than 107 bytes in version 1, or [`ProxyHeader::MAX_LEN`] bytes in version 2 | invalid |

mod decode;
mod encode;
mod header;
mod ssl;
#[cfg(test)]
mod tests;
mod tlv;

pub use self::{
    decode::InvalidProxyHeader,
    encode::Version,
    header::{ProxyHeader, Transport},
    ssl::Ssl,
    tlv::{Tlv, TlvTooLong, Tlvs, kind},
};
