/// What happens when an endpoint reaches a [failure limit](crate::machine::FailureLimit). A failure limit is a
/// configured number of consecutive failed requests, or a configured number of failed requests within a configured
/// time. `OnFailureLimit` corresponds to HAProxy's `on-error`.
///
/// - With [`Eject`](Self::Eject), outlier detection ejects the endpoint.
/// - With every other variant, the failure limit affects the [checks](crate::Source::Checks) of the endpoint. It does
///   not affect checks that [ignore timeouts](crate::probe::OnTimeout::Ignore), such as checks that ask agents. If all
///   checks ignore timeouts, or if there are no checks, the endpoint is ejected, as with `Eject`.
///
/// With the feature `serde`, the value is written as the name that [`as_str`](Self::as_str) returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum OnFailureLimit {
    /// When an endpoint reaches the failure limit, outlier detection ejects the endpoint. The endpoint gets no requests
    /// until the ejection time is over (see [`base_ejection`](crate::Outliers::base_ejection)).
    #[default]
    Eject,
    /// When an endpoint reaches the failure limit, each of its checks starts its next probe within one [fast
    /// interval](crate::Schedule::fast_interval), unless a probe of this check is running. The endpoint's availability
    /// changes only if its probes fail. HAProxy calls this `fastinter`.
    CheckSoon,
    /// When an endpoint reaches the failure limit, this counts as one failed probe of each of its checks. If a check
    /// then has [`fall`](crate::Schedule::fall) consecutive failures, the endpoint becomes unhealthy. Each check starts
    /// its next probe within one [fast interval](crate::Schedule::fast_interval), unless a probe of this check is
    /// running.
    FailCheck,
    /// When an endpoint reaches the failure limit, the number of consecutive failed probes of each of its checks is set
    /// to [`fall`](crate::Schedule::fall) − 1. One more failed probe then makes the endpoint unhealthy. Example: with a
    /// `fall` of 5, the number is set to 4. If the number was 4 already, the endpoint becomes unhealthy at once. With a
    /// `fall` of 1, the endpoint always becomes unhealthy at once. Each check starts its next probe within one [fast
    /// interval](crate::Schedule::fast_interval), unless a probe of this check is running.
    SuddenDeath,
    /// When an endpoint reaches the failure limit, it becomes unhealthy at once, as if [`fall`](crate::Schedule::fall)
    /// probes of each of its checks had failed. The endpoint is up again when [`rise`](crate::Schedule::rise)
    /// consecutive probes of each check have passed. Each check starts its next probe within one [fast
    /// interval](crate::Schedule::fast_interval), unless a probe of this check is running.
    MarkDown,
}

/// How the ejection time grows if the same endpoint is ejected several times. The ejection time depends on the number
/// of past ejections of the endpoint. If an endpoint is up at the end of an [interval](crate::Outliers::interval), its
/// number of past ejections decreases by one. Up means neither ejected, nor paused by `Retry-After`, nor on probation.
///
/// With the feature `serde`, the value is written as the name that [`as_str`](Self::as_str) returns.
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

/// A rule of outlier detection: ejects an endpoint if its success rate is far below the mean success rate.
///
/// The rule is applied at the end of each [interval](crate::Outliers::interval). It compares the endpoints that had at
/// least [`min_requests`](field@Self::min_requests) requests in that interval. Endpoints that are ejected, paused by
/// `Retry-After` or on probation are left out. The rule ejects each compared endpoint with a success rate below a
/// limit. The limit is the mean of the compared success rates minus [`deviations`](Self::deviations) × their standard
/// deviation. Example: with a mean of 95 %, a standard deviation of 5 % and 2 deviations, the limit is 85 %.
///
/// With the feature `serde`, the rule is a table. The field `deviations` is required; the other fields have defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct SuccessRate {
    /// The number of standard deviations in the limit of the rule `SuccessRate`. The limit is the mean success rate
    /// minus `deviations` × the standard deviation of the success rates. The rule ejects an endpoint if the endpoint's
    /// success rate is below this limit. Range: above 0; [`Outliers::validate`](crate::Outliers::validate) rejects
    /// other values. Envoy and gRPC use 1.9.
    pub deviations: f64,
    /// The minimum number of endpoints that the rule `SuccessRate` needs. Only endpoints that had at least
    /// [`min_requests`](field@Self::min_requests) requests in the [interval](crate::Outliers::interval) count. If fewer
    /// than `min_hosts` endpoints count, the rule ejects no endpoint. Default: 5. 0 has the same effect as 1.
    #[cfg_attr(feature = "serde", serde(default = "default_min_hosts"))]
    pub min_hosts: usize,
    /// The minimum number of requests that an endpoint must have had in an [interval](crate::Outliers::interval). The
    /// rule `SuccessRate` ignores an endpoint with fewer requests. Default: 100. 0 has the same effect as 1.
    #[cfg_attr(feature = "serde", serde(default = "default_min_requests"))]
    pub min_requests: u64,
}

/// A rule of outlier detection: ejects endpoints at which a large percentage of the requests fail.
///
/// The rule is applied at the end of each [interval](crate::Outliers::interval). It ejects an endpoint if at least
/// [`percent`](Self::percent) percent of the endpoint's requests in that interval failed. An endpoint with fewer than
/// [`min_requests`](field@Self::min_requests) requests is ignored, and so is an endpoint that is ejected, paused by
/// `Retry-After` or on probation.
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
    /// [`min_requests`](field@Self::min_requests) requests in the [interval](crate::Outliers::interval) count. If fewer
    /// than `min_hosts` endpoints count, the rule ejects no endpoint. Default: 5. 0 has the same effect as 1.
    #[cfg_attr(feature = "serde", serde(default = "default_min_hosts"))]
    pub min_hosts: usize,
    /// The minimum number of requests that an endpoint must have had in an [interval](crate::Outliers::interval). The
    /// rule `FailurePercentage` ignores an endpoint with fewer requests. Default: 50. 0 has the same effect as 1.
    #[cfg_attr(feature = "serde", serde(default = "default_min_requests_for_percentage"))]
    pub min_requests: u64,
}

