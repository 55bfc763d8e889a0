//! The windows that compressed bodies demand. A decoder allocates them, before it is known how long the body is.

use super::zstd::{Fault, Frames};
use crate::compression::Encoding;

/// The first seven bits of a stream with "large windows" of up to 1 GiB. The decoder accepts them, but they are not part
/// of brotli (RFC 7932, section 9.1), whose windows have at most 16 MiB.
const LARGE_BROTLI: u8 = 0x11;

/// Follows a body, and finds windows that are larger than its encoding permits.
#[derive(Debug)]
pub(super) enum Windows {
    /// Each frame has a window.
    Zstd(Frames),
    /// Nothing was read of the stream, whose first byte tells its window.
    Brotli,
    /// Nothing more can demand a larger window.
    Bounded,
}

impl Windows {
    pub(super) fn of(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Zstd => Self::Zstd(Frames::default()),
            Encoding::Brotli => Self::Brotli,
            Encoding::Gzip | Encoding::Deflate => Self::Bounded,
        }
    }

    /// Follows the next bytes.
    pub(super) fn follow(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        match (&mut *self, bytes) {
            (Self::Zstd(frames), bytes) => frames.follow(bytes),
            (Self::Brotli, [first, ..]) => {
                let is_large = first & 0x7f == LARGE_BROTLI;
                *self = Self::Bounded;
                if is_large { Err(Fault::Window) } else { Ok(()) }
            }
            (Self::Brotli, []) | (Self::Bounded, _) => Ok(()),
        }
    }
}
