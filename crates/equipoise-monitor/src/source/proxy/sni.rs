//! The readings of TLS passthrough.

use equipoise_proxy::sni::{SniAcceptor, SniRouter, SniStats};
use tokio::io::{AsyncRead, AsyncWrite};

use super::fields::fields;
use crate::source::WatchedListener;

impl WatchedListener {
    /// Adds the counters of a router by server name ([`SniStats`]): its connections, and how they began.
    #[cfg_attr(docsrs, doc(cfg(feature = "proxy-sni")))]
    pub fn sni<Io: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, router: &SniRouter<Io>) -> Self {
        let router = router.clone();
        self.readings(move |into| {
            let stats = router.stats();
            read_hellos(&stats, into);
            read_connections(&stats, into);
        })
    }

    /// Adds the counters of an acceptor that reads server names, for a listener whose connections another server serves:
    /// how many connections began in which way.
    #[cfg_attr(docsrs, doc(cfg(feature = "proxy-sni")))]
    pub fn sni_acceptor(self, acceptor: &SniAcceptor) -> Self {
        let acceptor = acceptor.clone();
        self.readings(move |into| read_hellos(&acceptor.stats(), into))
    }
}

fields!(read_hellos, HELLOS: SniStats {
    hellos => CLIENT_HELLOS("read"),
    other => CLIENT_HELLOS("not_tls"),
    malformed => CLIENT_HELLOS("malformed"),
    timeouts => CLIENT_HELLOS("timeout"),
    closed => CLIENT_HELLOS("closed"),
});

fields!(read_connections, CONNECTIONS: SniStats {
    unrouted => CONNECTIONS_CLOSED("unrouted"),
    open => CONNECTIONS_OPEN,
    max_open => CONNECTIONS_MAX,
    accepted => CONNECTIONS_ACCEPTED,
    accept_errors => ACCEPT_ERRORS,
    aborted => CONNECTIONS_CLOSED("aborted"),
});

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;
    use crate::source::testing::{check, fields_of};

    #[test]
    fn all_counters_are_read() {
        assert_eq!(fields_of(&SniStats::default()), [HELLOS, CONNECTIONS].concat());
    }

    #[test]
    fn counters_get_their_names() {
        let mut stats = SniStats::default();
        (stats.other, stats.unrouted, stats.accepted) = (1, 2, 3);
        let read = |into: &mut Vec<_>| {
            read_hellos(&stats, into);
            read_connections(&stats, into);
        };
        check(
            read,
            &[
                ("client_hellos", Some("not_tls"), 1),
                ("connections_closed", Some("unrouted"), 2),
                ("connections_accepted", None, 3),
            ],
        );
    }

    #[test]
    fn a_router_tells_its_open_connections_and_an_acceptor_only_its_hellos() {
        let router = WatchedListener::new("a", "sni").sni(&SniRouter::<TcpStream>::new()).report();
        assert!(router.readings.iter().any(|reading| reading.name == "connections_open"));
        let acceptor = WatchedListener::new("a", "http").sni_acceptor(&SniAcceptor::new()).report();
        assert!(acceptor.readings.iter().all(|reading| reading.name == "client_hellos"));
    }
}
