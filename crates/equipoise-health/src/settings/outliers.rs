use std::{str::FromStr, time::Duration};

use super::{InvalidHealth, UnknownPreset, schedule::LONGEST};

/// When an endpoint is ejected for how it treats requests, for how long, and how many may be.
///
/// Every rule is off until it is set; the presets [`envoy`](Self::envoy), [`grpc`](Self::grpc),
/// [`linkerd`](Self::linkerd) and [`nginx`](Self::nginx) are starting points, also by name.
///
/// ```
/// use equipoise_health::Outliers;
///
/// let outliers: Outliers = "envoy".parse()?;
/// assert_eq!(outliers, Outliers::envoy());
/// let stricter = outliers.consecutive_failures(3);
/// assert!(stricter.check().is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// With the feature `serde` it is read from the name of a preset, or from a table whose fields are called as the methods
/// here; `preset` says which preset they change, and `"off"` turns a rule or `longest_pause` off. Unknown fields and
/// settings that are impossible are refused. It is written as a table.
///
/// ```
/// # #[cfg(feature = "serde")] {
/// use equipoise_health::Outliers;
/// use std::time::Duration;
///
/// let outliers: Outliers = serde_json::from_str(
///     r#"{ "preset": "envoy", "consecutive_gateway": "off", "ejection": { "base": "10s", "longest": "1m" } }"#,
/// )?;
/// let (base, longest) = (Duration::from_secs(10), Duration::from_secs(60));
/// let success_rate = equipoise_health::SuccessRate { deviations: 1.9, hosts: 5, volume: 100 };
/// let same = Outliers::new().consecutive_failures(5).success_rate(success_rate).longest_pause(None);
/// assert_eq!(outliers, same.ejection(base, longest));
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct Outliers {
    pub(crate) failures: Option<u32>,
    pub(crate) gateway: Option<u32>,
    pub(crate) connection: Option<u32>,
    pub(crate) within: Option<(u32, Duration)>,
    pub(crate) success_rate: Option<SuccessRate>,
    pub(crate) failure_percentage: Option<FailurePercentage>,
    pub(crate) latency: Option<LatencyOutlier>,
    pub(crate) on_trip: OnTrip,
    pub(crate) interval: Duration,
    pub(crate) base: Duration,
    pub(crate) longest: Duration,
    pub(crate) growth: Growth,
    pub(crate) jitter: f64,
    pub(crate) most_percent: u32,
    pub(crate) longest_pause: Option<Duration>,
    pub(crate) abandoned: Option<f64>,
}

/// What follows when there were too many failures in a row, or within a time. All but the first speak through the
/// [checks](crate::Source::Checks), which bring the endpoint back: HAProxy's `on-error`, with `observe layer7`. A pool
/// without checks ejects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(rename_all = "kebab-case"))]
pub enum OnTrip {
    /// The endpoint is ejected for a time.
    #[default]
    Eject,
    /// The next look comes after the [fast](crate::Schedule::fast) interval.
    LookSoon,
    /// It counts as a look that failed.
    FailCheck,
    /// It counts as so many that one more takes the endpoint down.
    SuddenDeath,
    /// The endpoint is down.
    MarkDown,
}

/// How ejections grow with each that follows another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(rename_all = "kebab-case"))]
pub enum Growth {
    /// The base time times how many there were.
    Linear,
    /// Twice as long each time.
    Doubling,
}

/// Ejects endpoints whose success rate lies far below the mean of all.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(deny_unknown_fields))]
pub struct SuccessRate {
    /// By how many standard deviations.
    pub deviations: f64,
    /// Only among at least so many endpoints that had
    pub hosts: usize,
    /// at least so many requests each in the interval.
    pub volume: u64,
}

/// Ejects endpoints of whose requests too many fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(deny_unknown_fields))]
pub struct FailurePercentage {
    /// So many percent or more.
    pub percent: u32,
    /// Only among at least so many endpoints that had
    pub hosts: usize,
    /// at least so many requests each in the interval.
    pub volume: u64,
}

/// Ejects endpoints whose mean time to the first byte is a multiple of the others'.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(deny_unknown_fields))]
pub struct LatencyOutlier {
    /// So many times the median of all endpoints' means, or more.
    pub factor: f64,
    /// Only among at least so many endpoints that had
    pub hosts: usize,
    /// at least so many answers each in the interval.
    pub volume: u64,
}

