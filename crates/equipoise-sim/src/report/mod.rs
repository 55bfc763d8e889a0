//! What came of a run.

mod health;
mod in_flight;
mod latency;
mod series;

use std::{fmt, time::Duration};

pub use self::{
    health::{Fitness, Health, HealthChange},
    in_flight::InFlight,
    latency::Latency,
    series::{Sample, Series},
};
use crate::engine::End;

/// What came of a run, measured over the requests that came after the warm-up and before the end.
///
/// With the feature `serde` it is data.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Report {
    /// The strategy.
    pub label: String,
    /// The scenario's seed.
    pub seed: u64,
    /// Whether the run was stopped before its end.
    pub interrupted: bool,
    /// The time that was measured, on the run's clock.
    pub measured: Duration,
    /// How the requests ended.
    pub ends: Ends,
    /// Attempts at servers, second ones and hedges included.
    pub attempts: u64,
    /// How long requests took: those answered, and those that ran into the time-out. What failed at once has no latency;
    /// it is in the [error rate](Self::error_rate).
    pub latency: Latency,
    /// How many requests servers had.
    pub in_flight: InFlight,
    /// By server: its part of the attempts.
    pub shares: Vec<f64>,
    /// By server: the part of its allocation that it used; above 1 where nobody else wanted the machine, 0 for servers
    /// that only delay.
    pub utilisation: Vec<f64>,
    /// What became of keys, if requests had any.
    pub keys: Option<KeyMoves>,
    /// What clients thought of the servers' health, if they [watched](crate::Scenario::health) it.
    #[cfg_attr(feature = "serde", serde(default))]
    pub health: Option<Health>,
    /// How it went over time, warm-up included.
    pub series: Series,
}

/// How requests ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Ends {
    /// With an answer.
    pub answered: u64,
    /// With an error from the server.
    pub failed: u64,
    /// The server refused the connection.
    pub refused: u64,
    /// The server died while it was at work.
    pub broken: u64,
    /// The client gave up.
    pub timed_out: u64,
    /// No server could be picked.
    pub unserved: u64,
}

/// What became of keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct KeyMoves {
    /// Requests with a key that had come before.
    pub repeated: u64,
    /// Of these, those that went to another server than the time before.
    pub moved: u64,
    /// Of these, those that had to: the server of the time before had left, or the new one had come since.
    pub forced: u64,
}

impl Ends {
    pub(crate) fn count(&mut self, end: End) {
        *match end {
            End::Answered => &mut self.answered,
            End::Failed => &mut self.failed,
            End::Refused => &mut self.refused,
            End::Broken => &mut self.broken,
            End::TimedOut => &mut self.timed_out,
            End::Unserved => &mut self.unserved,
        } += 1;
    }

    /// All requests.
    pub fn total(&self) -> u64 {
        self.answered + self.errors()
    }

    /// Those without a good answer.
    pub fn errors(&self) -> u64 {
        self.failed + self.refused + self.broken + self.timed_out + self.unserved
    }
}

impl KeyMoves {
    /// The part of the repeated keys that moved although they could have stayed.
    pub fn beyond_the_ideal(&self) -> f64 {
        (self.moved - self.forced) as f64 / self.repeated.max(1) as f64
    }
}

impl Report {
    /// The part of the requests that ended without a good answer.
    pub fn error_rate(&self) -> f64 {
        self.ends.errors() as f64 / self.ends.total().max(1) as f64
    }

    /// The part of all requests that were answered within `limit`.
    pub fn answered_within(&self, limit: Duration) -> f64 {
        // Time-outs are recorded with at least the time-out; a limit above it must not count them as answers.
        let within = self.latency.count_within(limit).min(self.ends.answered);
        within as f64 / self.ends.total().max(1) as f64
    }

    /// A server's part of the attempts; 0 for one that does not exist.
    pub fn share(&self, server: usize) -> f64 {
        self.shares.get(server).copied().unwrap_or_default()
    }

    /// Requests a second.
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
