use std::sync::atomic::{AtomicU64, Ordering};

use super::encoding::{COUNT, Encoding};

/// What was encoded or decoded with one encoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EncodingStats {
    /// Total number of messages whose encoding or decoding has begun.
    pub messages: u64,
    /// Total number of bytes that were read: not encoded ones in a compression, encoded ones in a decompression.
    pub bytes_in: u64,
    /// Total number of bytes that were written.
    pub bytes_out: u64,
}

/// Counters of each encoding.
#[derive(Debug, Default)]
pub(super) struct ByEncoding([Counters; COUNT]);

#[derive(Debug, Default)]
struct Counters {
    messages: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl ByEncoding {
    pub(super) fn on_message(&self, encoding: Encoding) {
        if let Some(counters) = self.0.get(encoding.index()) {
            counters.messages.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn on_input(&self, encoding: Encoding, bytes: u64) {
        if let Some(counters) = self.0.get(encoding.index()) {
            counters.bytes_in.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    pub(super) fn on_output(&self, encoding: Encoding, bytes: u64) {
        if let Some(counters) = self.0.get(encoding.index()) {
            counters.bytes_out.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    pub(super) fn get(&self, encoding: Encoding) -> EncodingStats {
        self.0.get(encoding.index()).map_or_else(EncodingStats::default, |counters| EncodingStats {
            messages: counters.messages.load(Ordering::Relaxed),
            bytes_in: counters.bytes_in.load(Ordering::Relaxed),
            bytes_out: counters.bytes_out.load(Ordering::Relaxed),
        })
    }
}
