use std::{str::FromStr, time::Duration};

use super::{InvalidHealth, UnknownPreset};

/// When the probes of a check run, and how many consecutive results change the state of an endpoint.
///
/// ```
/// use std::time::Duration;
///
/// use equipoise_health::Schedule;
///
/// let schedule = Schedule::new().interval(Duration::from_secs(10)).fall(5);
/// assert!(schedule.validate().is_ok());
/// assert!(Schedule::new().rise(0).validate().is_err());
/// ```
///
/// With the feature `serde`, a schedule is read from the name of the only preset, `"haproxy"`, or from a table:
///
/// - The fields of the table have the names of the setter methods. All fields are optional.
/// - If the table has the field `preset`, settings without a field have the values of this preset.
/// - `fast_interval = "off"` turns off the fast interval, so that the normal interval is used.
/// - Unknown fields and invalid settings are errors.
///
/// A schedule is serialized as a table.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct Schedule {
    pub(crate) interval: Duration,
    pub(crate) fast_interval: Option<Duration>,
    pub(crate) down_interval: Option<Duration>,
    pub(crate) timeout: Duration,
    pub(crate) rise: u32,
    pub(crate) fall: u32,
    pub(crate) jitter: f64,
    pub(crate) initial_state: InitialState,
    pub(crate) port: Option<u16>,
}

/// The state of an endpoint before its first probe has ended. HAProxy calls it `init-state`.
///
/// With the feature `serde`, the value is written as `"up"` or `"must-pass"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum InitialState {
    /// The endpoint counts as up until its first probe ends. If that probe passes, the endpoint stays up. If that probe
    /// fails, the endpoint is unhealthy at once, as in HAProxy: the setting [`fall`](Schedule::fall) does not apply to
    /// the first probe.
    #[default]
    Up,
    /// The endpoint is in maintenance until its first probe ends. Meanwhile it gets no requests, not even in a
    /// [panic](equipoise_core::PoolBuilder::panic_threshold), in which a pool also sends requests to unhealthy
    /// endpoints. If the first probe passes or is inconclusive, the endpoint is up. If the first probe fails, the
    /// endpoint is unhealthy until [`rise`](Schedule::rise) consecutive probes have passed.
    MustPass,
}

impl InitialState {
    /// Returns the name of this value in kebab case: `up` or `must-pass`. The name never changes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::MustPass => "must-pass",
        }
    }
}

impl Schedule {
    /// Creates a schedule with the default settings: interval 5 s, fast interval 1 s, timeout 2 s, rise 2, fall 3, and
    /// endpoints that are initially up. Each interval is shortened at random by up to 10 % (jitter 0.1).
    pub const fn new() -> Self {
        Self {
            interval: Duration::from_secs(5),
            fast_interval: Some(Duration::from_secs(1)),
            down_interval: None,
            timeout: Duration::from_secs(2),
            rise: 2,
            fall: 3,
            jitter: 0.1,
            initial_state: InitialState::Up,
            port: None,
        }
    }

    /// Creates a schedule with HAProxy's defaults: timeout 2 s, rise 2, fall 3, and endpoints that are initially up.
    /// The interval is always 2 s, whatever the state of the endpoint is, and it is not changed at random (jitter 0).
    pub const fn haproxy() -> Self {
        let interval = Duration::from_secs(2);
        Self { interval, fast_interval: None, down_interval: None, timeout: interval, jitter: 0.0, ..Self::new() }
    }

    /// Sets the time between the starts of two probes of an endpoint. Range: 1 ms to 365 days;
    /// [`validate`](Self::validate) rejects other values. Default: 5 s. Two other settings apply instead at times:
    ///
    /// - [`fast_interval`](Self::fast_interval) after a failed probe of an endpoint that is still up, and after a
    ///   passed probe of an endpoint that is still down. Some results in a row then contradict the state, but not
    ///   enough to change it.
    /// - [`down_interval`](Self::down_interval) after any other probe of an endpoint that is down.
    pub const fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Sets the time between the starts of two probes while the state of an endpoint may change soon: after a failed
    /// probe of an endpoint that is still up, and after a passed probe of an endpoint that is still down. If the fast
    /// interval is longer than [`interval`](Self::interval), `interval` is used instead. Range: 1 ms to 365 days;
    /// [`validate`](Self::validate) rejects other values. Default: 1 s.
    pub const fn fast_interval(mut self, interval: Duration) -> Self {
        self.fast_interval = Some(interval);
        self
    }

