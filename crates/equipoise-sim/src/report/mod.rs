//! The results of a run.

mod ends;
mod health;
mod in_flight;
mod latency;
mod series;

use std::{fmt, time::Duration};

pub(crate) use self::ends::End;
pub use self::{
    ends::Ends,
    health::{HealthChange, HealthReport},
    in_flight::InFlight,
    latency::Latency,
    series::{Sample, Series},
};

/// The results of a run, measured over the requests that arrived after the warm-up and before the end.
///
/// Implements `Serialize` and `Deserialize` with the feature `serde`.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Report {
    /// Name of the strategy.
    pub label: String,
    /// Seed of the scenario.
    pub seed: u64,
    /// Whether the run was stopped through its [`Control`](crate::Control).
    pub interrupted: bool,
    /// Length of the measured part of the run, in simulated time.
    pub measured: Duration,
    /// Number of requests by how they ended.
    pub ends: Ends,
    /// Number of attempts, including retries and hedges.
    pub attempts: u64,
    /// Latency of the requests that were answered or timed out. Requests that failed in another way are not included;
    /// the [error rate](Self::error_rate) counts them.
    pub latency: Latency,
    /// Number of requests in flight at servers.
    pub in_flight: InFlight,
    /// Share of the attempts by server. The shares add up to 1.
    pub shares: Vec<f64>,
    /// Used part of the allocation by server. Exceeds 1 if [`Antagonists`](crate::Antagonists) left the server more
    /// than its allocation. 0 for [`Server::delay`](crate::Server::delay).
    pub utilisation: Vec<f64>,
    /// How often keys moved between servers; `None` if requests had no keys.
    pub keys: Option<KeyMoves>,
    /// Changes of the servers' availability; `None` without [`Scenario::health`](crate::Scenario::health).
    #[cfg_attr(feature = "serde", serde(default))]
    pub health: Option<HealthReport>,
    /// Figures over time, warm-up included.
    pub series: Series,
}

/// Counts how often requests with the same key went to different servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct KeyMoves {
    /// Number of measured attempts with a key that an earlier attempt had.
    pub repeated: u64,
    /// Number of repeated keys that went to another server than the time before.
    pub moved: u64,
    /// Number of moved keys that had to move: the previous server had left the pool, or the new one had joined since.
    pub forced: u64,
}

impl KeyMoves {
    /// Returns the share of repeated keys that moved although they did not have to.
    pub fn avoidable(&self) -> f64 {
        (self.moved - self.forced) as f64 / self.repeated.max(1) as f64
    }
}

impl Report {
    /// Returns the share of requests that ended without a successful response.
    pub fn error_rate(&self) -> f64 {
        self.ends.errors() as f64 / self.ends.total().max(1) as f64
    }

    /// Returns the share of all requests that were answered successfully within `limit`.
    pub fn answered_within(&self, limit: Duration) -> f64 {
        // Timeouts are recorded as latencies too; a limit above the timeout must not count them as answers.
        let within = self.latency.count_within(limit).min(self.ends.answered);
        within as f64 / self.ends.total().max(1) as f64
    }

    /// Returns a server's share of the attempts; 0 for an unknown server.
    pub fn share(&self, server: usize) -> f64 {
        self.shares.get(server).copied().unwrap_or_default()
    }

    /// Returns the number of measured requests per second of simulated time.
    pub fn throughput(&self) -> f64 {
        self.ends.total() as f64 / self.measured.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} requests in {:?}, p50 {:.1?}, p90 {:.1?}, p99 {:.1?}, p99.9 {:.1?}, errors {:.3} %",
            self.label,
            self.ends.total(),
            self.measured,
            self.latency.quantile(0.5),
            self.latency.quantile(0.9),
            self.latency.quantile(0.99),
            self.latency.quantile(0.999),
            self.error_rate() * 100.0,
        )?;
        if self.interrupted { f.write_str(" (interrupted)") } else { Ok(()) }
    }
}
