use super::{InvalidHealth, Outliers, Schedule};
use crate::probe::OnTimeout;

/// All settings of a [machine](crate::machine::Machine): its checks and its outlier detection.
///
/// With the feature `serde` it is a table with the optional fields `checks`, `outliers` and `max_concurrent_probes`. Invalid
/// settings and unknown fields are errors.
///
/// ```
/// # #[cfg(feature = "serde")] {
/// use equipoise_health::HealthPolicy;
///
/// let policy: HealthPolicy = serde_json::from_str(
///     r#"{
///         "checks": [{ "name": "http", "schedule": { "interval": "2s", "fall": 5 } }],
///         "outliers": { "preset": "envoy", "max_ejection_percent": 50, "success_rate": "off" }
///     }"#,
/// )?;
/// assert_eq!(policy.checks[0].name, "http");
/// let invalid = r#"{ "checks": [{ "name": "http", "schedule": { "fall": 0 } }] }"#;
/// let error = serde_json::from_str::<HealthPolicy>(invalid).unwrap_err();
/// assert!(error.to_string().starts_with("check \"http\": fall cannot be 0"));
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct HealthPolicy {
    /// The active checks, including agents. An endpoint must pass all of them. Default: none.
    pub checks: Vec<CheckPolicy>,
    /// The outlier detection, which uses the results of real requests. Default: `None`, which turns it off.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub outliers: Option<Outliers>,
    /// The maximum number of probes that run at a time, over all endpoints. Minimum 1, default 256. Further probes wait until
    /// one ends.
    ///
    /// Endpoints whose last probe exceeded its timeout use at most half of these places, so that they do not delay the other
    /// probes. An endpoint that hangs occupies a place for one [timeout](Schedule::timeout) in each interval. If many
    /// endpoints may hang at once, use a larger number, or failures are detected later.
    pub max_concurrent_probes: usize,
}

/// One check that is applied to every endpoint of a pool.
///
/// With the feature `serde` it is a table with the fields `name`, `schedule` (default: [`Schedule::new`]) and `on_timeout`
/// (default: `"fail"`).
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CheckPolicy {
    /// The name of the check in reasons and status.
    pub name: String,
    /// How often the check runs, and how many results change the state of an endpoint.
    pub schedule: Schedule,
    /// What a probe that exceeds its timeout means. Default: [`OnTimeout::Fail`].
    pub on_timeout: OnTimeout,
}

impl CheckPolicy {
    /// A check whose probes fail if they exceed the timeout.
    pub fn new(name: impl Into<String>, schedule: Schedule) -> Self {
        Self { name: name.into(), schedule, on_timeout: OnTimeout::Fail }
    }

    /// What a probe that exceeds its timeout means. Default: [`OnTimeout::Fail`].
    #[must_use]
    pub fn on_timeout(mut self, on_timeout: OnTimeout) -> Self {
        self.on_timeout = on_timeout;
        self
    }

    /// Validates the settings of the check.
    ///
    /// # Errors
    ///
    /// Returns an error that names the check and its first invalid setting.
    pub fn validate(&self) -> Result<(), InvalidHealth> {
        self.schedule.validate().map_err(|error| error.of_check(&self.name))
    }
}

impl HealthPolicy {
    /// A policy without checks and without outlier detection, with at most 256 probes at a time.
    #[must_use]
    pub const fn new() -> Self {
        Self { checks: Vec::new(), outliers: None, max_concurrent_probes: 256 }
    }

    /// Adds a check.
    #[must_use]
    pub fn check(mut self, check: CheckPolicy) -> Self {
        self.checks.push(check);
        self
    }

    /// Sets the outlier detection; `None` turns it off, which is the default.
    #[must_use]
    pub fn outliers(mut self, outliers: impl Into<Option<Outliers>>) -> Self {
        self.outliers = outliers.into();
        self
    }

    /// Sets the maximum number of probes that run at a time. Minimum 1, default 256.
    #[must_use]
    pub const fn max_concurrent_probes(mut self, probes: usize) -> Self {
        self.max_concurrent_probes = probes;
        self
    }

    /// Validates all settings.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first invalid setting.
    pub fn validate(&self) -> Result<(), InvalidHealth> {
        if self.max_concurrent_probes == 0 {
            return Err(InvalidHealth::new("max_concurrent_probes", "0", "use 1 or more"));
        }
        self.checks.iter().try_for_each(CheckPolicy::validate)?;
        self.outliers.as_ref().map_or(Ok(()), Outliers::validate)
    }
}

impl Default for HealthPolicy {
    fn default() -> Self {
        Self::new()
    }
}
