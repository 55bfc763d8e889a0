use crate::counter::Counter;

/// Counters of a [`ForwardProxy`](super::ForwardProxy), since it was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ForwardStats {
    /// Number of open tunnels, with those that are being opened.
    pub open_tunnels: u64,
    /// Number of tunnels that were opened.
    pub tunnels: u64,
    /// Number of bytes that have passed through tunnels that have ended, in both directions together.
    pub tunnel_bytes: u64,
    /// Number of tunnels that were closed because of a limit on their bytes, their time or the bytes of their client.
    pub limited_tunnels: u64,
    /// Number of requests of HTTP that were allowed by the name of their destination.
    pub requests: u64,
    /// Number of tunnels and requests that the rules denied (status 403).
    pub denied: u64,
    /// Number of tunnels and requests without valid credentials (status 407).
    pub unauthenticated: u64,
    /// Number of tunnels and requests that were refused because of a limit (status 429 or 503).
    pub limited: u64,
    /// Number of tunnels that could not be opened for another reason (status 502 to 504).
    pub failed_tunnels: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) tunnels: Counter,
    pub(super) tunnel_bytes: Counter,
    pub(super) limited_tunnels: Counter,
    pub(super) requests: Counter,
    pub(super) denied: Counter,
    pub(super) unauthenticated: Counter,
    pub(super) limited: Counter,
    pub(super) failed_tunnels: Counter,
}

impl Counters {
    pub(super) fn stats(&self, open_tunnels: usize) -> ForwardStats {
        ForwardStats {
            open_tunnels: open_tunnels.try_into().unwrap_or(u64::MAX),
            tunnels: self.tunnels.get(),
            tunnel_bytes: self.tunnel_bytes.get(),
            limited_tunnels: self.limited_tunnels.get(),
            requests: self.requests.get(),
            denied: self.denied.get(),
            unauthenticated: self.unauthenticated.get(),
            limited: self.limited.get(),
            failed_tunnels: self.failed_tunnels.get(),
        }
    }
}
