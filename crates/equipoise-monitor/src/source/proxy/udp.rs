//! The readings of a proxy for UDP.

use equipoise_proxy::udp::{UdpDropped, UdpProxy, UdpStats};

use super::fields::fields;
use crate::source::WatchedListener;

impl WatchedListener {
    /// Adds the counters of a proxy for UDP ([`UdpStats`]): its sessions and why they ended, the datagrams and bytes that
    /// were sent on, and the datagrams that were not, by reason.
    #[cfg_attr(docsrs, doc(cfg(feature = "proxy-udp")))]
    pub fn udp(self, proxy: &UdpProxy) -> Self {
        let proxy = proxy.clone();
        self.readings(move |into| {
            let stats = proxy.stats();
            read(&stats, into);
            read_dropped(&stats.dropped, into);
        })
    }
}

fields!(read, FIELDS: UdpStats {
    open => SESSIONS_OPEN,
    max_open => SESSIONS_MAX,
    opened => SESSIONS_OPENED,
    to_endpoints => FORWARDED_DATAGRAMS("endpoints"),
    bytes_to_endpoints => FORWARDED_BYTES("endpoints"),
    to_clients => FORWARDED_DATAGRAMS("clients"),
    bytes_to_clients => FORWARDED_BYTES("clients"),
    idle_timeouts => SESSIONS_ENDED("idle_timeout"),
    reply_timeouts => SESSIONS_UNANSWERED,
    unreachable => ENDPOINT_UNREACHABLE,
    failovers => ATTEMPTS_ELSEWHERE,
    closed => SESSIONS_ENDED("endpoint_closing"),
    displaced => SESSIONS_ENDED("displaced"),
    aborted => SESSIONS_ENDED("aborted"),
    receive_errors => RECEIVE_ERRORS,
});

fields!(read_dropped, DROPPED: UdpDropped {
    full => DATAGRAMS_DROPPED("full"),
    source_full => DATAGRAMS_DROPPED("source_full"),
    no_endpoint => DATAGRAMS_DROPPED("no_endpoint"),
    resolving => DATAGRAMS_DROPPED("resolving"),
    shutting_down => DATAGRAMS_DROPPED("shutting_down"),
    own_address => DATAGRAMS_DROPPED("own_address"),
    no_port => DATAGRAMS_DROPPED("no_port"),
    to_endpoint => DATAGRAMS_DROPPED("to_endpoint"),
    to_client => DATAGRAMS_DROPPED("to_client"),
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::{check, fields_of};

    #[test]
    fn all_counters_are_read() {
        assert_eq!(fields_of(&UdpStats::default()), [FIELDS, &["dropped"]].concat());
        assert_eq!(fields_of(&UdpDropped::default()), DROPPED);
    }

    #[test]
    fn counters_get_their_names() {
        let mut stats = UdpStats::default();
        (stats.open, stats.bytes_to_clients, stats.displaced, stats.dropped.no_port) = (1, 2, 3, 4);
        let read = |into: &mut Vec<_>| {
            read(&stats, into);
            read_dropped(&stats.dropped, into);
        };
        check(
            read,
            &[
                ("sessions_open", None, 1),
                ("forwarded_bytes", Some("clients"), 2),
                ("sessions_ended", Some("displaced"), 3),
                ("datagrams_dropped", Some("no_port"), 4),
            ],
        );
    }
}
