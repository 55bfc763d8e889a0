use std::{fmt, net::SocketAddr, sync::Arc};

use xxhash_rust::xxh64::Xxh64;

/// A cookie value that names an endpoint, made by [`PersistenceCookie::value`](super::PersistenceCookie::value).
///
/// It is valid in a `Set-Cookie` line. Cheap to clone, so one can be kept for each endpoint.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CookieValue(Arc<str>);

impl CookieValue {
    /// Checks that `text` has only RFC 6265 `cookie-octet`s and not `reserved`.
    pub(super) fn checked(text: &[u8], reserved: u8, max: usize) -> Result<Self, InvalidCookieValue> {
        if text.is_empty() {
            return Err(InvalidCookieValue::Empty);
        }
        if text.len() > max {
            return Err(InvalidCookieValue::TooLong { length: text.len(), max });
        }
        let unfit = |byte: &u8| !is_octet(*byte) || *byte == reserved;
        if let Some(at) = text.iter().position(unfit) {
            return Err(InvalidCookieValue::Byte { byte: text[at], at });
        }
        // All of it is ASCII by now.
        std::str::from_utf8(text).map(|text| Self(Arc::from(text))).map_err(|_| InvalidCookieValue::Empty)
    }

    /// The value that HAProxy's `cookie … dynamic` gives to the server at `addr`: 16 lower-case hexadecimal digits of
    /// XXH64 (seed 0) over the `dynamic-cookie-key`, the address's 4 or 16 bytes and the port as 4 bytes, all in
    /// network order. Balancers with the same key compute the same values.
    ///
    /// The value is not authenticated: any client can send it, and with the key, its address can be found out.
    ///
    /// ```
    /// use equipoise_affinity::cookie::CookieValue;
    ///
    /// let value = CookieValue::dynamic(b"s3cr3t", "127.0.0.1:18601".parse()?);
    /// assert_eq!(value.as_str(), "6158df48160f17d0");
    /// # Ok::<(), std::net::AddrParseError>(())
    /// ```
    pub fn dynamic(key: &[u8], addr: SocketAddr) -> Self {
        let mut hash = Xxh64::new(0);
        hash.update(key);
        match addr {
            SocketAddr::V4(addr) => hash.update(&addr.ip().octets()),
            SocketAddr::V6(addr) => hash.update(&addr.ip().octets()),
        }
        hash.update(&u32::from(addr.port()).to_be_bytes());
        Self(Arc::from(format!("{:016x}", hash.digest())))
    }

    /// Returns the value's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Does not show the value, which may give access to a session.
impl fmt::Debug for CookieValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieValue").field("length", &self.0.len()).finish_non_exhaustive()
    }
}

fn is_octet(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e)
}

/// Why a text cannot be a cookie's value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCookieValue {
    /// The value is empty, and an empty cookie names no endpoint.
    #[error("a cookie that names an endpoint must not be empty")]
    Empty,
    /// The value contains a byte that would end it, or that separates it from dates or from the endpoint's value.
    #[error(
        "byte 0x{byte:02x} at {at} cannot be in this cookie's value: RFC 6265 allows printable ASCII without white \
         space, '\"', ',', ';' and '\\', and '~' (prefix) or '|' (insert, rewrite) has another meaning"
    )]
    Byte {
        /// The byte.
        byte: u8,
        /// Its position.
        at: usize,
    },
    /// The value is too long. Browsers drop cookies whose name and value have more than 4096 bytes.
    #[error("{length} bytes are too many for this cookie's value: browsers keep {max} at most")]
    TooLong {
        /// The value's length, in bytes.
        length: usize,
        /// The maximum length, in bytes.
        max: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dynamic_values_are_haproxys() {
        for (port, value) in [(18602, "dea30158c257ca40"), (18603, "1963722c6d1d5d4a")] {
            assert_eq!(CookieValue::dynamic(b"s3cr3t", SocketAddr::from(([127, 0, 0, 1], port))).as_str(), value);
        }
    }

    #[test]
    fn only_cookie_octets_pass() {
        for byte in 0..=u8::MAX {
            let fits = byte.is_ascii_graphic() && !b"\",;\\|".contains(&byte);
            let checked = CookieValue::checked(&[b'a', byte], b'|', 9);
            assert_eq!(checked.is_ok(), fits, "{byte:#x}");
            if !fits {
                assert_eq!(checked, Err(InvalidCookieValue::Byte { byte, at: 1 }));
            }
        }
        assert_eq!(CookieValue::checked(b"", b'|', 9), Err(InvalidCookieValue::Empty));
        assert_eq!(
            CookieValue::checked(b"0123456789", b'|', 9),
            Err(InvalidCookieValue::TooLong { length: 10, max: 9 })
        );
    }

    #[test]
    fn its_debug_does_not_show_it() {
        let shown = format!("{:?}", CookieValue::checked(b"secret", b'|', 9));
        assert!(!shown.contains("secret"));
    }
}
