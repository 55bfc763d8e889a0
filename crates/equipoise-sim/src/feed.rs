use std::time::Duration;

use equipoise_core::Timestamp;

/// The load of a server at one moment, as the server reports it to clients.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ServerLoad {
    /// Number of requests at the server, in service or in its queue.
    pub in_flight: u32,
    /// Number of cores in use, relative to the number of cores allocated to the server: 0.0 is idle, 1.0 is fully used.
    /// Can exceed 1.0 with [`Antagonists`](crate::Antagonists), because they let a server use more cores than its
    /// allocation at times. Always 0.0 for [`Server::delay`](crate::Server::delay).
    pub utilisation: f64,
}

impl ServerLoad {
    /// Creates the load of a server. `in_flight` is the number of its requests, in service or in its queue.
    /// `utilisation` is the number of cores in use, divided by the number of cores allocated to the server.
    pub const fn new(in_flight: u32, utilisation: f64) -> Self {
        Self { in_flight, utilisation }
    }
}

/// Gets the loads of the servers during a run and stores them for strategies that pick by the load of servers. Every
/// method has a default. With the defaults, no servers are probed, no snapshots are taken, and reported loads are
/// ignored.
///
/// A feed and the strategies share memory: the feed writes the loads, and the strategies read them when they pick an
/// endpoint. All times are on the clock of the run, which is also the clock of the pools. Servers and clients are
/// numbered from 0.
///
/// A feed gets loads in three ways:
///
/// - **Reports**: when a response reaches its client, [`on_response`](Self::on_response) gets the load that the server
///   had when the response left it.
/// - **Probes**: for each new request, [`probe_targets`](Self::probe_targets) names servers to probe. A probe reaches
///   its server after the network delay and costs the server no work. Its response takes the network delay back to the
///   client. Then [`on_probe`](Self::on_probe) gets the load that the server had when the probe reached it.
/// - **Snapshots**: each time that [`snapshot_interval`](Self::snapshot_interval) has passed,
///   [`on_snapshot`](Self::on_snapshot) gets the current loads of all servers, without a network delay.
pub trait Feed {
    /// Called when a request arrives at `client`, before an endpoint is picked for it. Adds the indices of the servers
    /// to probe to `targets`, which is empty at the call. Indices of servers that do not exist are ignored. Default:
    /// adds nothing.
    fn probe_targets(&mut self, client: usize, now: Timestamp, targets: &mut Vec<usize>) {
        let _ = (client, now, targets);
    }

    /// Called when the response to a probe reaches `client`. `load` is the load that `server` had when the probe
    /// reached the server. Not called if the server refuses connections or is unreachable. Default: does nothing.
    fn on_probe(&mut self, client: usize, server: usize, load: ServerLoad, now: Timestamp) {
        let _ = (client, server, load, now);
    }

    /// Called when the response to a request reaches `client`. `load` is the load that `server` had when the response
    /// left the server. The request itself is not included in the load. Default: does nothing.
    ///
    /// Not called if the server refused, shed or broke off the request, and not after a timeout.
    fn on_response(&mut self, client: usize, server: usize, load: ServerLoad, now: Timestamp) {
        let _ = (client, server, load, now);
    }

    /// Returns the time between two snapshots of the loads of all servers. Each snapshot is passed to
    /// [`on_snapshot`](Self::on_snapshot). `None`: no snapshots are taken. Called when a run begins. The first snapshot
    /// is taken one interval later. Default: `None`.
    ///
    /// A snapshot has one load for each server. All snapshots of a run together may have at most 10⁹ loads: with 1000
    /// servers, at most 10⁶ snapshots. With a shorter interval, the run fails with
    /// [`RunError::Scenario`](crate::RunError::Scenario).
    fn snapshot_interval(&self) -> Option<Duration> {
        None
    }

    /// Called each time that [`snapshot_interval`](Self::snapshot_interval) has passed. `loads` has the current load of
    /// each server, in the order of the servers in the scenario. Default: does nothing.
    fn on_snapshot(&mut self, loads: &[ServerLoad], now: Timestamp) {
        let _ = (loads, now);
    }
}

/// A feed that uses the defaults of all methods: strategies get no load reports.
pub(crate) struct NoFeed;

impl Feed for NoFeed {}
