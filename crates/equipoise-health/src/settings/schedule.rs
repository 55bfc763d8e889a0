use std::{str::FromStr, time::Duration};

use super::{InvalidHealth, UnknownPreset};

/// How often an endpoint is probed, and how many results change its state.
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
/// With the feature `serde` it is the name of the preset, `"haproxy"`, or a table whose fields are named like the methods.
/// All fields are optional. The field `preset` names the preset that the other fields change, and `fast_interval = "off"`
/// uses the normal interval. Unknown fields and invalid settings are errors. A schedule is serialized as a table.
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

/// The state of an endpoint before its first probe has ended: HAProxy's `init-state`.
///
/// With the feature `serde` it is `"up"` or `"must-pass"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum InitialState {
    /// The endpoint is up. The first probe decides: if it fails, the endpoint is down at once, whatever
    /// [`fall`](Schedule::fall) says (as in HAProxy).
    #[default]
    Up,
    /// The endpoint is in maintenance until one probe passes. It gets no requests, not even in a
    /// [panic](equipoise_core::PoolBuilder::panic_threshold).
    MustPass,
}

impl InitialState {
    /// A stable label in kebab case: `up` or `must-pass`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::MustPass => "must-pass",
        }
    }
}

impl Schedule {
    /// The default schedule: interval 5 s, fast interval 1 s, timeout 2 s, rise 2, fall 3, jitter 0.1, initially up.
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

    /// HAProxy's defaults: interval 2 s in all states, timeout 2 s, rise 2, fall 3, no jitter, initially up.
    pub const fn haproxy() -> Self {
        let interval = Duration::from_secs(2);
        Self { interval, fast_interval: None, down_interval: None, timeout: interval, jitter: 0.0, ..Self::new() }
    }

    /// The time between the starts of two probes of an endpoint. Range: 1 ms to 365 days. Default: 5 s.
    pub const fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// The interval during a transition: the endpoint is up and its last probe failed, or it is down and its last probe
    /// passed. Range: 1 ms to 365 days. Default: 1 s. If it is longer than the interval, the interval is used.
    pub const fn fast_interval(mut self, interval: Duration) -> Self {
        self.fast_interval = Some(interval);
        self
    }

    /// The interval while the endpoint is down. Range: 1 ms to 365 days. Default: the normal interval.
    pub const fn down_interval(mut self, interval: Duration) -> Self {
        self.down_interval = Some(interval);
        self
    }

    /// The maximum time of a probe. A probe that takes longer is dropped, and counts as failed unless the check has
    /// [`OnTimeout::Ignore`](crate::probe::OnTimeout::Ignore). Range: 1 ms to 365 days. Default: 2 s.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The number of consecutive probes that must pass before an endpoint that is down is up. Minimum 1. Default: 2.
    pub const fn rise(mut self, rise: u32) -> Self {
        self.rise = rise;
        self
    }

    /// The number of consecutive probes that must fail before an endpoint that is up is down. Minimum 1. Default: 3.
    pub const fn fall(mut self, fall: u32) -> Self {
        self.fall = fall;
        self
    }

    /// The jitter of the interval: each one is shorter by a random fraction of up to this much, so that several balancers do
    /// not probe at the same time. Range: 0 to 0.5. Default: 0.1.
    pub const fn jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter;
        self
    }

    /// The state of an endpoint before its first probe has ended. Default: [`InitialState::Up`].
    pub const fn initial_state(mut self, state: InitialState) -> Self {
        self.initial_state = state;
        self
    }

    /// Probes this port instead of the endpoint's own. Range: 1 to 65 535. Default: the endpoint's own port.
    pub const fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Validates the settings.
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

    /// The interval during a transition.
    pub(crate) fn transition_interval(&self) -> Duration {
        self.fast_interval.map_or(self.interval, |fast| fast.min(self.interval))
    }

    /// The interval while the endpoint is down.
    pub(crate) fn interval_while_down(&self) -> Duration {
        self.down_interval.unwrap_or(self.interval)
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self::new()
    }
}

/// Parses the name of a preset. The only one is `haproxy`.
impl FromStr for Schedule {
    type Err = UnknownPreset;

    fn from_str(name: &str) -> Result<Self, UnknownPreset> {
        match name {
            "haproxy" => Ok(Self::haproxy()),
            other => Err(UnknownPreset::new(other, "schedules", "there is haproxy")),
        }
    }
}

/// The minimum of all times in a schedule. A machine with an interval of 0 would probe endlessly.
const MIN_TIME: Duration = Duration::from_millis(1);
/// The maximum of all times in the settings, so that sums of times do not overflow.
pub(super) const MAX_TIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);
