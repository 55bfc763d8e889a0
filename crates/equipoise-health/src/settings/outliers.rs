use std::{str::FromStr, time::Duration};

use super::{
    EjectionGrowth, FailurePercentage, InvalidHealth, LatencyOutlier, OnFailureLimit, SuccessRate, UnknownPreset,
    schedule::MAX_TIME,
};

/// The settings of outlier detection: which endpoints are ejected because of their requests, for how long, and how many at a
/// time.
///
/// All rules are off by default. The presets [`envoy`](Self::envoy), [`grpc`](Self::grpc), [`linkerd`](Self::linkerd) and
/// [`nginx`](Self::nginx) are starting points. They are also available by name:
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
/// With the feature `serde`, the settings are the name of a preset or a table whose fields are named like the methods. The
/// field `preset` names the preset that the other fields change. `"off"` turns off a rule, `max_retry_after` or
/// `abandon_factor`. Unknown fields and invalid settings are errors. Settings are serialized as a table.
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
    /// Settings without rules. The other settings have their defaults: an interval of 10 s, ejections of 30 s that grow
    /// linearly up to 300 s with a jitter of 10 %, at most 10 % of the endpoints ejected, and `Retry-After` up to 30 s.
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

    /// Envoy's defaults: 5 consecutive failures, 5 consecutive gateway failures, and [`SuccessRate::new(1.9)`]. Envoy's
    /// failure percentage is off by default, and so it is here. `Retry-After` is ignored.
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

    /// gRPC's defaults (proposal A50): the success rate as in Envoy, and a failure percentage of 85 % among at least 5
    /// endpoints with 50 requests. `Retry-After` is ignored.
    pub const fn grpc() -> Self {
        Self {
            success_rate: Some(SuccessRate::new(1.9)),
            failure_percentage: Some(FailurePercentage::new(85)),
            max_retry_after: None,
            ..Self::new()
        }
    }

    /// The defaults of linkerd's circuit breaker: 7 consecutive failures. The first ejection lasts 1 s, and each further one
    /// twice as long, up to 60 s, with a jitter of 50 %. All endpoints may be ejected. `Retry-After` is ignored.
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

    /// nginx's rule: `max_fails` failures within `fail_timeout` eject for `fail_timeout`. nginx's defaults are 1 and 10 s;
    /// the preset named `nginx` uses them. All endpoints may be ejected. `Retry-After` is ignored.
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

    /// Ejects an endpoint after this many consecutive failures of any kind. Minimum 1. Default: off.
    pub const fn consecutive_failures(mut self, failures: u32) -> Self {
        self.consecutive_failures = Some(failures);
        self
    }

    /// Ejects an endpoint after this many consecutive gateway failures: status 502, 503 or 504, gRPC `UNAVAILABLE`, and
    /// connection failures. Minimum 1. Default: off.
    ///
    /// A 503 whose `Retry-After` is [respected](Self::max_retry_after) is not counted.
    pub const fn consecutive_gateway_failures(mut self, failures: u32) -> Self {
        self.consecutive_gateway_failures = Some(failures);
        self
    }

    /// Ejects an endpoint after this many consecutive connection failures: requests that got no connection, whose connection
    /// broke, or that timed out. Minimum 1. Default: off.
    pub const fn consecutive_connection_failures(mut self, failures: u32) -> Self {
        self.consecutive_connection_failures = Some(failures);
        self
    }

    /// Ejects an endpoint after this many failures of any kind within `time`, even with successes between them. At least 1
    /// failure; a time above 0, up to 365 days. Default: off.
    pub const fn failures_within(mut self, failures: u32, time: Duration) -> Self {
        self.failures_within = Some((failures, time));
        self
    }

    /// Ejects endpoints whose success rate is far below the mean of all endpoints. Default: off.
    pub const fn success_rate(mut self, rule: SuccessRate) -> Self {
        self.success_rate = Some(rule);
        self
    }

    /// Ejects endpoints at which a large percentage of the requests fail. Default: off.
    pub const fn failure_percentage(mut self, rule: FailurePercentage) -> Self {
        self.failure_percentage = Some(rule);
        self
    }

    /// Ejects endpoints that are many times as slow as the median. Default: off.
    pub const fn latency(mut self, rule: LatencyOutlier) -> Self {
        self.latency = Some(rule);
        self
    }

    /// What happens when an endpoint reaches one of the limits of consecutive failures or of
    /// [`failures_within`](Self::failures_within). Default: [`OnFailureLimit::Eject`].
    pub const fn on_failure_limit(mut self, action: OnFailureLimit) -> Self {
        self.on_failure_limit = action;
        self
    }

    /// The interval over which success rates, failure percentages and latencies are measured. Above 0, up to 365 days.
    /// Default: 10 s.
    ///
    /// At the end of an interval, outliers are ejected. Then the number of past ejections decreases by one for each endpoint
    /// that is not ejected, so that its next ejection is shorter (as in gRPC's A50).
    pub const fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// The time of the first ejection of an endpoint. Above 0, at most [`max_ejection`](Self::max_ejection). Default: 30 s.
    pub const fn base_ejection(mut self, time: Duration) -> Self {
        self.base_ejection = time;
        self
    }

    /// The maximum time of an ejection, before [jitter](Self::jitter). At least [`base_ejection`](Self::base_ejection), up to
    /// 365 days. Default: 300 s.
    pub const fn max_ejection(mut self, time: Duration) -> Self {
        self.max_ejection = time;
        self
    }

    /// How the time of an ejection grows while an endpoint is ejected repeatedly. Default: [`EjectionGrowth::Linear`].
    pub const fn growth(mut self, growth: EjectionGrowth) -> Self {
        self.growth = growth;
        self
    }

    /// The jitter of ejections: each one lasts longer by a random fraction of up to this much. Range: 0 to 1. Default: 0.1.
    pub const fn jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter;
        self
    }

    /// The maximum percentage of endpoints that are out because of their requests alone, rounded down. Range: 0 to 100.
    /// Default: 10. One endpoint may always be out.
    pub const fn max_ejection_percent(mut self, percent: u32) -> Self {
        self.max_ejection_percent = percent;
        self
    }

    /// The maximum `Retry-After` time that is respected; longer times are cut to it. `None` ignores `Retry-After`.
    /// Default: 30 s; the presets ignore it, like the software they are named after.
    ///
    /// An endpoint that answers 429 or 503 with a `Retry-After` in seconds gets no requests for that time, unless
    /// [`max_ejection_percent`](Self::max_ejection_percent) is reached. A response does not say whether a limit of the
    /// endpoint or of one client was exceeded. If your servers limit individual clients, use `None`.
    ///
    /// If `Retry-After` is ignored, is 0 or is a date, a 503 counts as a gateway failure
    /// ([`Verdict::Unavailable`](equipoise_core::Verdict::Unavailable)) and a 429 does not count
    /// ([`Verdict::Overloaded`](equipoise_core::Verdict::Overloaded)). A 503 always fails a request on probation.
    pub const fn max_retry_after(mut self, time: Option<Duration>) -> Self {
        self.max_retry_after = time;
        self
    }

    /// Counts a request that its caller abandons as a [timeout](equipoise_core::Failure::Timeout) if it had waited for the
    /// first byte at least this many times as long as usual. At least 1. Default: `None`, which ignores abandoned requests.
    ///
    /// The usual time is a moving average over the endpoint's own responses, with a weight of 1/16 for each. If the endpoint
    /// has not answered yet, the largest average in the pool is used. If no endpoint has answered, nothing is counted. Use a
    /// factor that slow but successful responses rarely reach, such as 10.
    ///
    /// It is off by default because callers control it: a client can send slow requests and hang up, and so have healthy
    /// endpoints ejected. Turn it on if callers are trusted, for instance in a client's own balancer below the application's
    /// timeouts. An attempt timeout below the balancer gives the same signal without this risk; Envoy, HAProxy and nginx have
    /// only that.
    pub const fn abandon_factor(mut self, factor: Option<f64>) -> Self {
        self.abandon_factor = factor;
        self
    }

    /// Validates the settings.
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

    /// The time of the n-th consecutive ejection, before jitter.
    pub(crate) fn ejection_time(&self, n: u32) -> Duration {
        let factor = match self.growth {
            EjectionGrowth::Linear => n.max(1),
            EjectionGrowth::Doubling => 1u32.checked_shl(n.saturating_sub(1)).unwrap_or(u32::MAX),
        };
        self.base_ejection.saturating_mul(factor).min(self.max_ejection)
    }

    /// Whether a rule needs [`RequestCounts`](crate::machine::RequestCounts) at the end of each interval.
    pub(crate) fn needs_counts(&self) -> bool {
        self.success_rate.is_some() || self.failure_percentage.is_some() || self.latency.is_some()
    }
}

impl Default for Outliers {
    fn default() -> Self {
        Self::new()
    }
}

/// Parses the name of a preset: `envoy`, `grpc`, `linkerd` or `nginx`.
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
