use std::sync::atomic::{AtomicUsize, Ordering};

use super::{failure::HandshakeFailure, session::TlsSession, version::TlsVersion};
use crate::counter::Counter;

/// Counters of a [`TlsAcceptor`](super::TlsAcceptor), since it was created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsStats {
    /// Number of handshakes at present, with those that wait for
    /// [`max_handshakes`](super::TlsSettings::max_handshakes).
    pub in_progress: u64,
    /// Number of completed handshakes of TLS 1.2.
    pub tls12: u64,
    /// Number of completed handshakes of TLS 1.3.
    pub tls13: u64,
    /// Number of completed handshakes that have resumed a session.
    pub resumed: u64,
    /// Number of failed handshakes for each reason.
    failed: [u64; HandshakeFailure::ALL.len()],
}

impl TlsStats {
    /// Returns the number of handshakes that have failed for a reason.
    pub fn failed(&self, reason: HandshakeFailure) -> u64 {
        self.failed.get(reason as usize).copied().unwrap_or_default()
    }
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    in_progress: AtomicUsize,
    tls12: Counter,
    tls13: Counter,
    resumed: Counter,
    failed: [Counter; HandshakeFailure::ALL.len()],
}

/// A handshake that has begun. It is counted as abandoned if this is dropped before its end.
pub(super) struct InProgress<'a> {
    counters: &'a Counters,
    has_ended: bool,
}

impl InProgress<'_> {
    pub(super) fn complete(mut self, session: &TlsSession) {
        self.has_ended = true;
        match session.version() {
            Some(TlsVersion::Tls12) => self.counters.tls12.add(1),
            _ => self.counters.tls13.add(1),
        }
        if session.is_resumed() {
            self.counters.resumed.add(1);
        }
    }

    pub(super) fn fail(mut self, reason: HandshakeFailure) {
        self.has_ended = true;
        self.counters.fail(reason);
    }
}

impl Drop for InProgress<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.counters.fail(HandshakeFailure::Abandoned);
        }
        self.counters.in_progress.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Counters {
    pub(super) fn begin(&self) -> InProgress<'_> {
        self.in_progress.fetch_add(1, Ordering::Relaxed);
        InProgress { counters: self, has_ended: false }
    }

    fn fail(&self, reason: HandshakeFailure) {
        if let Some(counter) = self.failed.get(reason as usize) {
            counter.add(1);
        }
    }

    pub(super) fn stats(&self) -> TlsStats {
        TlsStats {
            in_progress: self.in_progress.load(Ordering::Relaxed).try_into().unwrap_or(u64::MAX),
            tls12: self.tls12.get(),
            tls13: self.tls13.get(),
            resumed: self.resumed.get(),
            failed: std::array::from_fn(|at| self.failed.get(at).map_or(0, Counter::get)),
        }
    }
}
