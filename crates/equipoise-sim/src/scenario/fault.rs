use std::time::Duration;

use super::InvalidScenario;

/// Something that happens to a server, from the start to the end unless it says otherwise.
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
    Sinkhole { after: Duration, admits: bool },
    Slow { factor: f64 },
    Stall,
    Refuses,
    Swallows,
    Cold { factor: f64, over: Duration },
    Away,
}

impl Fault {
    const fn new(server: usize, kind: FaultKind) -> Self {
        Self { server, kind, from: Duration::ZERO, lasting: None, every: None }
    }

    /// It answers every request with an error after 1 ms, without doing any work, and passes health checks.
    pub const fn sinkhole(server: usize) -> Self {
        Self::new(server, FaultKind::Sinkhole { after: Duration::from_millis(1), admits: false })
    }

    /// The same, but health checks get the error too.
    pub const fn honest_sinkhole(server: usize) -> Self {
        Self::new(server, FaultKind::Sinkhole { after: Duration::from_millis(1), admits: true })
    }

    /// It is so many times slower.
    pub const fn slow(server: usize, factor: f64) -> Self {
        Self::new(server, FaultKind::Slow { factor })
    }

    /// It stands still: takes requests and works on none. Needs an end, or a [time-out](crate::Scenario::timeout).
    pub const fn stall(server: usize) -> Self {
        Self::new(server, FaultKind::Stall)
    }

    /// It is dead, and its machine says so: what it had breaks off, and connections are refused.
    pub const fn refuses(server: usize) -> Self {
        Self::new(server, FaultKind::Refuses)
    }

    /// It is dead and nothing comes back at all, also for what it had. Needs a [time-out](crate::Scenario::timeout).
    pub const fn swallows(server: usize) -> Self {
        Self::new(server, FaultKind::Swallows)
    }

    /// It starts cold: requests are three times the work at first, which wears off evenly over 30 s.
    pub const fn cold_start(server: usize) -> Self {
        Self::new(server, FaultKind::Cold { factor: 3.0, over: Duration::from_secs(30) })
    }

    /// It is not a member: the clients' pools drop it and take it up again at the end. What it has it finishes.
    pub const fn away(server: usize) -> Self {
        Self::new(server, FaultKind::Away)
    }

    /// When it begins, counted from the start of the run; at once by default.
    #[must_use]
    pub const fn from(mut self, from: Duration) -> Self {
        self.from = from;
        self
    }

    /// For how long; to the end by default.
    #[must_use]
    pub const fn lasting(mut self, lasting: Duration) -> Self {
        self.lasting = Some(lasting);
        self
    }

    /// Again and again, so long after its last beginning. Needs [`lasting`](Self::lasting), which is to be shorter.
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
                refuse("the factor is to be above 0, and finite")
            }
            FaultKind::Swallows if !timeout => refuse("requests that are swallowed never end: set a timeout"),
            FaultKind::Stall if self.lasting.is_none() && !timeout => {
                refuse("requests never end at a server that stands still for good: let it end, or set a timeout")
            }
            _ if self.lasting.is_some_and(|lasting| lasting.is_zero()) => refuse("it lasts no time at all"),
            _ if self.every.is_some_and(|every| self.lasting.is_none_or(|lasting| lasting >= every)) => {
                refuse("what recurs is to last, and for less than the time until it recurs")
            }
            _ => Ok(()),
        }
    }
}
