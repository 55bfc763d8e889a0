use std::{str::FromStr, time::Duration};

use super::{
    EjectionGrowth, FailurePercentage, InvalidHealth, LatencyOutlier, OnFailureLimit, SuccessRate, UnknownPreset,
    schedule::MAX_TIME,
};

/// The settings of outlier detection, which ejects endpoints because of the results of their requests. An ejected
/// endpoint gets no requests for some time. The settings say which endpoints are ejected, for how long, and how many
/// at a time.
///
/// The presets [`envoy`](Self::envoy), [`grpc`](Self::grpc), [`linkerd`](Self::linkerd) and [`nginx`](Self::nginx) are
/// starting points. Without a preset, no endpoint is ejected until you turn on a rule, such as
/// [`consecutive_failures`](Self::consecutive_failures). A preset can also be parsed from its name:
///
/// ```
/// use equipoise_health::Outliers;
///
/// let outliers: Outliers = "envoy".parse()?;
/// assert_eq!(outliers, Outliers::envoy());
/// let stricter = outliers.consecutive_failures(3);
/// assert!(stricter.validate().is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # In configuration files
///
/// With the feature `serde`, the settings are read from the name of a preset or from a table:
///
/// - The fields of the table have the names of the setter methods.
/// - If the table has the field `preset`, settings without a field have the values of this preset.
/// - The value `"off"` turns off a rule, `max_retry_after` or `abandon_factor`.
/// - Unknown fields and invalid settings are errors.
///
/// The settings are serialized as a table.
///
/// ```
/// # #[cfg(feature = "serde")] {
/// use std::time::Duration;
///
/// use equipoise_health::{Outliers, SuccessRate};
///
/// let outliers: Outliers = serde_json::from_str(
///     r#"{ "preset": "envoy", "consecutive_gateway_failures": "off", "base_ejection": "10s", "max_ejection": "1m" }"#,
/// )?;
/// let same = Outliers::new()
///     .consecutive_failures(5)
///     .success_rate(SuccessRate::new(1.9))
///     .max_retry_after(None)
///     .base_ejection(Duration::from_secs(10))
///     .max_ejection(Duration::from_secs(60));
/// assert_eq!(outliers, same);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct Outliers {
    pub(crate) consecutive_failures: Option<u32>,
    pub(crate) consecutive_gateway_failures: Option<u32>,
    pub(crate) consecutive_connection_failures: Option<u32>,
    pub(crate) failures_within: Option<(u32, Duration)>,
    pub(crate) success_rate: Option<SuccessRate>,
    pub(crate) failure_percentage: Option<FailurePercentage>,
    pub(crate) latency: Option<LatencyOutlier>,
    pub(crate) on_failure_limit: OnFailureLimit,
    pub(crate) interval: Duration,
    pub(crate) base_ejection: Duration,
    pub(crate) max_ejection: Duration,
    pub(crate) growth: EjectionGrowth,
    pub(crate) jitter: f64,
    pub(crate) max_ejection_percent: u32,
    pub(crate) max_retry_after: Option<Duration>,
    pub(crate) abandon_factor: Option<f64>,
}

impl Outliers {
    /// Creates settings in which all rules are off, so that no endpoint is ejected. The other settings have their
    /// defaults:
    ///
    /// - The [interval](Self::interval) of outlier detection is 10 s.
    /// - The n-th ejection of an endpoint lasts n times 30 s, but at most 300 s. Each ejection is prolonged at random
    ///   by up to 10 % of its time.
    /// - At most 10 % of the endpoints are ejected at the same time.
    /// - An endpoint that answers with `Retry-After` gets no requests for the time in this header, up to 30 s.
    pub const fn new() -> Self {
        Self {
            consecutive_failures: None,
            consecutive_gateway_failures: None,
            consecutive_connection_failures: None,
            failures_within: None,
            success_rate: None,
            failure_percentage: None,
            latency: None,
            on_failure_limit: OnFailureLimit::Eject,
            interval: Duration::from_secs(10),
            base_ejection: Duration::from_secs(30),
            max_ejection: Duration::from_secs(300),
            growth: EjectionGrowth::Linear,
            jitter: 0.1,
            max_ejection_percent: 10,
            max_retry_after: Some(Duration::from_secs(30)),
            abandon_factor: None,
        }
    }

