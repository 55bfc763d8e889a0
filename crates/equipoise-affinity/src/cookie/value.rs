//! A persistence cookie and its value: the name of an endpoint and two dates, in HAProxy's form `value|last|first`.
//! `last` is when the cookie was last used, and `first` is when it was first set.

use std::{fmt, net::SocketAddr, sync::Arc};

use xxhash_rust::xxh64::Xxh64;

use crate::scan;

/// How the balancer sets a persistence cookie. In HAProxy's configuration, the mode follows the cookie's name, as in
/// `cookie NAME insert`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CookieMode {
    /// The balancer sets a persistence cookie of its own, which endpoints do not set.
    Insert,
    /// The endpoint sets the cookie, and the balancer replaces the cookie's value with its own value.
    Rewrite,
    /// The endpoint sets the cookie and needs the cookie's value itself. In responses, the balancer writes its own
    /// value and `~` in front of the endpoint's value. In requests, it removes both again.
    Prefix,
}

impl CookieMode {
    /// Returns the mode as a label: `insert`, `rewrite` or `prefix`, as in HAProxy. Labels are stable.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Rewrite => "rewrite",
            Self::Prefix => "prefix",
        }
    }
}

impl fmt::Display for CookieMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The settings of a persistence cookie: a cookie that names the endpoint to which the client's requests go. HAProxy
/// has these settings in its `cookie` line.
///
/// [`on_request`](Self::on_request) reads the cookie of a request, and [`on_response`](Self::on_response) sets the
/// cookie in the response. Create the settings with [`insert`](Self::insert), [`rewrite`](Self::rewrite) or
/// [`prefix`](Self::prefix). They do not change afterwards, so threads can share them.
#[derive(Clone, Debug)]
pub struct PersistenceCookie {
    pub(super) name: String,
    pub(super) mode: CookieMode,
    pub(super) indirect: bool,
    pub(super) nocache: bool,
    pub(super) preserve: bool,
    pub(super) postonly: bool,
    pub(super) idle_timeout: Option<u64>,
    pub(super) lifetime: Option<u64>,
    /// The text after the value in a `Set-Cookie` line.
    pub(super) tail: String,
    pub(super) max_cookies: usize,
    pub(super) max_bytes: usize,
}

impl PersistenceCookie {
    /// Returns the name of the persistence cookie.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the cookie's mode: whether the balancer sets the cookie itself, replaces the value that an endpoint
    /// sets, or adds a prefix to that value.
    pub fn mode(&self) -> CookieMode {
        self.mode
    }

    /// Creates a value of this cookie from `text`, which is a name for an endpoint.
    ///
    /// The length of `text` is at least 1 byte, and at most 4084 bytes minus the length of the cookie's name. Each byte
    /// must be an RFC 6265 `cookie-octet`: a printable ASCII character except white space, `"`, `,`, `;` and `\`. In
    /// insert and rewrite mode, `|` is not allowed either, because it separates the value from the cookie's dates. In
    /// prefix mode, `~` is not allowed either, because it separates the value from the endpoint's own value.
    ///
    /// # Errors
    ///
    /// - [`InvalidCookieValue::Empty`] if `text` is empty.
    /// - [`InvalidCookieValue::TooLong`] if `text` is too long.
    /// - [`InvalidCookieValue::Byte`] if `text` contains a byte that is not allowed.
    pub fn value(&self, text: impl AsRef<[u8]>) -> Result<CookieValue, InvalidCookieValue> {
        let reserved = if self.mode == CookieMode::Prefix { PREFIX } else { DATE };
        // Two dates and their delimiters take 12 bytes.
        let max = MAX_LEN.saturating_sub(self.name.len() + 12);
        CookieValue::checked(text.as_ref(), reserved, max)
    }
}

/// Separates the balancer's value from the endpoint's value in prefix mode.
pub(super) const PREFIX: u8 = b'~';

/// Separates the value from its dates, and the dates from each other.
pub(super) const DATE: u8 = b'|';

/// Maximum length of a cookie's name and value together, in bytes. Browsers need not store longer cookies (RFC 6265,
/// 6.1).
const MAX_LEN: usize = 4096;

/// A cookie value that names an endpoint. Create it with [`PersistenceCookie::value`] or
/// [`dynamic`](Self::dynamic).
///
/// It has only characters that are allowed in the value of a `Set-Cookie` line. A clone is cheap, because clones share
/// the text.
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
        // `text` is ASCII, so the conversion cannot fail.
        std::str::from_utf8(text).map(|text| Self(Arc::from(text))).map_err(|_| InvalidCookieValue::Empty)
    }

    /// Computes the value that HAProxy's `cookie … dynamic` gives to the server at `addr`. `key` is HAProxy's
    /// `dynamic-cookie-key`. Balancers with the same key compute the same values.
    ///
    /// The value has 16 lower-case hexadecimal digits. It is the XXH64 hash (seed 0) of the key, the 4 or 16 bytes of
    /// the IP address, and the port as 4 bytes, all in network byte order.
    ///
    /// The value is not authenticated: each client can send any value. A client that knows the key can find out which
    /// address a value stands for.
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

    /// Returns the text of the value.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Shows the length of the value only, because the value itself may give access to a session.
