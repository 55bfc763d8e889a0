use std::{collections::BTreeMap, time::Duration};

use equipoise_core::Availability;

/// The changes of the availability of servers in the pools of the clients, and the attempts at unhealthy servers.
/// Covers the whole run, including the warm-up.
///
/// In this report a server is called unhealthy if its [availability](Availability) is neither `Up` nor `Probation`. A
/// server on `Probation` gets a single request, whose result decides whether the server has recovered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct HealthReport {
    /// The changes of the availability of servers, in the order of time. Only the first million changes are kept.
    pub changes: Vec<HealthChange>,
    /// Number of changes that are missing in [`changes`](Self::changes), because it holds one million changes at most.
    pub omitted_changes: u64,
    /// For each server, the number of attempts that a client sent to the server although this client treated the server
    /// as unhealthy (an availability other than `Up` or `Probation`). Clients do so if too few servers are healthy: see
    /// [`PoolBuilder::panic_threshold`](equipoise_core::PoolBuilder::panic_threshold).
    pub sent_while_unhealthy: Vec<u64>,
    /// For each server, the number of attempts that failed while the client of the attempt treated the server as
    /// unhealthy (an availability other than `Up` or `Probation`). Includes attempts that were already in flight when
    /// the server became unhealthy.
    pub failed_while_unhealthy: Vec<u64>,
}

/// A change of the availability of one server in the pool of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct HealthChange {
    /// Simulated time of the change, from the start of the run.
    pub at: Duration,
    /// Index of the client in whose pool the availability changed, counted from 0.
    pub client: usize,
    /// Index of the server whose availability changed, counted from 0.
    pub server: usize,
    /// The availability of the server after the change.
    pub to: Availability,
    /// Why the availability changed: the source (`checks`, `requests` or `agent`) and its reason, such as
    /// `requests: 5 failures in a row`. The text is for people to read, and its wording may change between versions.
    pub reason: String,
}

impl HealthChange {
    /// Returns whether the server gets no new requests after the change, except in a panic.
    pub(crate) fn takes_out(&self) -> bool {
        !matches!(self.to, Availability::Up | Availability::Probation)
    }
}

impl HealthReport {
    pub(crate) fn of(servers: usize) -> Self {
        let zeros = vec![0; servers];
        Self { sent_while_unhealthy: zeros.clone(), failed_while_unhealthy: zeros, ..Self::default() }
    }

    /// Returns the time that each client needed to notice that a server is unhealthy: from `since` until the client
    /// first set the server to an availability other than `Up` or `Probation`. `server` is the index of the server,
    /// counted from 0. `since` is a simulated time, from the start of the run.
    ///
    /// The times are in the order of the clients. A client that made no such change at or after `since` is left out.
    pub fn times_to_unhealthy(&self, server: usize, since: Duration) -> Vec<Duration> {
        let mut first = BTreeMap::new();
        let out = |change: &&HealthChange| change.server == server && change.takes_out() && change.at >= since;
        for change in self.changes.iter().filter(out) {
            first.entry(change.client).or_insert(change.at - since);
        }
        first.into_values().collect()
    }
}
