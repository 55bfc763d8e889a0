//! What is checked, how often, and what follows: plain values that are checked when a [machine](crate::Machine) is made.

#[cfg(feature = "serde")]
mod config;
mod error;
mod outliers;
mod schedule;

use crate::probe::Silence;

pub use self::{
    error::{InvalidHealth, UnknownPreset},
    outliers::{FailurePercentage, Growth, LatencyOutlier, OnTrip, Outliers, SuccessRate},
    schedule::{Schedule, Start},
};

/// Everything that a [machine](crate::Machine) goes by.
///
/// With the feature `serde` it is a table with the fields `checks`, `outliers` and `most_probes`, each of which may be
/// missing. Impossible settings and unknown fields are refused.
///
/// ```
/// # #[cfg(feature = "serde")] {
/// use equipoise_health::Policy;
///
/// let policy: Policy = serde_json::from_str(
///     r#"{
///         "checks": [{ "name": "http", "schedule": { "interval": "2s", "fall": 5 } }],
///         "outliers": { "preset": "envoy", "most_percent": 50, "success_rate": "off" }
///     }"#,
/// )?;
/// assert_eq!(policy.checks[0].name, "http");
/// let error = serde_json::from_str::<Policy>(r#"{ "checks": [{ "name": "http", "schedule": { "fall": 0 } }] }"#);
/// assert!(error.unwrap_err().to_string().starts_with("check \"http\": fall cannot be 0"));
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(try_from = "config::PolicyTable"))]
pub struct Policy {
    /// The active checks and agents, each with its schedule. An endpoint has to pass all checks.
    pub checks: Vec<CheckPolicy>,
    /// What the requests themselves say; `None` listens to nothing.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub outliers: Option<Outliers>,
    /// How many probes may be under way at a time, over all endpoints. Those that are due meanwhile wait their turn; those of
    /// endpoints that did not answer in time the last time get half of the places, so that the others are seen in time. An
    /// endpoint that hangs holds a place for its [timeout](Schedule::timeout) once an interval: where so many may hang that
    /// their probes need more places than there are, set more, or finding out takes longer.
    pub most_probes: usize,
}

/// One check that every endpoint of a pool undergoes.
///
/// With the feature `serde` it is a table with the fields `name`, `schedule` (by default [`Schedule::new`]) and `silence`
/// (by default `"fails"`).
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(try_from = "config::CheckTable"))]
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

    /// Whether it can be carried out.
    ///
    /// # Errors
    ///
    /// When its schedule cannot be kept; the error names the check and the setting.
    pub fn check(&self) -> Result<(), InvalidHealth> {
        self.schedule.check().map_err(|error| error.of_check(&self.name))
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
        self.checks.iter().try_for_each(CheckPolicy::check)?;
        self.outliers.as_ref().map_or(Ok(()), Outliers::check)
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::new()
    }
}
