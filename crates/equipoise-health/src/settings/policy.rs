use super::{InvalidHealth, Outliers, Schedule};
use crate::probe::OnTimeout;

/// All settings of the health checks of one pool: the checks, outlier detection, and the maximum number of concurrent
/// probes. [`Machine::new`](crate::machine::Machine::new) takes this policy.
///
/// With the feature `serde`, a policy is a table with the optional fields `checks`, `outliers` and
/// `max_concurrent_probes`. Invalid settings and unknown fields are errors.
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
    /// The active checks, including those that ask agents. An endpoint must pass all of them to be up. Default: no
    /// checks.
    pub checks: Vec<CheckPolicy>,
    /// The settings of outlier detection, which ejects endpoints because of the results of real requests. `None`
    /// turns outlier detection off. Default: `None`.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub outliers: Option<Outliers>,
    /// The maximum number of probes that run at the same time, over all endpoints and checks. If more probes are due,
    /// they wait until a running probe ends. Minimum: 1; [`validate`](Self::validate) rejects 0. Default: 256.
    ///
    /// If an endpoint hangs, its probe runs until the [timeout](Schedule::timeout) is over. Such probes must not delay
    /// the probes of other endpoints. An endpoint counts as hanging if its previous probe exceeded its timeout. At most
    /// half of the running probes, rounded up, belong to hanging endpoints. If many endpoints may hang at the same
    /// time, use a larger number. Otherwise failures are detected later.
    pub max_concurrent_probes: usize,
}

/// One check that is applied to every endpoint of a pool: its name, its schedule, and whether a timeout counts as a
/// failure. The probe that the check runs is not part of this type.
///
/// With the feature `serde`, a check is a table with three fields: `name` (required), `schedule` (default:
/// [`Schedule::new`]) and `on_timeout` (default: `"fail"`).
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CheckPolicy {
    /// The name of the check. The name appears in [`CheckStatus`](crate::CheckStatus), and in the
    /// [reason](crate::Condition::reason) why an endpoint is not up.
    pub name: String,
    /// How often the check probes an endpoint, and how many consecutive results change the state of the endpoint.
    pub schedule: Schedule,
    /// Whether a probe that exceeds its [timeout](Schedule::timeout) counts as failed or is ignored. Default:
    /// [`OnTimeout::Fail`].
    pub on_timeout: OnTimeout,
}

impl CheckPolicy {
    /// Creates a check with this name and schedule. A probe that exceeds its timeout counts as failed
    /// ([`OnTimeout::Fail`]).
    pub fn new(name: impl Into<String>, schedule: Schedule) -> Self {
        Self { name: name.into(), schedule, on_timeout: OnTimeout::Fail }
    }

    /// Sets whether a probe that exceeds its [timeout](Schedule::timeout) counts as failed or is ignored. Default:
    /// [`OnTimeout::Fail`].
    #[must_use]
    pub fn on_timeout(mut self, on_timeout: OnTimeout) -> Self {
        self.on_timeout = on_timeout;
        self
    }

    /// Validates the settings of the check. [`Machine::new`](crate::machine::Machine::new) calls this method for each
    /// check.
    ///
    /// # Errors
    ///
    /// Returns an error that names the check and its first invalid setting.
    pub fn validate(&self) -> Result<(), InvalidHealth> {
        self.schedule.validate().map_err(|error| error.of_check(&self.name))
    }
}

impl HealthPolicy {
    /// Creates a policy without checks and without outlier detection. At most 256 probes run at the same time.
    #[must_use]
    pub const fn new() -> Self {
        Self { checks: Vec::new(), outliers: None, max_concurrent_probes: 256 }
    }

    /// Adds a check, which is applied to every endpoint. An endpoint must pass all checks to be up.
    #[must_use]
    pub fn check(mut self, check: CheckPolicy) -> Self {
        self.checks.push(check);
        self
    }

    /// Sets the settings of outlier detection. `None` turns outlier detection off. Default: `None`.
    #[must_use]
    pub fn outliers(mut self, outliers: impl Into<Option<Outliers>>) -> Self {
        self.outliers = outliers.into();
        self
    }

    /// Sets the maximum number of probes that run at the same time, over all endpoints and checks. If more probes are
    /// due, they wait until a running probe ends. Minimum: 1; [`validate`](Self::validate) rejects 0. Default: 256.
    #[must_use]
    pub const fn max_concurrent_probes(mut self, probes: usize) -> Self {
        self.max_concurrent_probes = probes;
        self
    }

    /// Validates the settings of all checks, the settings of outlier detection, and the maximum number of probes.
    /// [`Machine::new`](crate::machine::Machine::new) calls this method.
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
