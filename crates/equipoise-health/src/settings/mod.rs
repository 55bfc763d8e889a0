//! What is checked, how often, and what follows: plain values that are checked when a [machine](crate::Machine) is made.

mod error;
mod outliers;
mod schedule;

use crate::probe::Silence;

pub use self::{
    error::InvalidHealth,
    outliers::{FailurePercentage, Growth, LatencyOutlier, OnTrip, Outliers, SuccessRate, UnknownPreset},
    schedule::{Schedule, Start},
};

/// Everything that a [machine](crate::Machine) goes by.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The active checks and agents, each with its schedule. An endpoint has to pass all checks.
    pub checks: Vec<CheckPolicy>,
    /// What the requests themselves say; `None` listens to nothing.
    pub outliers: Option<Outliers>,
    /// How many probes may be under way at a time, over all endpoints. Those that are due meanwhile wait their turn; those of
    /// endpoints that did not answer in time the last time get half of the places, so that the others are seen in time. An
    /// endpoint that hangs holds a place for its [timeout](Schedule::timeout) once an interval: where so many may hang that
    /// their probes need more places than there are, set more, or finding out takes longer.
    pub most_probes: usize,
}

/// One check that every endpoint of a pool undergoes.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckPolicy {
    /// What it is called in reasons.
    pub name: String,
    /// When it looks.
    pub schedule: Schedule,
    /// What it means that there is no answer in time.
    pub silence: Silence,
}

impl CheckPolicy {
    /// A check that has failed if there is no answer in time.
    pub fn new(name: impl Into<String>, schedule: Schedule) -> Self {
        Self { name: name.into(), schedule, silence: Silence::Fails }
    }
}

impl Policy {
    /// No checks, no outlier detection; at most 256 probes at a time.
    pub const fn new() -> Self {
        Self { checks: Vec::new(), outliers: None, most_probes: 256 }
    }

    /// Whether it can be gone by.
    ///
    /// # Errors
    ///
    /// When it cannot; the error names the setting.
    pub fn check(&self) -> Result<(), InvalidHealth> {
        if self.most_probes == 0 {
            return Err(InvalidHealth::new("most_probes", "0", "at least 1"));
        }
        self.checks.iter().try_for_each(|check| check.schedule.check())?;
        self.outliers.as_ref().map_or(Ok(()), Outliers::check)
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::new()
    }
}
