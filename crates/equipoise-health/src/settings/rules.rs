/// What happens when an endpoint reaches a [failure limit](crate::machine::FailureLimit). A failure limit is a
/// configured number of consecutive failed requests, or a configured number of failed requests within a time. The
/// setting corresponds to HAProxy's `on-error`.
///
/// With [`Eject`](Self::Eject), outlier detection ejects the endpoint. With any other variant, the endpoint's
/// [checks](crate::Source::Checks) decide when it is unhealthy and when it is up again. Checks that [ignore
/// timeouts](crate::probe::OnTimeout::Ignore), such as those of agents, are not affected. If the policy has no other
/// check, the endpoint is ejected.
///
/// With the feature `serde`, the value is written as its [label](Self::as_str).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum OnFailureLimit {
    /// Ejects the endpoint: it gets no requests until the ejection time is over (see
    /// [`base_ejection`](crate::Outliers::base_ejection)).
    #[default]
    Eject,
    /// Starts the next probe of each check after at most one [fast interval](crate::Schedule::fast_interval). Reaching
    /// the failure limit does not itself change the availability of the endpoint. HAProxy calls this `fastinter`.
    CheckSoon,
    /// Counts the reached failure limit as one failed probe of each check. The endpoint becomes unhealthy if this is
    /// the [`fall`](crate::Schedule::fall)-th consecutive failure of a check. The next probe of each check starts after
    /// at most one [fast interval](crate::Schedule::fast_interval).
    FailCheck,
    /// Counts the reached failure limit as one or more failed probes of each check, so that each check has at least
    /// [`fall`](crate::Schedule::fall) − 1 consecutive failures. At most one further failed probe then makes the
    /// endpoint unhealthy. If `fall` is 1, the endpoint becomes unhealthy at once. The next probe of each check starts
    /// after at most one [fast interval](crate::Schedule::fast_interval).
    SuddenDeath,
    /// Makes the endpoint unhealthy at once, as if [`fall`](crate::Schedule::fall) probes of each check had failed.
    /// The endpoint is up again when [`rise`](crate::Schedule::rise) consecutive probes of each check have passed.
    /// The next probe of each check starts after at most one [fast interval](crate::Schedule::fast_interval).
    MarkDown,
}

/// How the ejection time grows if an endpoint is ejected several times. At the end of each
/// [interval](crate::Outliers::interval), the number of past ejections decreases by one for each endpoint that is up.
/// Up means neither ejected, nor paused by `Retry-After`, nor on probation.
///
/// With the feature `serde`, the value is written as its [label](Self::as_str).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum EjectionGrowth {
    /// The n-th ejection of an endpoint lasts n times [`base_ejection`](crate::Outliers::base_ejection), but at most
    /// [`max_ejection`](crate::Outliers::max_ejection).
    Linear,
    /// The first ejection of an endpoint lasts [`base_ejection`](crate::Outliers::base_ejection). Each further
    /// ejection lasts twice as long as the one before, but at most [`max_ejection`](crate::Outliers::max_ejection).
    Doubling,
}

/// A rule of outlier detection: ejects endpoints whose success rate is far below the mean of all endpoints.
///
/// The rule is applied at the end of each [interval](crate::Outliers::interval). It ejects an endpoint if the
/// endpoint's success rate is below the mean minus [`deviations`](Self::deviations) standard deviations.
///
/// With the feature `serde`, the rule is a table. The field `deviations` is required; the other fields have defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct SuccessRate {
    /// The number of standard deviations. An endpoint is ejected if its success rate is below the mean success rate of
    /// all endpoints minus `deviations` standard deviations. Range: above 0;
    /// [`Outliers::validate`](crate::Outliers::validate) rejects other values. Envoy and gRPC use 1.9.
    pub deviations: f64,
    /// The minimum number of endpoints that the rule `SuccessRate` compares. Only endpoints that had at least
    /// [`min_requests`](field@Self::min_requests) requests in the [interval](crate::Outliers::interval) count. With
    /// fewer such endpoints, the rule ejects no endpoint. Default: 5. 0 has the same effect as 1.
    #[cfg_attr(feature = "serde", serde(default = "default_min_hosts"))]
    pub min_hosts: usize,
    /// The minimum number of requests of an endpoint in an [interval](crate::Outliers::interval). The rule
    /// `SuccessRate` ignores an endpoint with fewer requests. Default: 100. 0 has the same effect as 1.
    #[cfg_attr(feature = "serde", serde(default = "default_min_requests"))]
    pub min_requests: u64,
}

/// A rule of outlier detection: ejects endpoints at which a large percentage of the requests fail.
///
/// The rule is applied at the end of each [interval](crate::Outliers::interval). It ejects an endpoint if at least
/// [`percent`](Self::percent) percent of the endpoint's requests in that interval failed.
///
/// With the feature `serde`, the rule is a table. The field `percent` is required; the other fields have defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct FailurePercentage {
    /// The limit for the percentage of failed requests. An endpoint is ejected if at least `percent` percent of its
    /// requests in an [interval](crate::Outliers::interval) failed. Range: 1 to 100;
    /// [`Outliers::validate`](crate::Outliers::validate) rejects other values.
    pub percent: u32,
    /// The minimum number of endpoints that the rule `FailurePercentage` needs. Only endpoints that had at least
    /// [`min_requests`](field@Self::min_requests) requests in the [interval](crate::Outliers::interval) count. With
    /// fewer such endpoints, the rule ejects no endpoint. Default: 5. 0 has the same effect as 1.
    #[cfg_attr(feature = "serde", serde(default = "default_min_hosts"))]
    pub min_hosts: usize,
    /// The minimum number of requests of an endpoint in an [interval](crate::Outliers::interval). The rule
    /// `FailurePercentage` ignores an endpoint with fewer requests. Default: 50. 0 has the same effect as 1.
    #[cfg_attr(feature = "serde", serde(default = "default_min_requests_for_percentage"))]
    pub min_requests: u64,
}