    /// Creates settings with Envoy's defaults: 5 consecutive failures or 5 consecutive gateway failures eject an
    /// endpoint, and the rule [`SuccessRate::new(1.9)`] is on. The rule [`FailurePercentage`] is off, as in Envoy.
    /// `Retry-After` is ignored.
    ///
    /// [`SuccessRate::new(1.9)`]: SuccessRate::new
    pub const fn envoy() -> Self {
        Self {
            consecutive_failures: Some(5),
            consecutive_gateway_failures: Some(5),
            success_rate: Some(SuccessRate::new(1.9)),
            max_retry_after: None,
            ..Self::new()
        }
    }

    /// Creates settings with gRPC's defaults (proposal A50): the rules [`SuccessRate::new(1.9)`] and
    /// [`FailurePercentage::new(85)`] are on. `Retry-After` is ignored.
    ///
    /// [`SuccessRate::new(1.9)`]: SuccessRate::new
    /// [`FailurePercentage::new(85)`]: FailurePercentage::new
    pub const fn grpc() -> Self {
        Self {
            success_rate: Some(SuccessRate::new(1.9)),
            failure_percentage: Some(FailurePercentage::new(85)),
            max_retry_after: None,
            ..Self::new()
        }
    }

    /// Creates settings with the defaults of linkerd's circuit breaker: 7 consecutive failures eject an endpoint. The
    /// first ejection lasts 1 s. Each further ejection lasts twice as long as the one before, up to 60 s. Each ejection
    /// is prolonged at random by up to 50 % of its time. All endpoints may be ejected at the same time. `Retry-After`
    /// is ignored.
    pub const fn linkerd() -> Self {
        Self {
            consecutive_failures: Some(7),
            base_ejection: Duration::from_secs(1),
            max_ejection: Duration::from_secs(60),
            growth: EjectionGrowth::Doubling,
            jitter: 0.5,
            max_ejection_percent: 100,
            max_retry_after: None,
            ..Self::new()
        }
    }

    /// Creates settings with nginx's rule: an endpoint that has `max_fails` failed requests within `fail_timeout` is
    /// ejected for `fail_timeout`. All endpoints may be ejected at the same time. `Retry-After` is ignored.
    ///
    /// nginx's defaults are `max_fails` 1 and `fail_timeout` 10 s. The preset with the name `nginx` uses these values.
    /// Range: `max_fails` of 1 or more, and `fail_timeout` above 0, up to 365 days. [`validate`](Self::validate)
    /// rejects other values.
    pub const fn nginx(max_fails: u32, fail_timeout: Duration) -> Self {
        Self {
            failures_within: Some((max_fails, fail_timeout)),
            base_ejection: fail_timeout,
            max_ejection: fail_timeout,
            jitter: 0.0,
            max_ejection_percent: 100,
            max_retry_after: None,
            ..Self::new()
        }
    }

    /// Sets the number of consecutive failed requests after which an endpoint is ejected. Failures of all kinds count.
    /// A successful request sets the count to 0. [`on_failure_limit`](Self::on_failure_limit) can set another action
    /// than an ejection. Minimum: 1; [`validate`](Self::validate) rejects 0. Default: the rule is off.
    pub const fn consecutive_failures(mut self, failures: u32) -> Self {
        self.consecutive_failures = Some(failures);
        self
    }

    /// Sets the number of consecutive gateway failures after which an endpoint is ejected. Gateway failures are:
    ///
    /// - responses with status 502, 503 or 504, except a 503 with a `Retry-After` that is
    ///   [obeyed](Self::max_retry_after)
    /// - responses with gRPC `UNAVAILABLE`
    /// - [connection failures](Self::consecutive_connection_failures)
    ///
    /// A success sets the count to 0, and so does a failure that is not a gateway failure.
    /// [`on_failure_limit`](Self::on_failure_limit) can set another action than an ejection. Minimum: 1;
    /// [`validate`](Self::validate) rejects 0. Default: the rule is off.
    pub const fn consecutive_gateway_failures(mut self, failures: u32) -> Self {
        self.consecutive_gateway_failures = Some(failures);
        self
    }

