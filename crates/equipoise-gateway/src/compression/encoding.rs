use std::fmt;

use http::HeaderValue;

/// A content coding (RFC 9110, section 8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Encoding {
    /// `zstd` (RFC 8878). Responses have a window of at most 8 MiB, as RFC 9659 requires.
    Zstd,
    /// `br` (RFC 7932).
    Brotli,
    /// `gzip` (RFC 1952). Requests may also call it `x-gzip`.
    Gzip,
    /// `deflate`: the format zlib (RFC 1950). Some clients send raw DEFLATE data under this name, which is refused.
    Deflate,
}

/// The number of encodings.
pub(super) const COUNT: usize = 4;

impl Encoding {
    /// All encodings, in the default order of preference.
    pub const ALL: [Self; COUNT] = [Self::Zstd, Self::Brotli, Self::Gzip, Self::Deflate];

    /// Returns the name in `Content-Encoding` and in metrics: `zstd`, `br`, `gzip` or `deflate`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }

    /// Returns the encoding with this name, in upper or lower case.
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        if name.eq_ignore_ascii_case(b"x-gzip") {
            return Some(Self::Gzip);
        }
        Self::ALL.into_iter().find(|encoding| name.eq_ignore_ascii_case(encoding.as_str().as_bytes()))
    }

    pub(super) fn value(self) -> HeaderValue {
        HeaderValue::from_static(self.as_str())
    }

    pub(super) const fn index(self) -> usize {
        match self {
            Self::Zstd => 0,
            Self::Brotli => 1,
            Self::Gzip => 2,
            Self::Deflate => 3,
        }
    }

    /// The lowest and the highest level. Higher levels of zstd and brotli need much more memory for each response.
    pub(super) const fn levels(self) -> (u8, u8) {
        match self {
            Self::Zstd => (1, 19),
            Self::Brotli => (0, 11),
            Self::Gzip | Self::Deflate => (1, 9),
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
