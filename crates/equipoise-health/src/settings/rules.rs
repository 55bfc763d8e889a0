/// What happens when an endpoint reaches a [failure limit](crate::machine::FailureLimit): HAProxy's `on-error`.
///
/// All variants except [`Eject`](Self::Eject) act through the [checks](crate::Source::Checks), and the checks decide when
/// the endpoint is up again. If a pool has no check that can fail, the endpoint is ejected.
///
/// With the feature `serde` it is the [label](Self::as_str).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum OnFailureLimit {
    /// The endpoint is ejected for a limited time.
    #[default]
    Eject,
    /// The next probe runs after the [fast interval](crate::Schedule::fast_interval) (HAProxy: `fastinter`).
    CheckSoon,
    /// It counts as one failed probe of each check.
    FailCheck,
    /// It counts as so many failed probes that one more takes the endpoint down.
    SuddenDeath,
    /// All checks take the endpoint down.
    MarkDown,
}

/// How the time of an ejection grows while an endpoint is ejected repeatedly.
///
/// With the feature `serde` it is the [label](Self::as_str).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum EjectionGrowth {
    /// The n-th ejection lasts n times the base time.
    Linear,
    /// Each ejection lasts twice as long as the one before.
    Doubling,
}

/// Ejects endpoints whose success rate is far below the mean of all endpoints.
///
/// At the end of each interval, an endpoint is ejected if its success rate is below the mean minus `deviations` standard
/// deviations. With the feature `serde`, `deviations` is required and the other fields have their defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct SuccessRate {
    /// The number of standard deviations below the mean. Must be above 0; Envoy and gRPC use 1.9.
    pub deviations: f64,
    /// The minimum number of endpoints with at least `min_requests` in the interval. With fewer, the rule is not applied.
    /// Default: 5.
    #[cfg_attr(feature = "serde", serde(default = "default_min_hosts"))]
    pub min_hosts: usize,
    /// The minimum number of requests of an endpoint in the interval. An endpoint with fewer is ignored. Default: 100.
    #[cfg_attr(feature = "serde", serde(default = "default_min_requests"))]
    pub min_requests: u64,
}

/// Ejects endpoints at which a large percentage of the requests fail.
///
/// The rule is applied at the end of each interval. With the feature `serde`, `percent` is required and the other fields have
/// their defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct FailurePercentage {
    /// The percentage of failed requests from which an endpoint is ejected. Range: 1 to 100.
    pub percent: u32,
    /// The minimum number of endpoints with at least `min_requests` in the interval. With fewer, the rule is not applied.
    /// Default: 5.
    #[cfg_attr(feature = "serde", serde(default = "default_min_hosts"))]
    pub min_hosts: usize,
    /// The minimum number of requests of an endpoint in the interval. An endpoint with fewer is ignored. Default: 50.
    #[cfg_attr(feature = "serde", serde(default = "default_min_requests_for_percentage"))]
    pub min_requests: u64,
}

/// Ejects endpoints whose mean time to the first byte is a multiple of the median of all endpoints.
///
/// The rule is applied at the end of each interval. With the feature `serde`, `factor` is required and the other fields have
/// their defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct LatencyOutlier {
    /// The multiple of the median from which an endpoint is ejected. Must be above 1.
    pub factor: f64,
    /// The minimum number of endpoints with at least `min_requests` in the interval. With fewer, the rule is not applied.
    /// Default: 5.
    #[cfg_attr(feature = "serde", serde(default = "default_min_hosts"))]
    pub min_hosts: usize,
    /// The minimum number of responses of an endpoint in the interval. An endpoint with fewer is ignored. Default: 100.
    #[cfg_attr(feature = "serde", serde(default = "default_min_requests"))]
    pub min_requests: u64,
}

const fn default_min_hosts() -> usize {
    5
}

const fn default_min_requests() -> u64 {
    100
}

const fn default_min_requests_for_percentage() -> u64 {
    50
}

impl OnFailureLimit {
    /// A stable label in kebab case, such as `check-soon`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eject => "eject",
            Self::CheckSoon => "check-soon",
            Self::FailCheck => "fail-check",
            Self::SuddenDeath => "sudden-death",
            Self::MarkDown => "mark-down",
        }
    }
}

impl EjectionGrowth {
    /// A stable label in lower case: `linear` or `doubling`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Doubling => "doubling",
        }
    }
}

impl SuccessRate {
    /// Ejects endpoints this many standard deviations below the mean. `min_hosts` is 5, `min_requests` is 100, as in Envoy.
    #[must_use]
    pub const fn new(deviations: f64) -> Self {
        Self { deviations, min_hosts: default_min_hosts(), min_requests: default_min_requests() }
    }

    /// Sets the minimum number of endpoints with enough requests. With fewer, the rule is not applied. Default: 5.
    #[must_use]
    pub const fn min_hosts(mut self, hosts: usize) -> Self {
        self.min_hosts = hosts;
        self
    }

    /// Sets the minimum number of requests of an endpoint in the interval. Default: 100.
    #[must_use]
    pub const fn min_requests(mut self, requests: u64) -> Self {
        self.min_requests = requests;
        self
    }
}

impl FailurePercentage {
    /// Ejects endpoints at which this percentage of the requests fail. `min_hosts` is 5, `min_requests` is 50, as in gRPC.
    #[must_use]
    pub const fn new(percent: u32) -> Self {
        Self { percent, min_hosts: default_min_hosts(), min_requests: default_min_requests_for_percentage() }
    }

    /// Sets the minimum number of endpoints with enough requests. With fewer, the rule is not applied. Default: 5.
    #[must_use]
    pub const fn min_hosts(mut self, hosts: usize) -> Self {
        self.min_hosts = hosts;
        self
    }

    /// Sets the minimum number of requests of an endpoint in the interval. Default: 50.
    #[must_use]
    pub const fn min_requests(mut self, requests: u64) -> Self {
        self.min_requests = requests;
        self
    }
}

impl LatencyOutlier {
    /// Ejects endpoints that are this many times as slow as the median. `min_hosts` is 5, `min_requests` is 100.
    #[must_use]
    pub const fn new(factor: f64) -> Self {
        Self { factor, min_hosts: default_min_hosts(), min_requests: default_min_requests() }
    }

    /// Sets the minimum number of endpoints with enough responses. With fewer, the rule is not applied. Default: 5.
    #[must_use]
    pub const fn min_hosts(mut self, hosts: usize) -> Self {
        self.min_hosts = hosts;
        self
    }

    /// Sets the minimum number of responses of an endpoint in the interval. Default: 100.
    #[must_use]
    pub const fn min_requests(mut self, requests: u64) -> Self {
        self.min_requests = requests;
        self
    }
}
