use std::{collections::BTreeMap, time::Duration};

use equipoise_core::Availability;

/// How clients changed the availability of servers, and what they sent to unhealthy ones.
///
/// Covers the whole run, warm-up included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct HealthReport {
    /// The changes in the order of time. At most one million are kept.
    pub changes: Vec<HealthChange>,
    /// Number of changes that are missing in [`changes`](Self::changes), because it was full.
    pub omitted_changes: u64,
    /// Number of attempts by server that were sent while their client had the server as unhealthy. This happens in a
    /// panic.
    pub sent_while_unhealthy: Vec<u64>,
    /// Number of attempts by server that failed while their client had the server as unhealthy. Includes attempts that
    /// were in flight when the server became unhealthy.
    pub failed_while_unhealthy: Vec<u64>,
}

/// A change of a server's availability in the pool of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct HealthChange {
    /// Time of the change, from the start of the run.
    pub at: Duration,
    /// Index of the client whose pool changed.
    pub client: usize,
    /// Index of the server.
    pub server: usize,
    /// The availability from now on.
    pub to: Availability,
    /// The source of the change (requests, or the name of a check) and its reason, such as
    /// `requests: 5 failures in a row`.
    pub reason: String,
}

impl HealthChange {
    /// Returns whether the server no longer gets requests, except in a panic.
    pub(crate) fn takes_out(&self) -> bool {
        !matches!(self.to, Availability::Up | Availability::Probation)
    }
}

impl HealthReport {
    pub(crate) fn of(servers: usize) -> Self {
        let zeros = vec![0; servers];
        Self { sent_while_unhealthy: zeros.clone(), failed_while_unhealthy: zeros, ..Self::default() }
    }

    /// Returns how long after `since` each client first stopped sending requests to the server.
    ///
    /// The times are in the order of clients. Clients that never did are left out.
    pub fn times_to_unhealthy(&self, server: usize, since: Duration) -> Vec<Duration> {
        let mut first = BTreeMap::new();
        let out = |change: &&HealthChange| change.server == server && change.takes_out() && change.at >= since;
        for change in self.changes.iter().filter(out) {
            first.entry(change.client).or_insert(change.at - since);
        }
        first.into_values().collect()
    }
}
