//! The readings and the certificates of a TLS listener.

use equipoise_proxy::tls::{CertificateStatus, HandshakeFailure, TlsAcceptor, TlsStats};

use super::{fields::fields, names};
use crate::{
    report::{CertificateReport, Reading},
    source::WatchedListener,
};

impl WatchedListener {
    /// Adds the counters of TLS handshakes ([`TlsStats`]), and the certificates that are in use with the times at which
    /// they expire. If the settings of the acceptor are replaced, later snapshots have the new certificates.
    #[cfg_attr(docsrs, doc(cfg(feature = "proxy-tls")))]
    pub fn tls(self, acceptor: &TlsAcceptor) -> Self {
        let stats = acceptor.clone();
        let acceptor = acceptor.clone();
        self.readings(move |into| {
            let stats = stats.stats();
            read(&stats, into);
            read_failed(&stats, into);
        })
        .certificates(move |into| into.extend(acceptor.certificates().into_iter().map(certificate)))
    }
}

fn certificate(status: CertificateStatus) -> CertificateReport {
    CertificateReport::new(status.source, status.names, status.is_default, status.not_after)
}

fields!(read, FIELDS: TlsStats {
    in_progress => TLS_HANDSHAKES_IN_PROGRESS,
    tls12 => TLS_HANDSHAKES("1.2"),
    tls13 => TLS_HANDSHAKES("1.3"),
    resumed => TLS_HANDSHAKES_RESUMED,
});

fn read_failed(stats: &TlsStats, into: &mut Vec<Reading>) {
    let failed = |reason: HandshakeFailure| names::TLS_HANDSHAKES_FAILED.read(reason.as_str(), stats.failed(reason));
    into.extend(HandshakeFailure::ALL.map(failed));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::{check, fields_of};

    #[test]
    fn all_counters_are_read() {
        assert_eq!(fields_of(&TlsStats::default()), [FIELDS, &["failed"]].concat());
        let mut failed = Vec::new();
        read_failed(&TlsStats::default(), &mut failed);
        assert_eq!(failed.len(), HandshakeFailure::ALL.len());
    }

    #[test]
    fn counters_get_their_names() {
        let mut stats = TlsStats::default();
        (stats.in_progress, stats.tls12, stats.tls13, stats.resumed) = (1, 2, 3, 4);
        check(
            |into| read(&stats, into),
            &[
                ("tls_handshakes_in_progress", None, 1),
                ("tls_handshakes", Some("1.2"), 2),
                ("tls_handshakes", Some("1.3"), 3),
                ("tls_handshakes_resumed", None, 4),
            ],
        );
    }
}
