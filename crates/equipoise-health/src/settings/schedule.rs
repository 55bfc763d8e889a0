use std::{str::FromStr, time::Duration};

use super::{InvalidHealth, UnknownPreset};

/// When an endpoint is looked at, and how many looks it takes to change one's mind.
///
/// ```
/// use std::time::Duration;
/// use equipoise_health::Schedule;
///
/// let patient = Schedule::new().interval(Duration::from_secs(10)).fall(5);
/// assert!(patient.check().is_ok());
/// assert!(Schedule::new().rise(0).check().is_err());
/// ```
///
/// With the feature `serde` it is read from `"haproxy"`, or from a table whose fields are called as the methods here, all of
/// them optional; `preset` says which preset they change, and `fast = "off"` leaves only the interval. Unknown fields and
/// settings that are impossible are refused. It is written as a table.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct Schedule {
    pub(crate) interval: Duration,
    pub(crate) fast: Option<Duration>,
    pub(crate) down: Option<Duration>,
    pub(crate) timeout: Duration,
    pub(crate) rise: u32,
    pub(crate) fall: u32,
    pub(crate) jitter: f64,
    pub(crate) start: Start,
    pub(crate) port: Option<u16>,
}

/// What is thought of an endpoint before the first look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(rename_all = "kebab-case"))]
pub enum Start {
    /// It is up. The first look decides, whatever `fall` says (as in HAProxy).
    #[default]
    Optimistic,
    /// It is down until it has passed once.
    MustPass,
}

impl Schedule {
    /// Every 5 s, every second while in transition, at most 2 s for an answer, rise 2, fall 3, 10 % jitter, optimistic.
    pub const fn new() -> Self {
        Self {
            interval: Duration::from_secs(5),
            fast: Some(Duration::from_secs(1)),
            down: None,
            timeout: Duration::from_secs(2),
            rise: 2,
            fall: 3,
            jitter: 0.1,
            start: Start::Optimistic,
            port: None,
        }
    }

    /// HAProxy's defaults: every 2 s in all states, at most 2 s for an answer, rise 2, fall 3, no jitter.
    pub const fn haproxy() -> Self {
        let every = Duration::from_secs(2);
        Self { interval: every, fast: None, down: None, timeout: every, jitter: 0.0, ..Self::new() }
    }

    /// The time from one look to the next, beginning to beginning.
    pub const fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// The same while in transition: up with the last look failed, or down with the last one passed. The interval by
    /// default, if that is shorter than a second.
    pub const fn fast(mut self, fast: Duration) -> Self {
        self.fast = Some(fast);
        self
    }

    /// The same while down; the interval by default.
    pub const fn down(mut self, down: Duration) -> Self {
        self.down = Some(down);
        self
    }

    /// How long a look may take. Longer is a failure.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many looks in a row must pass for an endpoint that is down to be up.
    pub const fn rise(mut self, rise: u32) -> Self {
        self.rise = rise;
        self
    }

    /// How many looks in a row must fail for an endpoint that is up to be down.
    pub const fn fall(mut self, fall: u32) -> Self {
        self.fall = fall;
        self
    }

    /// Each time between two looks is shorter by up to this part of it, by chance, from 0 to 0.5: so that many balancers do
    /// not look at the same moments.
    pub const fn jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter;
        self
    }

    /// What is thought of an endpoint before the first look.
    pub const fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Looks at this port instead of the endpoint's own.
    pub const fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Whether it can be kept to.
    ///
    /// # Errors
    ///
    /// When it cannot; the error names the setting.
    pub fn check(&self) -> Result<(), InvalidHealth> {
        let times = [
            ("interval", Some(self.interval)),
            ("fast", self.fast),
            ("down", self.down),
            ("timeout", Some(self.timeout)),
        ];
        for (setting, time) in times {
            if let Some(time) = time.filter(|time| !(SHORTEST..=LONGEST).contains(time)) {
                return Err(InvalidHealth::time(setting, time, "use from 1 ms to 365 days"));
            }
        }
        if self.port == Some(0) {
            return Err(InvalidHealth::new("port", 0, "use a port from 1 to 65535"));
        }
        for (setting, count) in [("rise", self.rise), ("fall", self.fall)] {
            if count == 0 {
                return Err(InvalidHealth::new(setting, 0, "at least one look is needed to change one's mind"));
            }
        }
        if !(0.0..=0.5).contains(&self.jitter) {
            return Err(InvalidHealth::new("jitter", self.jitter, "it is a part of the interval, from 0 to 0.5"));
        }
        Ok(())
    }

    pub(crate) fn fast_interval(&self) -> Duration {
        self.fast.map_or(self.interval, |fast| fast.min(self.interval))
    }

    pub(crate) fn down_interval(&self) -> Duration {
        self.down.unwrap_or(self.interval)
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self::new()
    }
}

/// The presets by name: `haproxy`.
impl FromStr for Schedule {
    type Err = UnknownPreset;

    fn from_str(name: &str) -> Result<Self, UnknownPreset> {
        match name {
            "haproxy" => Ok(Self::haproxy()),
            other => Err(UnknownPreset::new(other, "schedules", "there is haproxy")),
        }
    }
}

const SHORTEST: Duration = Duration::from_millis(1);
pub(super) const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);
