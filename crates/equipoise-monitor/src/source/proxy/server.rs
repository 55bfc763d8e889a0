//! The readings of a server for HTTP.

use equipoise_proxy::server::{Server, ServerStats};

use super::fields::fields;
use crate::source::WatchedListener;

impl WatchedListener {
    /// Adds the counters of a server for HTTP ([`ServerStats`]): its connections and why they were closed, and the
    /// requests that the server itself has refused.
    #[cfg_attr(docsrs, doc(cfg(feature = "proxy-server")))]
    pub fn server<S: 'static>(self, server: &Server<S>) -> Self {
        let stats = server.stats_reader();
        self.readings(move |into| read(&stats(), into))
    }
}

fields!(read, FIELDS: ServerStats {
    open => CONNECTIONS_OPEN,
    max_open => CONNECTIONS_MAX,
    accepted => CONNECTIONS_ACCEPTED,
    accept_errors => ACCEPT_ERRORS,
    failed_handshakes => CONNECTIONS_CLOSED("failed_handshake"),
    head_timeouts => CONNECTIONS_CLOSED("head_timeout"),
    body_timeouts => CONNECTIONS_CLOSED("body_timeout"),
    idle_timeouts => CONNECTIONS_CLOSED("idle_timeout"),
    displaced => CONNECTIONS_CLOSED("displaced"),
    write_timeouts => CONNECTIONS_CLOSED("write_timeout"),
    malformed => CONNECTIONS_CLOSED("malformed"),
    floods => CONNECTIONS_CLOSED("flood"),
    overloaded => REQUESTS_REFUSED("overloaded"),
    misdirected => REQUESTS_REFUSED("misdirected"),
    aborted => CONNECTIONS_CLOSED("aborted"),
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::{check, fields_of};

    #[test]
    fn all_counters_are_read() {
        assert_eq!(fields_of(&ServerStats::default()), FIELDS);
    }

    #[test]
    fn counters_get_their_names() {
        let mut stats = ServerStats::default();
        (stats.open, stats.accepted, stats.floods, stats.overloaded) = (1, 2, 3, 4);
        check(
            |into| read(&stats, into),
            &[
                ("connections_open", None, 1),
                ("connections_accepted", None, 2),
                ("connections_closed", Some("flood"), 3),
                ("requests_refused", Some("overloaded"), 4),
            ],
        );
    }

    #[test]
    fn a_server_is_read_even_if_its_service_cannot_be_shared_by_threads() {
        let server = Server::new(std::cell::Cell::new(0));
        let report = WatchedListener::new("127.0.0.1:80", "http").server(&server).report();
        assert_eq!(report.readings.len(), FIELDS.len());
        assert_eq!(report.mode, "http");
    }
}
