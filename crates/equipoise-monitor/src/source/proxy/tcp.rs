//! The readings of a TCP proxy.

use equipoise_proxy::tcp::{TcpProxy, TcpStats};

use super::fields::fields;
use crate::source::WatchedListener;

impl WatchedListener {
    /// Adds the counters of a TCP proxy ([`TcpStats`]). Bytes are counted by endpoint, in the report of the pool.
    #[cfg_attr(docsrs, doc(cfg(feature = "proxy-tcp")))]
    pub fn tcp(self, proxy: &TcpProxy) -> Self {
        let proxy = proxy.clone();
        self.readings(move |into| read(&proxy.stats(), into))
    }
}

fields!(read, FIELDS: TcpStats {
    open => CONNECTIONS_OPEN,
    max_open => CONNECTIONS_MAX,
    accepted => CONNECTIONS_ACCEPTED,
    accept_errors => ACCEPT_ERRORS,
    failed_handshakes => CONNECTIONS_CLOSED("failed_handshake"),
    source_limit => CONNECTIONS_CLOSED("source_limit"),
    without_endpoint => CONNECTIONS_CLOSED("without_endpoint"),
    connect_failures => ENDPOINT_CONNECT_ERRORS,
    unused => ENDPOINT_CONNECTIONS_UNUSED,
    failovers => ATTEMPTS_ELSEWHERE,
    broken_by_endpoint => CONNECTIONS_CLOSED("broken_by_endpoint"),
    broken_by_client => CONNECTIONS_CLOSED("broken_by_client"),
    idle_timeouts => CONNECTIONS_CLOSED("idle_timeout"),
    answer_timeouts => CONNECTIONS_CLOSED("answer_timeout"),
    endpoint_closings => CONNECTIONS_CLOSED("endpoint_closing"),
    aborted => CONNECTIONS_CLOSED("aborted"),
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::{check, fields_of};

    #[test]
    fn all_counters_are_read() {
        assert_eq!(fields_of(&TcpStats::default()), FIELDS);
    }

    #[test]
    fn counters_get_their_names() {
        let mut stats = TcpStats::default();
        (stats.open, stats.idle_timeouts, stats.connect_failures) = (1, 2, 3);
        check(
            |into| read(&stats, into),
            &[
                ("connections_open", None, 1),
                ("endpoint_connect_errors", None, 3),
                ("connections_closed", Some("idle_timeout"), 2),
            ],
        );
    }
}