impl Outliers {
    /// No rule; ejections of 30 s times how many there were in a row, at most 300 s, of at most 10 % of the endpoints;
    /// windows of 10 s; `Retry-After` is heeded up to 30 s.
    pub const fn new() -> Self {
        Self {
            failures: None,
            gateway: None,
            connection: None,
            within: None,
            success_rate: None,
            failure_percentage: None,
            latency: None,
            on_trip: OnTrip::Eject,
            interval: Duration::from_secs(10),
            base: Duration::from_secs(30),
            longest: Duration::from_secs(300),
            growth: Growth::Linear,
            jitter: 0.1,
            most_percent: 10,
            longest_pause: Some(Duration::from_secs(30)),
            abandoned: None,
        }
    }

    /// Envoy's defaults: 5 failures in a row, 5 gateway failures in a row; success rates below mean − 1.9 standard
    /// deviations among 5 endpoints with 100 requests. (Its failure percentage is off by default.)
    pub const fn envoy() -> Self {
        Self {
            failures: Some(5),
            gateway: Some(5),
            success_rate: Some(SuccessRate { deviations: 1.9, hosts: 5, volume: 100 }),
            longest_pause: None,
            ..Self::new()
        }
    }

    /// gRPC's (A50): success rates as Envoy, and failure percentages of 85 % among 5 endpoints with 50 requests.
    pub const fn grpc() -> Self {
        Self {
            success_rate: Some(SuccessRate { deviations: 1.9, hosts: 5, volume: 100 }),
            failure_percentage: Some(FailurePercentage { percent: 85, hosts: 5, volume: 50 }),
            longest_pause: None,
            ..Self::new()
        }
    }

    /// linkerd's circuit breaker: 7 failures in a row; out for 1 s, twice as long each time, at most 60 s, with 50 %
    /// jitter. Any number of endpoints may be out.
    pub const fn linkerd() -> Self {
        Self {
            failures: Some(7),
            base: Duration::from_secs(1),
            longest: Duration::from_secs(60),
            growth: Growth::Doubling,
            jitter: 0.5,
            most_percent: 100,
            longest_pause: None,
            ..Self::new()
        }
    }

    /// nginx's: `max_fails` failures within `fail_timeout`, out for `fail_timeout`. Any number may be out. nginx's own
    /// defaults are 1 and 10 s.
    pub const fn nginx(max_fails: u32, fail_timeout: Duration) -> Self {
        Self {
            within: Some((max_fails, fail_timeout)),
            base: fail_timeout,
            longest: fail_timeout,
            jitter: 0.0,
            most_percent: 100,
            longest_pause: None,
            ..Self::new()
        }
    }

    /// Ejects after so many failures of any kind in a row.
    pub const fn consecutive_failures(mut self, failures: u32) -> Self {
        self.failures = Some(failures);
        self
    }

    /// Ejects after so many gateway failures (502, 503, 504, gRPC `UNAVAILABLE`) in a row, or failures to reach it at all. A
    /// 503 with a `Retry-After` that is [heeded](Self::longest_pause) is none.
    pub const fn consecutive_gateway(mut self, failures: u32) -> Self {
        self.gateway = Some(failures);
        self
    }

    /// Ejects after so many requests in a row for which there was no connection, or whose connection broke or timed out.
    pub const fn consecutive_connection(mut self, failures: u32) -> Self {
        self.connection = Some(failures);
        self
    }

    /// Ejects after so many failures within a time, successes between them or not.
    pub const fn failures_within(mut self, failures: u32, time: Duration) -> Self {
        self.within = Some((failures, time));
        self
    }

    /// Ejects those whose success rate lies far below the others'.
    pub const fn success_rate(mut self, rule: SuccessRate) -> Self {
        self.success_rate = Some(rule);
        self
    }

    /// Ejects those of whose requests too many fail.
    pub const fn failure_percentage(mut self, rule: FailurePercentage) -> Self {
        self.failure_percentage = Some(rule);
        self
    }

    /// Ejects those that are many times slower than the others.
    pub const fn latency(mut self, rule: LatencyOutlier) -> Self {
        self.latency = Some(rule);
        self
    }

    /// What follows when there were too many failures in a row, or within a time; ejection by default.
    pub const fn on_trip(mut self, what: OnTrip) -> Self {
        self.on_trip = what;
        self
    }

    /// The window over which rates are taken; by default 10 s. At its end, after the endpoints that stand out in it have been
    /// ejected, each endpoint that serves has one ejection forgiven, so that its next one is shorter (as in gRPC's A50).
    pub const fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// How long the first ejection lasts, and the longest.
    pub const fn ejection(mut self, base: Duration, longest: Duration) -> Self {
        self.base = base;
        self.longest = longest;
        self
    }

    /// How ejections grow.
    pub const fn growth(mut self, growth: Growth) -> Self {
        self.growth = growth;
        self
    }

