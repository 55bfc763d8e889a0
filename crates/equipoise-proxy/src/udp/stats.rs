use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of a [`UdpProxy`](super::UdpProxy), since it was created. Datagrams are those that were sent on, and bytes are
/// those of their contents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UdpStats {
    /// Number of open sessions.
    pub open: u64,
    /// Maximum number of open sessions: [`max_sessions`](super::UdpSettings::max_sessions). At the maximum, a new session
    /// takes the place of an idle one, or its datagrams are dropped.
    pub max_open: u64,
    /// Number of sessions that were opened.
    pub opened: u64,
    /// Number of datagrams from clients that were sent to endpoints.
    pub to_endpoints: u64,
    /// Number of bytes from clients that were sent to endpoints.
    pub bytes_to_endpoints: u64,
    /// Number of datagrams from endpoints that were sent to clients.
    pub to_clients: u64,
    /// Number of bytes from endpoints that were sent to clients.
    pub bytes_to_clients: u64,
    /// Number of sessions that ended because they were idle.
    pub idle_timeouts: u64,
    /// Number of sessions whose endpoint did not reply in [time](super::UdpSettings::reply_timeout).
    pub reply_timeouts: u64,
    /// Number of times that an endpoint could not be reached: an ICMP message said so, or it has no route or no address.
    pub unreachable: u64,
    /// Number of times that datagrams were sent again because their endpoint could not be reached, or was unhealthy.
    pub failovers: u64,
    /// Number of sessions that ended because their endpoint accepts no more.
    pub closed: u64,
    /// Number of sessions whose place another one has taken at [`max_sessions`](super::UdpSettings::max_sessions).
    pub displaced: u64,
    /// Number of sessions that ended at the deadline of a shutdown, or because their listener was no longer served.
    pub aborted: u64,
    /// Number of errors while receiving from clients.
    pub receive_errors: u64,
    /// The datagrams that were not sent on.
    pub dropped: UdpDropped,
}

/// Numbers of datagrams that a [`UdpProxy`](super::UdpProxy) did not send on, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UdpDropped {
    /// There are too many sessions, or too many open files, and no session has been idle for long enough.
    pub full: u64,
    /// The source has too many sessions.
    pub source_full: u64,
    /// The pool has no endpoint for the session, or no other one for a datagram that an endpoint did not get.
    pub no_endpoint: u64,
    /// The name of the endpoint is being resolved, and another datagram waits already, or the datagram is too large to wait.
    pub resolving: u64,
    /// The proxy is shutting down, and the datagram has no session.
    pub shutting_down: u64,
    /// The datagram came from the address of a listener of this proxy, or of an endpoint. A reply to it would be taken for a
    /// request, and so on without end.
    pub own_address: u64,
    /// The datagram has the source port 0, so replies cannot be sent.
    pub no_port: u64,
    /// The system refused to send a datagram to an endpoint, for example because its buffer is full.
    pub to_endpoint: u64,
    /// The system refused to send a datagram to a client, for example because its buffer is full.
    pub to_client: u64,
}

/// Declares the counters once, as they are counted by a worker, and as all workers share them.
macro_rules! counters {
    ($($field:ident $(. $of:ident)?),* $(,)?) => {
        impl Counters {
            /// Adds what a worker has counted, and sets its counts to 0.
            pub(super) fn add(&self, counted: &mut UdpStats) {
                let mut counters = self.0.iter();
                $(
                    let count = std::mem::take(&mut counted.$field$(.$of)?);
                    if let Some(counter) = counters.next().filter(|_| count != 0) {
                        counter.fetch_add(count, Ordering::Relaxed);
                    }
                )*
            }

            pub(super) fn stats(&self, open: usize, max_open: usize) -> UdpStats {
                let mut stats = UdpStats {
                    open: open.try_into().unwrap_or(u64::MAX),
                    max_open: max_open.try_into().unwrap_or(u64::MAX),
                    ..UdpStats::default()
                };
                let mut counters = self.0.iter().map(|counter| counter.load(Ordering::Relaxed));
                $(stats.$field$(.$of)? = counters.next().unwrap_or_default();)*
                stats
            }
        }

        const COUNTERS: usize = [$(stringify!($field)),*].len();
    };
}

/// The counters of all workers. A worker adds to them once in each poll.
#[derive(Debug)]
pub(super) struct Counters([AtomicU64; COUNTERS]);

impl Default for Counters {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::default()))
    }
}

counters! {
    opened,
    to_endpoints,
    bytes_to_endpoints,
    to_clients,
    bytes_to_clients,
    idle_timeouts,
    reply_timeouts,
    unreachable,
    failovers,
    closed,
    displaced,
    aborted,
    receive_errors,
    dropped.full,
    dropped.source_full,
    dropped.no_endpoint,
    dropped.resolving,
    dropped.shutting_down,
    dropped.own_address,
    dropped.no_port,
    dropped.to_endpoint,
    dropped.to_client,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_the_sum_of_what_workers_have_counted() {
        let counters = Counters::default();
        let counted = UdpStats {
            opened: 1,
            to_clients: 2,
            dropped: UdpDropped { full: 3, to_client: 4, ..UdpDropped::default() },
            ..UdpStats::default()
        };
        for _ in 0..2 {
            let mut counted = counted;
            counters.add(&mut counted);
            assert_eq!(counted, UdpStats::default());
        }
        let dropped = UdpDropped { full: 6, to_client: 8, ..UdpDropped::default() };
        assert_eq!(
            counters.stats(5, 9),
            UdpStats { open: 5, max_open: 9, opened: 2, to_clients: 4, dropped, ..UdpStats::default() }
        );
    }
}