    /// Sets the time between the starts of two probes while an endpoint is down. Exception: after a passed probe,
    /// [`fast_interval`](Self::fast_interval) applies. Range: 1 ms to 365 days; [`validate`](Self::validate) rejects
    /// other values. Default: the same as [`interval`](Self::interval).
    pub const fn down_interval(mut self, interval: Duration) -> Self {
        self.down_interval = Some(interval);
        self
    }

    /// Sets the maximum duration of a probe. A probe that takes longer is dropped and counts as failed. If the check
    /// has [`OnTimeout::Ignore`](crate::probe::OnTimeout::Ignore), the probe is inconclusive instead. Range: 1 ms to
    /// 365 days; [`validate`](Self::validate) rejects other values. Default: 2 s.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how many consecutive probes of an endpoint must pass to change its state from down to up. Exception: the
    /// first probe of an endpoint decides the state alone (see [`InitialState`]). Minimum: 1;
    /// [`validate`](Self::validate) rejects 0. Default: 2.
    pub const fn rise(mut self, rise: u32) -> Self {
        self.rise = rise;
        self
    }

    /// Sets how many consecutive probes of an endpoint must fail to change its state from up to down. Exception: the
    /// first probe of an endpoint decides the state alone (see [`InitialState`]). Minimum: 1;
    /// [`validate`](Self::validate) rejects 0. Default: 3.
    pub const fn fall(mut self, fall: u32) -> Self {
        self.fall = fall;
        self
    }

    /// Sets by how much each interval may be shortened at random, as a fraction of the interval. With 0.1, an interval
    /// of 5 s lasts from 4.5 s to 5 s. Without jitter, several balancers might always probe an endpoint at the same
    /// time. Range: 0 (no jitter) to 0.5; [`validate`](Self::validate) rejects other values. Default: 0.1.
    pub const fn jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter;
        self
    }

    /// Sets the state of an endpoint before its first probe has ended. Default: [`InitialState::Up`].
    pub const fn initial_state(mut self, state: InitialState) -> Self {
        self.initial_state = state;
        self
    }

    /// Sets the port to which probes connect. Range: 1 to 65 535; [`validate`](Self::validate) rejects 0. Default: the
    /// port of the endpoint's address.
    pub const fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Validates the settings of the schedule. [`Machine::new`](crate::machine::Machine::new) calls this method for
    /// each check.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first invalid setting.
    pub fn validate(&self) -> Result<(), InvalidHealth> {
        let times = [
            ("interval", Some(self.interval)),
            ("fast_interval", self.fast_interval),
            ("down_interval", self.down_interval),
            ("timeout", Some(self.timeout)),
        ];
        for (setting, time) in times {
            if let Some(time) = time.filter(|time| !(MIN_TIME..=MAX_TIME).contains(time)) {
                return Err(InvalidHealth::time(setting, time, "use from 1 ms to 365 days"));
            }
        }
        if self.port == Some(0) {
            return Err(InvalidHealth::new("port", 0, "use a port from 1 to 65535"));
        }
        for (setting, count) in [("rise", self.rise), ("fall", self.fall)] {
            if count == 0 {
                return Err(InvalidHealth::new(setting, 0, "use 1 or more probes"));
            }
        }
        if !(0.0..=0.5).contains(&self.jitter) {
            return Err(InvalidHealth::new("jitter", self.jitter, "use a fraction from 0 to 0.5"));
        }
        Ok(())
    }

    /// The time between the starts of two probes while the state of the endpoint may change soon: the fast interval,
    /// if there is one and it is shorter than the normal interval.
    pub(crate) fn transition_interval(&self) -> Duration {
        self.fast_interval.map_or(self.interval, |fast| fast.min(self.interval))
    }

    /// The time between the starts of two probes while the endpoint is down.
    pub(crate) fn interval_while_down(&self) -> Duration {
        self.down_interval.unwrap_or(self.interval)
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self::new()
    }
}

/// Parses the name of a preset. The only preset is `haproxy`.
impl FromStr for Schedule {
    type Err = UnknownPreset;

    fn from_str(name: &str) -> Result<Self, UnknownPreset> {
        match name {
            "haproxy" => Ok(Self::haproxy()),
            other => Err(UnknownPreset::new(other, "schedules", "there is haproxy")),
        }
    }
}

/// The minimum of all times in a schedule. With an interval of 0, the health state machine would start probes in an
/// endless loop.
const MIN_TIME: Duration = Duration::from_millis(1);
/// The maximum of all times in the settings, so that sums of times do not overflow.
pub(super) const MAX_TIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);