/// A rule of outlier detection: ejects endpoints that are much slower than the other endpoints.
///
/// The rule is applied at the end of each [interval](crate::Outliers::interval). It compares the endpoints that had at
/// least [`min_requests`](field@Self::min_requests) responses in that interval. Endpoints that are ejected, paused by
/// `Retry-After` or on probation are left out. The rule computes the mean time to the first byte of each endpoint, and
/// the median of these means. If the number of endpoints is even, the median is the larger one of the two middle
/// values. The rule ejects an endpoint if its mean is at least [`factor`](Self::factor) times the median.
///
/// With the feature `serde`, the rule is a table. The field `factor` is required; the other fields have defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct LatencyOutlier {
    /// The limit of the rule `LatencyOutlier`, as a multiple of a median. The rule computes the mean time to the first
    /// byte of each endpoint in an [interval](crate::Outliers::interval), and the median of these means. An endpoint is
    /// ejected if its mean is at least `factor` times the median. Range: above 1;
    /// [`Outliers::validate`](crate::Outliers::validate) rejects other values.
    pub factor: f64,
    /// The minimum number of endpoints that the rule `LatencyOutlier` needs. Only endpoints that had at least
    /// [`min_requests`](field@Self::min_requests) responses in the [interval](crate::Outliers::interval) count. If
    /// fewer than `min_hosts` endpoints count, the rule ejects no endpoint. Default: 5. 0 has the same effect as 1.
    #[cfg_attr(feature = "serde", serde(default = "default_min_hosts"))]
    pub min_hosts: usize,
    /// The minimum number of responses that an endpoint must have sent in an [interval](crate::Outliers::interval). The
    /// rule `LatencyOutlier` ignores an endpoint with fewer responses. Default: 100. 0 has the same effect as 1.
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
    /// Returns the name of this value in kebab case: `eject`, `check-soon`, `fail-check`, `sudden-death` or
    /// `mark-down`. The name never changes.
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
    /// Returns the name of this value in lower case: `linear` or `doubling`. The name never changes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Doubling => "doubling",
        }
    }
}

impl SuccessRate {
    /// Creates a rule that ejects an endpoint with a success rate below a limit. The limit is the mean success rate
    /// minus `deviations` × the standard deviation of the success rates. `deviations` must be above 0;
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
    /// of the endpoints' means. `factor` must be above 1; [`Outliers::validate`](crate::Outliers::validate) rejects
    /// other values. [`min_hosts`](field@Self::min_hosts) is 5 and [`min_requests`](field@Self::min_requests) is 100.
    #[must_use]
    pub const fn new(factor: f64) -> Self {
        Self { factor, min_hosts: default_min_hosts(), min_requests: default_min_requests() }
    }
}

/// Defines the two setters that all rules have. Each setter gets the documentation in front of its name.
macro_rules! traffic_setters {
    ($($rule:ident { $(#[$hosts:meta])* min_hosts; $(#[$requests:meta])* min_requests; })*) => {
        $(impl $rule {
            $(#[$hosts])*
            #[must_use]
            pub const fn min_hosts(mut self, hosts: usize) -> Self {
                self.min_hosts = hosts;
                self
            }

            $(#[$requests])*
            #[must_use]
            pub const fn min_requests(mut self, requests: u64) -> Self {
                self.min_requests = requests;
                self
            }
        })*
    };
}

traffic_setters! {
    SuccessRate {
        /// Sets the minimum number of endpoints that the rule `SuccessRate` needs. Only endpoints that had at least
        /// [`min_requests`](field@Self::min_requests) requests in the [interval](crate::Outliers::interval) count. If
        /// fewer than `hosts` endpoints count, the rule ejects no endpoint. Default: 5. 0 has the same effect as 1.
        min_hosts;
        /// Sets the minimum number of requests that an endpoint must have had in an
        /// [interval](crate::Outliers::interval). The rule `SuccessRate` ignores an endpoint with fewer requests.
        /// Default: 100. 0 has the same effect as 1.
        min_requests;
    }
    FailurePercentage {
        /// Sets the minimum number of endpoints that the rule `FailurePercentage` needs. Only endpoints that had at
        /// least [`min_requests`](field@Self::min_requests) requests in the [interval](crate::Outliers::interval)
        /// count. If fewer than `hosts` endpoints count, the rule ejects no endpoint. Default: 5. 0 has the same effect
        /// as 1.
        min_hosts;
        /// Sets the minimum number of requests that an endpoint must have had in an
        /// [interval](crate::Outliers::interval). The rule `FailurePercentage` ignores an endpoint with fewer requests.
        /// Default: 50. 0 has the same effect as 1.
        min_requests;
    }
    LatencyOutlier {
        /// Sets the minimum number of endpoints that the rule `LatencyOutlier` needs. Only endpoints that had at least
        /// [`min_requests`](field@Self::min_requests) responses in the [interval](crate::Outliers::interval) count. If
        /// fewer than `hosts` endpoints count, the rule ejects no endpoint. Default: 5. 0 has the same effect as 1.
        min_hosts;
        /// Sets the minimum number of responses that an endpoint must have sent in an
        /// [interval](crate::Outliers::interval). The rule `LatencyOutlier` ignores an endpoint with fewer responses.
        /// Default: 100. 0 has the same effect as 1.
        min_requests;
    }
}
