//! The readings of a forward proxy.

use equipoise_proxy::forward::{ForwardProxy, ForwardStats};

use super::fields::fields;
use crate::source::WatchedListener;

impl WatchedListener {
    /// Adds the counters of a forward proxy ([`ForwardStats`]): its tunnels, and the requests that its rules have allowed
    /// and refused. The connections of its clients are those of its server: add them with `server`.
    #[cfg_attr(docsrs, doc(cfg(feature = "proxy-forward")))]
    pub fn forward(self, proxy: &ForwardProxy) -> Self {
        let proxy = proxy.clone();
        self.readings(move |into| read(&proxy.stats(), into))
    }
}

fields!(read, FIELDS: ForwardStats {
    open_tunnels => TUNNELS_OPEN,
    tunnels => TUNNELS_OPENED,
    tunnel_bytes => TUNNEL_BYTES,
    limited_tunnels => TUNNELS_LIMITED,
    requests => REQUESTS_ALLOWED,
    denied => REQUESTS_REFUSED("denied"),
    unauthenticated => REQUESTS_REFUSED("unauthenticated"),
    limited => REQUESTS_REFUSED("limited"),
    failed_tunnels => TUNNELS_FAILED,
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::{check, fields_of};

    #[test]
    fn all_counters_are_read() {
        assert_eq!(fields_of(&ForwardStats::default()), FIELDS);
    }

    #[test]
    fn counters_get_their_names() {
        let mut stats = ForwardStats::default();
        (stats.open_tunnels, stats.tunnels, stats.denied) = (1, 2, 3);
        check(
            |into| read(&stats, into),
            &[("tunnels_open", None, 1), ("tunnels_opened", None, 2), ("requests_refused", Some("denied"), 3)],
        );
    }
}