/// A rule of outlier detection: ejects endpoints that are much slower than the others.
///
/// The rule is applied at the end of each [interval](crate::Outliers::interval). It computes the mean time to the first
/// byte for each endpoint, and the median of these means. It ejects an endpoint whose mean is at least
/// [`factor`](Self::factor) times the median.
///
/// With the feature `serde`, the rule is a table. The field `factor` is required; the other fields have defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct LatencyOutlier {
    /// The limit for the slowness of an endpoint, as a multiple of the median. An endpoint is ejected if its mean time
    /// to the first byte in an [interval](crate::Outliers::interval) is at least `factor` times the median of the means
    /// of all endpoints. Range: above 1; [`Outliers::validate`](crate::Outliers::validate) rejects other values.
    pub factor: f64,
    /// The minimum number of endpoints that the rule `LatencyOutlier` compares. Only endpoints that had at least
    /// [`min_requests`](field@Self::min_requests) responses in the [interval](crate::Outliers::interval) count. With
    /// fewer such endpoints, the rule ejects no endpoint. Default: 5. 0 has the same effect as 1.
    #[cfg_attr(feature = "serde", serde(default = "default_min_hosts"))]
    pub min_hosts: usize,
    /// The minimum number of responses of an endpoint in an [interval](crate::Outliers::interval). The rule
    /// `LatencyOutlier` ignores an endpoint with fewer responses. Default: 100. 0 has the same effect as 1.
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
    /// Returns a stable label in kebab case: `eject`, `check-soon`, `fail-check`, `sudden-death` or `mark-down`.
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
    /// Returns a stable label in lower case: `linear` or `doubling`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Doubling => "doubling",
        }
    }
}

impl SuccessRate {
    /// Creates a rule that ejects an endpoint if its success rate is below the mean success rate of all endpoints minus
    /// `deviations` standard deviations. `deviations` must be above 0;
    /// [`Outliers::validate`](crate::Outliers::validate) rejects other values. As in Envoy,
    /// [`min_hosts`](field@Self::min_hosts) is 5 and [`min_requests`](field@Self::min_requests) is 100.
    #[must_use]
    pub const fn new(deviations: f64) -> Self {
        Self { deviations, min_hosts: default_min_hosts(), min_requests: default_min_requests() }
    }
}

impl FailurePercentage {
    /// Creates a rule that ejects an endpoint if at least `percent` percent of its requests fail. `percent` must be
    /// from 1 to 100; [`Outliers::validate`](crate::Outliers::validate) rejects other values. As in gRPC,
    /// [`min_hosts`](field@Self::min_hosts) is 5 and [`min_requests`](field@Self::min_requests) is 50.
    #[must_use]
    pub const fn new(percent: u32) -> Self {
        Self { percent, min_hosts: default_min_hosts(), min_requests: default_min_requests_for_percentage() }
    }
}

impl LatencyOutlier {
    /// Creates a rule that ejects an endpoint if its mean time to the first byte is at least `factor` times the median
    /// of the means of all endpoints. `factor` must be above 1; [`Outliers::validate`](crate::Outliers::validate)
    /// rejects other values. [`min_hosts`](field@Self::min_hosts) is 5 and [`min_requests`](field@Self::min_requests)
    /// is 100.
    #[must_use]
    pub const fn new(factor: f64) -> Self {
        Self { factor, min_hosts: default_min_hosts(), min_requests: default_min_requests() }
    }
}

/// The setters that all rules have. `$requests` is the default of `min_requests`, for its documentation.
macro_rules! traffic_setters {
    ($($rule:ident: $requests:literal;)*) => {
        $(impl $rule {
            /// Sets the minimum number of endpoints that this rule needs. Only endpoints that had at least
            /// [`min_requests`](field@Self::min_requests) requests in the [interval](crate::Outliers::interval) count.
            /// With fewer such endpoints, the rule ejects no endpoint. Default: 5. 0 has the same effect as 1.
            #[must_use]
            pub const fn min_hosts(mut self, hosts: usize) -> Self {
                self.min_hosts = hosts;
                self
            }

            /// Sets the minimum number of requests of an endpoint in an [interval](crate::Outliers::interval). For the
            /// rule [`LatencyOutlier`], this is the minimum number of responses. The rule ignores an endpoint with a
            /// smaller number.
            #[doc = concat!("Default: ", $requests, ". 0 has the same effect as 1.")]
            #[must_use]
            pub const fn min_requests(mut self, requests: u64) -> Self {
                self.min_requests = requests;
                self
            }
        })*
    };
}

traffic_setters! {
    SuccessRate: 100;
    FailurePercentage: 50;
    LatencyOutlier: 100;
}