    /// Sets the number of consecutive connection failures after which an endpoint is ejected. A request is a connection
    /// failure if no connection could be made, if the connection broke, or if the request timed out. A success sets the
    /// count to 0, and so does a failure of another kind. [`on_failure_limit`](Self::on_failure_limit) can set another
    /// action than an ejection. Minimum: 1; [`validate`](Self::validate) rejects 0. Default: the rule is off.
    pub const fn consecutive_connection_failures(mut self, failures: u32) -> Self {
        self.consecutive_connection_failures = Some(failures);
        self
    }

    /// Turns on the rule that ejects an endpoint after `failures` failed requests within `time`. Failures of all kinds
    /// count. Successful requests do not change the count. [`on_failure_limit`](Self::on_failure_limit) can set another
    /// action than an ejection. Default: the rule is off.
    ///
    /// `time` starts with the first failed request. When `time` is over and there were fewer than `failures` failed
    /// requests, the next failed request starts a new count and a new `time`.
    ///
    /// Range: `failures` of 1 or more, and a `time` above 0, up to 365 days. [`validate`](Self::validate) rejects other
    /// values.
    pub const fn failures_within(mut self, failures: u32, time: Duration) -> Self {
        self.failures_within = Some((failures, time));
        self
    }

    /// Turns on the rule [`SuccessRate`], which ejects an endpoint if its success rate is far below the mean success
    /// rate of the compared endpoints. Default: the rule is off.
    pub const fn success_rate(mut self, rule: SuccessRate) -> Self {
        self.success_rate = Some(rule);
        self
    }

    /// Turns on the rule [`FailurePercentage`], which ejects endpoints at which a large percentage of the requests
    /// fail. Default: the rule is off.
    pub const fn failure_percentage(mut self, rule: FailurePercentage) -> Self {
        self.failure_percentage = Some(rule);
        self
    }

    /// Turns on the rule [`LatencyOutlier`], which ejects endpoints that are much slower than the others, measured by
    /// the time to the first byte. Default: the rule is off.
    pub const fn latency(mut self, rule: LatencyOutlier) -> Self {
        self.latency = Some(rule);
        self
    }

    /// Sets what happens when an endpoint reaches one of these failure limits:
    /// [`consecutive_failures`](Self::consecutive_failures),
    /// [`consecutive_gateway_failures`](Self::consecutive_gateway_failures),
    /// [`consecutive_connection_failures`](Self::consecutive_connection_failures) or
    /// [`failures_within`](Self::failures_within). Default: [`OnFailureLimit::Eject`].
    pub const fn on_failure_limit(mut self, action: OnFailureLimit) -> Self {
        self.on_failure_limit = action;
        self
    }

    /// Sets the length of the interval over which outlier detection counts successes and failures and measures
    /// latencies. At the end of each interval, the rules [`SuccessRate`], [`FailurePercentage`] and [`LatencyOutlier`]
    /// eject endpoints. Range: above 0, up to 365 days; [`validate`](Self::validate) rejects other values. Default:
    /// 10 s.
    ///
    /// Outlier detection also stores a number of past ejections for each endpoint. This number determines how long the
    /// next ejection of the endpoint lasts (see [`growth`](Self::growth)). If an endpoint is up at the end of an
    /// interval, its number decreases by one, as in gRPC's proposal A50. Up means neither ejected, nor paused by
    /// `Retry-After`, nor on probation.
    pub const fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Sets how long the first ejection of an endpoint lasts, before [`jitter`](Self::jitter) is added.
    /// [`growth`](Self::growth) sets how long later ejections last. Range: above 0, up to
    /// [`max_ejection`](Self::max_ejection); [`validate`](Self::validate) rejects other values. Default: 30 s.
    pub const fn base_ejection(mut self, time: Duration) -> Self {
        self.base_ejection = time;
        self
    }

