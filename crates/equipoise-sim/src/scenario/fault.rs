use std::time::Duration;

use super::error::InvalidScenario;

/// A fault of one server. Lasts for the whole run, unless [`from`](Self::from) and [`lasting`](Self::lasting) limit it.
///
/// ```
/// use std::time::Duration;
/// use equipoise_sim::Fault;
///
/// // Server 3 is twelve times slower from second 10 on, for 20 seconds.
/// let slow = Fault::slow(3, 12.0).from(Duration::from_secs(10)).lasting(Duration::from_secs(20));
/// // Server 0 stands still for the first second of every five.
/// let stalls = Fault::stall(0).lasting(Duration::from_secs(1)).every(Duration::from_secs(5));
/// # let _ = (slow, stalls);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fault {
    pub(crate) server: usize,
    pub(crate) kind: FaultKind,
    pub(crate) from: Duration,
    pub(crate) lasting: Option<Duration>,
    pub(crate) every: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum FaultKind {
    Sinkhole { after: Duration, fails_checks: bool },
    Flaky { share: f64, after: Option<Duration> },
    Slow { factor: f64 },
    Stall,
    Refuses,
    Blackhole,
    Cold { factor: f64, over: Duration },
    Removed,
}

impl Fault {
    const fn new(server: usize, kind: FaultKind) -> Self {
        Self { server, kind, from: Duration::ZERO, lasting: None, every: None }
    }

    /// The server answers every request with an error after 1 ms, without work. It still passes health checks.
    pub const fn sinkhole(server: usize) -> Self {
        Self::new(server, FaultKind::Sinkhole { after: Duration::from_millis(1), fails_checks: false })
    }

    /// The server answers every request and every health check with an error after 1 ms, without work.
    pub const fn honest_sinkhole(server: usize) -> Self {
        Self::new(server, FaultKind::Sinkhole { after: Duration::from_millis(1), fails_checks: true })
    }

    /// The server answers this share of the requests (from 0 to 1, drawn at random) with an error, after their ordinary
    /// work. It still passes health checks. The shares of several such faults do not add up: the largest counts.
    pub const fn flaky(server: usize, share: f64) -> Self {
        Self::new(server, FaultKind::Flaky { share, after: None })
    }

    /// The server answers this share of the requests (from 0 to 1, drawn at random) with an error after this time,
    /// without work. It still passes health checks.
    pub const fn flaky_after(server: usize, share: f64, after: Duration) -> Self {
        Self::new(server, FaultKind::Flaky { share, after: Some(after) })
    }

    /// The server is slower by this factor, which must be above 0 and finite.
    pub const fn slow(server: usize, factor: f64) -> Self {
        Self::new(server, FaultKind::Slow { factor })
    }

    /// The server accepts requests and makes no progress on any. Requires [`lasting`](Self::lasting) or a
    /// [timeout](crate::Scenario::timeout).
    pub const fn stall(server: usize) -> Self {
        Self::new(server, FaultKind::Stall)
    }

    /// The server process is dead: requests at the server break off, and new connections are refused.
    pub const fn refuses(server: usize) -> Self {
        Self::new(server, FaultKind::Refuses)
    }

    /// The server is unreachable: no response comes back, neither to new requests nor to those at the server. Requires
    /// a [timeout](crate::Scenario::timeout).
    pub const fn blackhole(server: usize) -> Self {
        Self::new(server, FaultKind::Blackhole)
    }

    /// The server starts cold: requests are three times the work at first. The factor falls linearly to 1 over 30 s.
    pub const fn cold_start(server: usize) -> Self {
        Self::new(server, FaultKind::Cold { factor: 3.0, over: Duration::from_secs(30) })
    }

    /// The server is removed from the clients' pools and added again at the end of the fault. Requests at the server
    /// are finished.
    pub const fn removed(server: usize) -> Self {
        Self::new(server, FaultKind::Removed)
    }

    /// Sets the begin of the fault, from the start of the run; 0 by default.
    #[must_use]
    pub const fn from(mut self, from: Duration) -> Self {
        self.from = from;
        self
    }

    /// Sets the duration of the fault; until the end of the run by default.
    #[must_use]
    pub const fn lasting(mut self, lasting: Duration) -> Self {
        self.lasting = Some(lasting);
        self
    }

    /// Repeats the fault with this period, counted from begin to begin. Requires a shorter [`lasting`](Self::lasting).
    #[must_use]
    pub const fn every(mut self, period: Duration) -> Self {
        self.every = Some(period);
        self
    }

    pub(super) fn check(&self, servers: usize, timeout: bool) -> Result<(), InvalidScenario> {
        let refuse = |what| Err(InvalidScenario::Fault { server: self.server, what });
        match self.kind {
            _ if self.server >= servers => refuse("there is no such server"),
            FaultKind::Slow { factor } | FaultKind::Cold { factor, .. } if !(factor > 0.0 && factor.is_finite()) => {
                refuse("the factor must be finite and above 0")
            }
            FaultKind::Flaky { share, .. } if !(0.0..=1.0).contains(&share) => refuse("the share must be from 0 to 1"),
            FaultKind::Flaky { after: Some(after), .. } if after > Duration::from_secs(1_000_000_000) => {
                refuse("an answer takes at most 10⁹ s")
            }
            FaultKind::Blackhole if !timeout => {
                refuse("requests that are swallowed by a black hole never end: set a timeout")
            }
            FaultKind::Stall if self.lasting.is_none() && !timeout => {
                refuse("requests never end at a server that stalls for good: set a duration or a timeout")
            }
            _ if self.lasting.is_some_and(|lasting| lasting.is_zero()) => {
                refuse("it lasts no time at all: use a duration above 0")
            }
            _ if self.every.is_some_and(|every| self.lasting.is_none_or(|lasting| lasting >= every)) => {
                refuse("what recurs needs a duration that is shorter than its period")
            }
            _ => Ok(()),
        }
    }
}
