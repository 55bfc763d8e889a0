use std::{collections::BTreeMap, time::Duration};

use equipoise_core::Availability;

/// What clients thought of the servers' health, over the whole run, warm-up included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Health {
    /// Who changed their mind, in the order of time. The first million.
    pub changes: Vec<HealthChange>,
    /// How many changes there were beyond those.
    pub unlisted: u64,
    /// By server: attempts sent there by clients who held it to be out, as they do when most are.
    pub sent_while_out: Vec<u64>,
    /// By server: attempts that failed there after their client had taken it out: what was in flight, and what was sent
    /// there since.
    pub failed_while_out: Vec<u64>,
}

/// A client thinks otherwise of a server than before.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct HealthChange {
    /// When, from the start of the run.
    pub at: Duration,
    /// Whose opinion it is.
    pub client: usize,
    /// Of whom.
    pub server: usize,
    /// What follows.
    pub to: Fitness,
    /// Which source brought it about, and why.
    pub reason: String,
}

/// What a client does with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Fitness {
    /// Sends it requests.
    In,
    /// Sends it one request, to see.
    OnTrial,
    /// Sends it none, unless too many are out.
    Out,
}

impl Health {
    pub(crate) fn of(servers: usize) -> Self {
        Self { sent_while_out: vec![0; servers], failed_while_out: vec![0; servers], ..Self::default() }
    }

    /// How long after `since` each client took the server out for the first time, of those that did; by client.
    pub fn times_to_out(&self, server: usize, since: Duration) -> Vec<Duration> {
        let mut first = BTreeMap::new();
        let out = |change: &&HealthChange| change.server == server && change.to == Fitness::Out && change.at >= since;
        for change in self.changes.iter().filter(out) {
            first.entry(change.client).or_insert(change.at - since);
        }
        first.into_values().collect()
    }
}

impl From<Availability> for Fitness {
    fn from(availability: Availability) -> Self {
        match availability {
            Availability::Up => Self::In,
            Availability::Probation => Self::OnTrial,
            _ => Self::Out,
        }
    }
}
