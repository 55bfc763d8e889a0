use std::time::Duration;

use equipoise_core::Timestamp;

/// The load of a server, as the server reports it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ServerLoad {
    /// Number of requests at the server, including its queue.
    pub in_flight: u32,
    /// Used part of the server's allocation. Exceeds 1 while [`Antagonists`](crate::Antagonists) leave the server more
    /// than its allocation.
    pub utilisation: f64,
}

impl ServerLoad {
    /// Creates a load of `in_flight` requests and this utilisation.
    pub const fn new(in_flight: u32, utilisation: f64) -> Self {
        Self { in_flight, utilisation }
    }
}

/// Delivers load reports of servers to strategies. All methods have defaults that do nothing.
///
/// A feed shares memory with the strategies: it writes loads, and their pickers read them. All times are on the run's
/// clock, which the pools use too.
///
/// A load can travel in three ways, each with the delay that it would have in production:
///
/// - **Reports**: [`on_response`](Self::on_response) gets the load at the time when the response left the server.
/// - **Probes**: [`probe_targets`](Self::probe_targets) names servers to probe when a request is sent. A probe takes
///   the network's delay to the server, costs the server no work, and takes the network's delay back to
///   [`on_probe`](Self::on_probe).
/// - **Snapshots**: [`on_snapshot`](Self::on_snapshot) gets the loads of all servers once per
///   [`snapshot_interval`](Self::snapshot_interval).
pub trait Feed {
    /// Called before a client sends a request. Adds the indices of the servers to probe to `targets`; unknown indices
    /// are ignored.
    fn probe_targets(&mut self, client: usize, now: Timestamp, targets: &mut Vec<usize>) {
        let _ = (client, now, targets);
    }

    /// Called when the response to a probe reaches its client.
    fn on_probe(&mut self, client: usize, server: usize, load: ServerLoad, now: Timestamp) {
        let _ = (client, server, load, now);
    }

    /// Called when the response to a request reaches its client.
    fn on_response(&mut self, client: usize, server: usize, load: ServerLoad, now: Timestamp) {
        let _ = (client, server, load, now);
    }

    /// Returns the interval between snapshots, or `None` (the default) for no snapshots. Called when a run begins.
    fn snapshot_interval(&self) -> Option<Duration> {
        None
    }

    /// Called once per interval with the current loads, by server.
    fn on_snapshot(&mut self, loads: &[ServerLoad], now: Timestamp) {
        let _ = (loads, now);
    }
}

/// A feed that does nothing.
pub(crate) struct NoFeed;

impl Feed for NoFeed {}