impl fmt::Debug for CookieValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieValue").field("length", &self.0.len()).finish_non_exhaustive()
    }
}

fn is_octet(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e)
}

/// Why a text cannot be the value of a persistence cookie (a cookie that names an endpoint).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCookieValue {
    /// The text is empty. A cookie with an empty value names no endpoint.
    #[error("the value of the cookie is empty: use at least 1 byte")]
    Empty,
    /// The text contains a byte that is not allowed in the cookie's value:
    ///
    /// - In insert and rewrite mode: `|`.
    /// - In prefix mode: `~`.
    /// - In every mode: a byte that is not an RFC 6265 `cookie-octet`, such as white space, `"`, `,`, `;` or `\`.
    #[error(
        "byte 0x{byte:02x} at {at} cannot be in this cookie's value: RFC 6265 allows printable ASCII without white \
         space, '\"', ',', ';' and '\\', and '~' (prefix) or '|' (insert, rewrite) has another meaning"
    )]
    Byte {
        /// The byte that is not allowed.
        byte: u8,
        /// The position of the byte in the text, in bytes. 0 is the first byte.
        at: usize,
    },
    /// The text is too long. Browsers ignore a cookie if its name and value have together more than 4096 bytes. 12 of
    /// these bytes are reserved for the dates in the value.
    #[error("the value of this cookie cannot have {length} bytes: use at most {max}, or browsers ignore the cookie")]
    TooLong {
        /// The length of the text, in bytes.
        length: usize,
        /// The maximum length of a value of this cookie, in bytes.
        max: usize,
    },
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Length of a timestamp, in bytes. It has 30 bits, 6 in each character.
const LENGTH: usize = 5;
/// The resolution of a timestamp, in seconds.
const STEP: u64 = 4;
/// How far in the future a date may be, in seconds. Clocks and time zones are sometimes wrong.
const AHEAD: u64 = 24 * 60 * 60;

/// The dates in a cookie's value, in seconds since 1970. `None` if the value does not have the date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dates {
    pub(super) last: Option<u64>,
    pub(super) first: Option<u64>,
}

impl Dates {
    /// Returns `value` without the dates. Stores each date that can be parsed.
    pub(super) fn cut<'a>(&mut self, value: &'a [u8]) -> &'a [u8] {
        let Some((value, dates)) = split(value) else { return value };
        self.last = read(dates).or(self.last);
        self.first = split(dates).and_then(|(_, first)| read(first)).or(self.first);
        value
    }
}

fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    scan::split_once(text, DATE)
}

/// Parses the timestamp at the start of `text`, and ignores the text after it. Returns `None` for the timestamp 0.
fn read(text: &[u8]) -> Option<u64> {
    let steps = text.get(..LENGTH)?.iter().try_fold(0, |steps, byte| Some(steps << 6 | digit(*byte)?))?;
    (steps > 0).then_some(steps * STEP)
}

fn digit(byte: u8) -> Option<u64> {
    Some(u64::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

/// Formats a time as a timestamp. It is rounded up, so that the current time is not parsed as a past time.
pub(super) fn written(seconds: u64) -> [u8; LENGTH] {
    let steps = seconds.div_ceil(STEP);
    [24_u32, 18, 12, 6, 0].map(|shift| DIGITS[(steps >> shift & 63) as usize])
}

/// Whether more than `limit` seconds have passed since `then`, or `then` is too far in the future.
pub(super) fn over(then: u64, now: u64, limit: u64) -> bool {
    now.saturating_sub(then) > limit || then.saturating_sub(now) > AHEAD
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

    #[test]
    fn timestamps_are_those_that_haproxy_writes() {
        assert_eq!(&written(1_795_447_143), b"awRZa");
        assert_eq!(read(b"awRZa"), Some(1_795_447_144));
        assert_eq!(&written(0), b"AAAAA");
        assert_eq!(&written(u64::MAX).len(), &LENGTH);
    }

    #[test]
    fn dates_are_cut_off_even_if_they_say_nothing() {
        for (text, value, last, first) in [
            (&b"B"[..], &b"B"[..], None, None),
            (b"B|", b"B", None, None),
            (b"B|awRZ", b"B", None, None),
            (b"B|aw=Za|awRZa", b"B", None, Some(1_795_447_144)),
            (b"B||awRZa", b"B", None, Some(1_795_447_144)),
            (b"B|awRZaxyz|awRZafoo|x", b"B", Some(1_795_447_144), Some(1_795_447_144)),
            (b"B|AAAAA|AAAAA", b"B", None, None),
            (b"|awRZa", b"", Some(1_795_447_144), None),
        ] {
            let mut dates = Dates::default();
            assert_eq!(dates.cut(text), value);
            assert_eq!(dates, Dates { last, first });
        }
    }

    #[test]
    fn a_date_is_over_when_it_is_past_its_limit_or_more_than_a_day_ahead() {
        assert!(!over(1000, 1060, 60));
        assert!(over(1000, 1061, 60));
        assert!(!over(1000 + AHEAD, 1000, 60));
        assert!(over(1001 + AHEAD, 1000, 60));
    }
}
