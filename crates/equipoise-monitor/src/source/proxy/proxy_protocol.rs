//! The readings of a listener whose connections begin with a header of the PROXY protocol.

use equipoise_proxy::proxy_protocol::{ProxyAcceptor, ProxyProtocolStats};

use super::fields::fields;
use crate::source::WatchedListener;

impl WatchedListener {
    /// Adds the counters of headers of the PROXY protocol ([`ProxyProtocolStats`]): how many were read, and why others
    /// were not.
    #[cfg_attr(docsrs, doc(cfg(feature = "proxy-protocol")))]
    pub fn proxy_protocol(self, acceptor: &ProxyAcceptor) -> Self {
        let acceptor = acceptor.clone();
        self.readings(move |into| read(&acceptor.stats(), into))
    }
}

fields!(read, FIELDS: ProxyProtocolStats {
    accepted => PROXY_HEADERS("read"),
    malformed => PROXY_HEADERS("malformed"),
    timeouts => PROXY_HEADERS("timeout"),
    untrusted => PROXY_HEADERS("untrusted"),
    closed => PROXY_HEADERS("closed"),
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::{check, fields_of};

    #[test]
    fn all_counters_are_read() {
        assert_eq!(fields_of(&ProxyProtocolStats::default()), FIELDS);
    }

    #[test]
    fn counters_get_their_names() {
        let mut stats = ProxyProtocolStats::default();
        (stats.accepted, stats.untrusted) = (1, 2);
        check(
            |into| read(&stats, into),
            &[("proxy_headers", Some("read"), 1), ("proxy_headers", Some("untrusted"), 2)],
        );
    }
}
