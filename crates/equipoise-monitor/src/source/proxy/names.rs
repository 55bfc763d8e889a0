//! The names of readings. Listeners of different kinds that count the same thing use the same name.

use crate::report::{Reading, ReadingKind};

/// A name of readings without a label, with its text for people.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    name: &'static str,
    help: &'static str,
    kind: ReadingKind,
}

/// A name of readings that differ in the value of a label.
#[derive(Clone, Copy, Debug)]
pub(super) struct Labelled {
    name: Name,
    label: &'static str,
}

impl Name {
    pub(super) const fn read(self, value: u64) -> Reading {
        Reading { name: self.name, help: self.help, kind: self.kind, label: None, value }
    }
}

impl Labelled {
    /// Returns the reading in which the label has the value `of`.
    pub(super) const fn read(self, of: &'static str, value: u64) -> Reading {
        self.name.read(value).with_label(self.label, of)
    }
}

/// Declares the names as constants, and a reading of each for tests.
macro_rules! names {
    ($($constant:ident: $kind:ident $name:literal $([$label:literal])?, $help:literal;)*) => {
        $(
            #[cfg_attr(not(feature = "full"), allow(dead_code, reason = "each kind of listener uses a part"))]
            pub(super) const $constant: names!(@type $($label)?) =
                names!(@value Name { name: $name, help: $help, kind: ReadingKind::$kind }, $($label)?);
        )*

        #[cfg(test)]
        const ALL: &[Reading] = &[$(names!(@read $constant $($label)?)),*];
    };
    (@type) => { Name };
    (@type $label:literal) => { Labelled };
    (@value $name:expr,) => { $name };
    (@value $name:expr, $label:literal) => { Labelled { name: $name, label: $label } };
    (@read $constant:ident) => { $constant.read(0) };
    (@read $constant:ident $label:literal) => { $constant.read("", 0) };
}

names! {
    ACCEPT_ERRORS: Counter "accept_errors",
        "Errors while accepting connections, such as too many open files.";
    ATTEMPTS_ELSEWHERE: Counter "failovers",
        "Attempts at another endpoint, after one endpoint has failed.";
    CLIENT_HELLOS: Counter "client_hellos" ["result"],
        "Connections whose first bytes were read to find the server name of TLS, by result.";
    CONNECTIONS_ACCEPTED: Counter "connections_accepted",
        "Connections that were accepted.";
    CONNECTIONS_CLOSED: Counter "connections_closed" ["reason"],
        "Connections that this side has closed or that have broken, by reason. Connections that end in order are not counted.";
    CONNECTIONS_MAX: Gauge "connections_max",
        "Maximum number of open connections. At the maximum, further connections wait.";
    CONNECTIONS_OPEN: Gauge "connections_open",
        "Open connections of clients.";
    DATAGRAMS_DROPPED: Counter "datagrams_dropped" ["reason"],
        "Datagrams that were not sent on, by reason.";
    ENDPOINT_CONNECT_ERRORS: Counter "endpoint_connect_errors",
        "Attempts to connect to an endpoint that have failed.";
    ENDPOINT_CONNECTIONS_UNUSED: Counter "endpoint_connections_unused",
        "Connections to an endpoint which the endpoint has ended at once, before a byte has passed.";
    ENDPOINT_UNREACHABLE: Counter "endpoint_unreachable",
        "Times that an endpoint could not be reached: an ICMP message said so, or it has no route or no address.";
    FORWARDED_BYTES: Counter "forwarded_bytes" ["to"],
        "Bytes of datagrams that were sent on, by side.";
    FORWARDED_DATAGRAMS: Counter "forwarded_datagrams" ["to"],
        "Datagrams that were sent on, by side.";
    PROXY_HEADERS: Counter "proxy_headers" ["result"],
        "Connections that were expected to begin with a header of the PROXY protocol, by result.";
    RECEIVE_ERRORS: Counter "receive_errors",
        "Errors while receiving datagrams from clients.";
    REQUESTS_ALLOWED: Counter "requests_allowed",
        "Requests of HTTP that the rules of a forward proxy have allowed. Tunnels are not counted.";
    REQUESTS_REFUSED: Counter "requests_refused" ["reason"],
        "Requests that were answered with an error before an endpoint was picked, by reason. Tunnels are counted too.";
    SESSIONS_ENDED: Counter "sessions_ended" ["reason"],
        "Sessions of UDP that have ended, by reason.";
    SESSIONS_MAX: Gauge "sessions_max",
        "Maximum number of open sessions of UDP.";
    SESSIONS_OPEN: Gauge "sessions_open",
        "Open sessions of UDP.";
    SESSIONS_OPENED: Counter "sessions_opened",
        "Sessions of UDP that were opened.";
    SESSIONS_UNANSWERED: Counter "sessions_unanswered",
        "Sessions of UDP whose endpoint did not reply in time.";
    TLS_HANDSHAKES: Counter "tls_handshakes" ["version"],
        "TLS handshakes that were completed, by version of TLS.";
    TLS_HANDSHAKES_FAILED: Counter "tls_handshakes_failed" ["reason"],
        "TLS handshakes that have failed, by reason.";
    TLS_HANDSHAKES_IN_PROGRESS: Gauge "tls_handshakes_in_progress",
        "TLS handshakes at present, with those that wait for the limit.";
    TLS_HANDSHAKES_RESUMED: Counter "tls_handshakes_resumed",
        "TLS handshakes that have resumed a session.";
    TUNNEL_BYTES: Counter "tunnel_bytes",
        "Bytes that have passed through tunnels that have ended, in both directions together.";
    TUNNELS_FAILED: Counter "tunnels_failed",
        "Tunnels that could not be opened, for another reason than the rules and the limits.";
    TUNNELS_LIMITED: Counter "tunnels_limited",
        "Tunnels that were closed because of a limit on their bytes, their time or the bytes of their client.";
    TUNNELS_OPEN: Gauge "tunnels_open",
        "Open tunnels, with those that are being opened.";
    TUNNELS_OPENED: Counter "tunnels_opened",
        "Tunnels that were opened.";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_distinct_and_in_the_form_that_exporters_need() {
        let distinct: HashSet<_> = ALL.iter().map(|name| name.name).collect();
        assert_eq!(distinct.len(), ALL.len());
        for Reading { name, help, label, .. } in ALL {
            assert!(name.chars().all(|c| c == '_' || c.is_ascii_lowercase()), "{name}");
            assert!(!name.ends_with("_total") && !name.starts_with('_'), "{name}");
            assert!(help.ends_with('.') && help.starts_with(char::is_uppercase), "{help}");
            assert!(label.is_none_or(|(label, _)| !["listener", "mode", "le", "quantile"].contains(&label)), "{name}");
        }
    }
}