    /// Each ejection is longer by up to this part of it, by chance, from 0 to 1.
    pub const fn jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter;
        self
    }

    /// At most so many percent of the endpoints are out at a time because of their requests alone; one always may be.
    pub const fn most_percent(mut self, percent: u32) -> Self {
        self.most_percent = percent;
        self
    }

    /// The longest `Retry-After` that is heeded; by default 30 s, and none (`None`) in the presets, as in what they are named
    /// after. An endpoint that answers 429 or 503 with a `Retry-After` in seconds gets no requests for that time, unless
    /// [the maximum](Self::most_percent) of endpoints is out already. Since no response says whose limit was reached, that
    /// goes for all requests: where clients have limits of their own, heed none.
    ///
    /// Where it is not heeded (or is 0, or a date), a 503 with `Retry-After` counts as a gateway failure
    /// ([`Verdict::Unavailable`](equipoise_core::Verdict::Unavailable)), a 429 as nothing
    /// ([`Verdict::Overloaded`](equipoise_core::Verdict::Overloaded)). A request on probation that is answered with such a
    /// 503 has failed in either case.
    pub const fn longest_pause(mut self, longest: Option<Duration>) -> Self {
        self.longest_pause = longest;
        self
    }

    /// Counts requests that callers give up as [timeouts](equipoise_core::Failure::Timeout), if they had waited for the
    /// first byte at least this many times as long as usual; as many as the other rules ask for then eject the endpoint,
    /// and one of them fails its probation. `None`, the default, ignores them.
    ///
    /// The usual time is a moving average over the endpoint's own answers (a sixteenth of the difference for each). Where it
    /// has not answered yet, the slowest average among the pool's endpoints counts; where no endpoint has, nothing is
    /// counted. Use a factor that a slow but successful answer rarely reaches, such as 10.
    ///
    /// It is off by default because the decision is then the caller's: a client can make requests that take long, hang up
    /// and so have endpoints ejected that work. Turn it on where callers can be trusted, as in a client's own balancer below
    /// the application's timeouts. An attempt timeout below the balancer needs no such trust and tells the same; Envoy,
    /// HAProxy and nginx have only that.
    pub const fn abandoned(mut self, times_usual: Option<f64>) -> Self {
        self.abandoned = times_usual;
        self
    }

    /// Whether it makes sense.
    ///
    /// # Errors
    ///
    /// When it does not; the error names the setting.
    pub fn check(&self) -> Result<(), InvalidHealth> {
        let counts = [
            ("consecutive_failures", self.failures),
            ("consecutive_gateway", self.gateway),
            ("consecutive_connection", self.connection),
            ("failures_within", self.within.map(|(count, _)| count)),
        ];
        for (setting, count) in counts {
            if count == Some(0) {
                return Err(InvalidHealth::new(setting, 0, "it takes at least one failure"));
            }
        }
        let times = [
            ("failures_within", self.within.map(|(_, time)| time)),
            ("interval", Some(self.interval)),
            ("ejection", Some(self.base)),
            ("ejection", Some(self.longest)),
        ];
        for (setting, time) in times {
            if let Some(time) = time.filter(|time| time.is_zero() || *time > LONGEST) {
                return Err(InvalidHealth::time(setting, time, "it takes some time, at most 365 days"));
            }
        }
        if self.longest < self.base {
            return Err(InvalidHealth::time("ejection", self.longest, "the longest is at least the first"));
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return Err(InvalidHealth::new("jitter", self.jitter, "it is a part of the time, from 0 to 1"));
        }
        if self.most_percent > 100 {
            return Err(InvalidHealth::new("most_percent", self.most_percent, "there are no more than 100 percent"));
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
        if let Some(times) = self.abandoned.filter(|times| !(*times >= 1.0 && times.is_finite())) {
            return Err(InvalidHealth::new("abandoned", times, "use a factor of 1 or more"));
        }
        Ok(())
    }

    /// How long the ejection lasts that is the `times`th in a row, without jitter.
    pub(crate) fn duration(&self, times: u32) -> Duration {
        let factor = match self.growth {
            Growth::Linear => times.max(1),
            Growth::Doubling => 1u32.checked_shl(times.saturating_sub(1)).unwrap_or(u32::MAX),
        };
        self.base.saturating_mul(factor).min(self.longest)
    }

    /// Whether rates are taken at all.
    pub(crate) fn counts(&self) -> bool {
        self.success_rate.is_some() || self.failure_percentage.is_some() || self.latency.is_some()
    }
}

impl Default for Outliers {
    fn default() -> Self {
        Self::new()
    }
}

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