    /// Sets the maximum time of an ejection, before [`jitter`](Self::jitter) is added. Range:
    /// [`base_ejection`](Self::base_ejection) to 365 days; [`validate`](Self::validate) rejects other values. Default:
    /// 300 s.
    pub const fn max_ejection(mut self, time: Duration) -> Self {
        self.max_ejection = time;
        self
    }

    /// Sets how the ejection time grows if the same endpoint is ejected several times. Default:
    /// [`EjectionGrowth::Linear`].
    pub const fn growth(mut self, growth: EjectionGrowth) -> Self {
        self.growth = growth;
        self
    }

    /// Sets by how much each ejection may be prolonged at random, as a fraction of its time. With 0.1, an ejection of
    /// 30 s lasts from 30 s to 33 s. Without jitter, endpoints that were ejected together would get requests again at
    /// the same moment. Range: 0 (no jitter) to 1; [`validate`](Self::validate) rejects other values. Default: 0.1.
    pub const fn jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter;
        self
    }

    /// Sets the maximum percentage of the pool's endpoints that may be ejected at the same time. The resulting number
    /// of endpoints is rounded down, but it is at least one, even if `percent` is 0. Example: with 25 endpoints and the
    /// default of 10 %, at most two endpoints are ejected at the same time. Range: 0 to 100;
    /// [`validate`](Self::validate) rejects other values. Default: 10.
    ///
    /// - An endpoint that is paused by [`Retry-After`](Self::max_retry_after) counts as ejected.
    /// - An endpoint on [probation](equipoise_core::Availability::Probation) after an ejection counts as ejected.
    /// - An ejected endpoint does not count while another source, such as a failed check, keeps requests from it.
    pub const fn max_ejection_percent(mut self, percent: u32) -> Self {
        self.max_ejection_percent = percent;
        self
    }

    /// Sets the maximum time for which an endpoint gets no requests because of the header `Retry-After`. With `None`,
    /// the header is ignored. Default: 30 s. The presets ignore the header, like the software that they are named
    /// after.
    ///
    /// An endpoint that answers 429 or 503 with a `Retry-After` in seconds is paused: it gets no requests for that
    /// time, or for `time` if `time` is shorter. If [`max_ejection_percent`](Self::max_ejection_percent) of the
    /// endpoints are ejected already, the endpoint is not paused. A server may send 429 because one client has exceeded
    /// its rate limit, although the server could answer other clients. If your servers have such limits, use `None`.
    ///
    /// If the header is ignored, or if its value is 0 or a date, the status decides:
    ///
    /// - A 503 counts as a gateway failure ([`Verdict::Unavailable`](equipoise_core::Verdict::Unavailable)).
    /// - A 429 counts neither as a failure nor as a success
    ///   ([`Verdict::Overloaded`](equipoise_core::Verdict::Overloaded)).
    ///
    /// If the endpoint is on [probation](equipoise_core::Availability::Probation), a 503 always counts as a failure.
    pub const fn max_retry_after(mut self, time: Option<Duration>) -> Self {
        self.max_retry_after = time;
        self
    }

    /// Sets the factor for abandoned requests. A caller abandons a request by dropping it before the first byte of the
    /// response. If the caller has waited for at least `factor` times the usual time to the first byte, the request
    /// counts as a [timeout](equipoise_core::Failure::Timeout). Range: 1 or more; [`validate`](Self::validate) rejects
    /// other values. Default: `None`, which means that abandoned requests do not count.
    ///
    /// The usual time to the first byte is a moving average over the responses of the same endpoint. Each new response
    /// has a weight of 1/16. If the endpoint has not answered yet, the largest average of all endpoints in the pool is
    /// used. If no endpoint has answered yet, the abandoned request does not count. Use a factor that slow but
    /// successful responses rarely reach, such as 10.
    ///
    /// The setting is off by default because callers could abuse it: a client could send slow requests and abandon
    /// them, until healthy endpoints are ejected. Turn the setting on if callers are trusted, for instance in the
    /// application's own balancer. A timeout for each attempt, in a layer below the balancer, detects slow endpoints
    /// without this risk. Envoy, HAProxy and nginx support only such a timeout.
    pub const fn abandon_factor(mut self, factor: Option<f64>) -> Self {
        self.abandon_factor = factor;
        self
    }

    /// Validates the settings of outlier detection. [`Machine::new`](crate::machine::Machine::new) calls this method.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first invalid setting.
    pub fn validate(&self) -> Result<(), InvalidHealth> {
        let counts = [
            ("consecutive_failures", self.consecutive_failures),
            ("consecutive_gateway_failures", self.consecutive_gateway_failures),
            ("consecutive_connection_failures", self.consecutive_connection_failures),
            ("failures_within", self.failures_within.map(|(count, _)| count)),
        ];
        for (setting, count) in counts {
            if count == Some(0) {
                return Err(InvalidHealth::new(setting, 0, "it takes at least one failure"));
            }
        }
        let times = [
            ("failures_within", self.failures_within.map(|(_, time)| time)),
            ("interval", Some(self.interval)),
            ("base_ejection", Some(self.base_ejection)),
            ("max_ejection", Some(self.max_ejection)),
        ];
        for (setting, time) in times {
            if let Some(time) = time.filter(|time| time.is_zero() || *time > MAX_TIME) {
                return Err(InvalidHealth::time(setting, time, "use a time above 0, at most 365 days"));
            }
        }
        if self.max_ejection < self.base_ejection {
            return Err(InvalidHealth::time("max_ejection", self.max_ejection, "use at least base_ejection"));
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return Err(InvalidHealth::new("jitter", self.jitter, "use a fraction from 0 to 1"));
        }
        if self.max_ejection_percent > 100 {
            let percent = self.max_ejection_percent;
            return Err(InvalidHealth::new("max_ejection_percent", percent, "use at most 100 percent"));
        }
        if let Some(rule) = self.success_rate.filter(|rule| !(rule.deviations > 0.0 && rule.deviations.is_finite())) {
            return Err(InvalidHealth::new("success_rate", rule.deviations, "use deviations above 0"));
        }
        if let Some(rule) = self.failure_percentage.filter(|rule| !(1..=100).contains(&rule.percent)) {
            return Err(InvalidHealth::new("failure_percentage", rule.percent, "use from 1 to 100 percent"));
        }
        if let Some(rule) = self.latency.filter(|rule| !(rule.factor > 1.0 && rule.factor.is_finite())) {
            return Err(InvalidHealth::new("latency", rule.factor, "use a factor above 1"));
        }
        if let Some(factor) = self.abandon_factor.filter(|factor| !(*factor >= 1.0 && factor.is_finite())) {
            return Err(InvalidHealth::new("abandon_factor", factor, "use a factor of 1 or more"));
        }
        Ok(())
    }

    /// The time of the n-th ejection of an endpoint, before jitter is added. The first ejection has n = 1.
    pub(crate) fn ejection_time(&self, n: u32) -> Duration {
        let factor = match self.growth {
            EjectionGrowth::Linear => n.max(1),
            EjectionGrowth::Doubling => 1u32.checked_shl(n.saturating_sub(1)).unwrap_or(u32::MAX),
        };
        self.base_ejection.saturating_mul(factor).min(self.max_ejection)
    }

    /// Whether a rule needs [`IntervalCounts`](crate::machine::IntervalCounts) at the end of each interval.
    pub(crate) fn needs_counts(&self) -> bool {
        self.success_rate.is_some() || self.failure_percentage.is_some() || self.latency.is_some()
    }
}

impl Default for Outliers {
    fn default() -> Self {
        Self::new()
    }
}

/// Parses the name of a preset: `envoy`, `grpc`, `linkerd` or `nginx`. The preset `nginx` ejects an endpoint for 10 s
/// after one failure.
impl FromStr for Outliers {
    type Err = UnknownPreset;

    fn from_str(name: &str) -> Result<Self, UnknownPreset> {
        match name {
            "envoy" => Ok(Self::envoy()),
            "grpc" => Ok(Self::grpc()),
            "linkerd" => Ok(Self::linkerd()),
            "nginx" => Ok(Self::nginx(1, Duration::from_secs(10))),
            other => {
                let known = "there are envoy, grpc, linkerd and nginx";
                Err(UnknownPreset::new(other, "outlier detection", known))
            }
        }
    }
}
