//! The results of a run: a [`Report`] and the types of its fields.

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

/// The results of a run. They cover the measured window: the time from the end of the
/// [warm-up](crate::Scenario::warm_up) to the end of the [run](crate::Scenario::lasting). A request is measured if it
/// arrives in this window. Two fields also cover the warm-up: [`health`](Self::health) and [`series`](Self::series).
///
/// With the feature `serde`, the type implements `Serialize` and `Deserialize`.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Report {
    /// Name of the strategy, from [`Contender::label`](crate::Contender::label).
    pub label: String,
    /// Seed of the scenario: [`Scenario::seed`](crate::Scenario::seed).
    pub seed: u64,
    /// Whether the run was stopped through its [`Control`](crate::Control). The other fields then cover the part that
    /// was simulated.
    pub interrupted: bool,
    /// Length of the measured window in simulated time. Shorter than planned if the run was
    /// [interrupted](Self::interrupted).
    pub measured: Duration,
    /// How many measured requests ended in each way: answered, failed, timed out and so on.
    pub ends: Ends,
    /// Number of attempts that were sent in the measured window, including retries and hedges.
    pub attempts: u64,
    /// Latencies of the measured requests that were answered or timed out. A request whose body broke off after the
    /// first byte is included. Requests that ended in another way have no latency here: see
    /// [`error_rate`](Self::error_rate).
    ///
    /// The latency is the time from the arrival of the request at its client to the first byte of the response. For a
    /// request that timed out, the latency is the time from its arrival to the timeout of its final attempt.
    pub latency: Latency,
    /// Distribution of the number of requests at a server (in service or in its queue) in the measured window.
    pub in_flight: InFlight,
    /// For each server, in the order of the servers in the scenario: its share of the attempts that were sent in the
    /// measured window. The shares add up to 1. If there were no attempts, all shares are 0.
    pub shares: Vec<f64>,
    /// For each server, in the order of the servers in the scenario: the mean number of cores that it used in the
    /// measured window, divided by the number of cores allocated to it. 1.0 means that all allocated cores were used.
    /// 0.0 for [`Server::delay`](crate::Server::delay).
    ///
    /// Can exceed 1.0 with [`Antagonists`](crate::Antagonists), because they let a server use more cores than its
    /// allocation at times.
    pub utilisation: Vec<f64>,
    /// How often requests with the same key were sent to different servers. `None` if requests had no
    /// [keys](crate::Scenario::keys).
    pub keys: Option<KeyMoves>,
    /// Changes of the availability of servers in the pools of the clients, and attempts at unhealthy servers. `None`
    /// without a [health policy](crate::Scenario::health).
    #[cfg_attr(feature = "serde", serde(default))]
    pub health: Option<HealthReport>,
    /// Figures over time: one sample for each [interval](crate::Scenario::sample_interval) of the run, including the
    /// warm-up.
    pub series: Series,
}

/// Counts how often requests with the same key were sent to different servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct KeyMoves {
    /// Number of attempts in the measured window that have the same key as an earlier attempt of the run. The earlier
    /// attempt may come from another client, and it may be in the warm-up.
    pub repeated: u64,
    /// Number of attempts in the measured window that went to a different server than the previous attempt with the
    /// same key. Counts only attempts whose key was seen earlier in the run: see [`repeated`](Self::repeated).
    pub moved: u64,
    /// Number of attempts in the measured window that went to a different server than the previous attempt with the
    /// same key ([`moved`](Self::moved)) because the set of servers had changed in the meantime. One of these is true:
    ///
    /// - The server of the previous attempt had left the pool.
    /// - The server of the new attempt had joined the pool after the previous attempt.
    pub forced: u64,
}

impl KeyMoves {
    /// Returns the fraction of avoidable moves, from 0 to 1: `(moved - forced) / repeated`. An avoidable move is an
    /// attempt that went to a different server than the previous attempt with the same key, although the old server had
    /// not left the pool and the new server had not joined it in the meantime. 0 if [`repeated`](Self::repeated) is 0.
    pub fn avoidable(&self) -> f64 {
        (self.moved - self.forced) as f64 / self.repeated.max(1) as f64
    }
}

impl Report {
    /// Returns the share (0 to 1) of the measured requests that ended without a successful response. 0 if no request
    /// was measured.
    pub fn error_rate(&self) -> f64 {
        self.ends.errors() as f64 / self.ends.total().max(1) as f64
    }

    /// Returns the share (0 to 1) of the measured requests that got the first byte of a successful response within
    /// `limit`. 0 if no request was measured.
    ///
    /// The share is computed from [`latency`](Self::latency) and may be too large, because it can include two kinds of
    /// failed requests:
    ///
    /// - requests whose body broke off after the first byte,
    /// - requests that timed out, if `limit` is above the [timeout](crate::Scenario::timeout).
    pub fn answered_within(&self, limit: Duration) -> f64 {
        // Timeouts are recorded as latencies too; with a limit above the timeout, they must not count as responses.
        let within = self.latency.count_within(limit).min(self.ends.answered);
        within as f64 / self.ends.total().max(1) as f64
    }

    /// Returns the share (0 to 1) of the attempts in the measured window that were sent to one server. `server` is the
    /// index of the server, counted from 0. Returns 0 if there is no such server.
    pub fn share(&self, server: usize) -> f64 {
        self.shares.get(server).copied().unwrap_or_default()
    }

    /// Returns the number of measured requests per second of simulated time. Requests that failed are included.
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
