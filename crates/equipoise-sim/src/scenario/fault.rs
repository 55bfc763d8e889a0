use std::time::Duration;

use super::error::InvalidScenario;

/// A fault of one server. By default it lasts for the whole run. [`from`](Self::from) and [`lasting`](Self::lasting)
/// limit it to a part of the run, and [`every`](Self::every) repeats it. In all constructors, `server` is the index of
/// the server, counted from 0.
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

    /// Creates a fault during which the server responds to every request with an error after 1 ms, without work. The
    /// server still passes health checks. During the 1 ms, a request does not count as a request at the server
    /// ([`Report::in_flight`](crate::Report::in_flight), [`Server::sheds_beyond`](crate::Server::sheds_beyond)).
    pub const fn sinkhole(server: usize) -> Self {
        Self::new(server, FaultKind::Sinkhole { after: Duration::from_millis(1), fails_checks: false })
    }

    /// Creates a fault during which the server responds to every request and every health check with an error after 1
    /// ms, without work. During the 1 ms, a request does not count as a request at the server
    /// ([`Report::in_flight`](crate::Report::in_flight), [`Server::sheds_beyond`](crate::Server::sheds_beyond)).
    pub const fn honest_sinkhole(server: usize) -> Self {
        Self::new(server, FaultKind::Sinkhole { after: Duration::from_millis(1), fails_checks: true })
    }

    /// Creates a fault during which the server responds to some requests with an error, after their ordinary work.
    /// `share` is the probability of this for each request, from 0 to 1. The server still passes health checks. If a
    /// server has several such faults at the same time, the fault with the largest share applies.
    pub const fn flaky(server: usize, share: f64) -> Self {
        Self::new(server, FaultKind::Flaky { share, after: None })
    }

    /// Creates a fault during which the server responds to some requests with an error after the time `after` (at most
    /// 10⁹ s), without work. `share` is the probability of this for each request, from 0 to 1. The server still passes
    /// health checks. During the time `after`, such a request does not count as a request at the server
    /// ([`Report::in_flight`](crate::Report::in_flight), [`Server::sheds_beyond`](crate::Server::sheds_beyond)).
    pub const fn flaky_after(server: usize, share: f64, after: Duration) -> Self {
        Self::new(server, FaultKind::Flaky { share, after: Some(after) })
    }

    /// Creates a fault during which the server works `factor` times slower: at 2.0 every request takes twice as much
    /// time in service. Health checks take longer too. `factor` must be above 0 and finite. Below 1.0 the server is
    /// faster. The factors of several such faults are multiplied.
    pub const fn slow(server: usize, factor: f64) -> Self {
        Self::new(server, FaultKind::Slow { factor })
    }

    /// Creates a fault during which the server accepts requests but makes no progress on any of them. Health checks get
    /// no response during the fault. When the fault ends, the server continues its work. Requires
    /// [`lasting`](Self::lasting) or [`Scenario::timeout`](crate::Scenario::timeout).
    pub const fn stall(server: usize) -> Self {
        Self::new(server, FaultKind::Stall)
    }

    /// Creates a fault during which the process of the server is dead. At the start of the fault, all requests at the
    /// server and all [bodies](crate::Bodies) of its responses break off. During the fault, the server refuses
    /// connections: new requests and health checks fail at once.
    pub const fn refuses(server: usize) -> Self {
        Self::new(server, FaultKind::Refuses)
    }

    /// Creates a fault during which the server is unreachable: requests and health checks get no response. This
    /// includes requests that are at the server when the fault begins. These requests end by their timeout, so this
    /// fault requires [`Scenario::timeout`](crate::Scenario::timeout).
    pub const fn blackhole(server: usize) -> Self {
        Self::new(server, FaultKind::Blackhole)
    }

    /// Creates a fault that models a server with cold caches. A request that arrives at the start of the fault has
    /// three times as much work as usual. The factor then falls linearly and reaches 1 after 30 s.
    pub const fn cold_start(server: usize) -> Self {
        Self::new(server, FaultKind::Cold { factor: 3.0, over: Duration::from_secs(30) })
    }

    /// Creates a fault during which the server is not in the pools of the clients. The server is removed from the pools
    /// at the start of the fault and added again at its end. It finishes the requests that it has at the start.
    pub const fn removed(server: usize) -> Self {
        Self::new(server, FaultKind::Removed)
    }

    /// Sets the start of the fault, as the time from the start of the run. Default: 0.
    #[must_use]
    pub const fn from(mut self, from: Duration) -> Self {
        self.from = from;
        self
    }

    /// Sets the duration of the fault. Must be above 0. Default: until the end of the run.
    #[must_use]
    pub const fn lasting(mut self, lasting: Duration) -> Self {
        self.lasting = Some(lasting);
        self
    }

    /// Repeats the fault until the end of the run. `period` is the time from one start of the fault to the next.
    /// Requires [`lasting`](Self::lasting) with a duration shorter than `period`. Default: the fault happens once.
    #[must_use]
    pub const fn every(mut self, period: Duration) -> Self {
        self.every = Some(period);
        self
    }

    pub(super) fn check(&self, servers: usize, timeout: bool) -> Result<(), InvalidScenario> {
        let refuse = |what: String| Err(InvalidScenario::Fault { server: self.server, what });
        match self.kind {
            _ if self.server >= servers => {
                refuse(format!("there is no such server: the scenario has {servers}, counted from 0"))
            }
            FaultKind::Slow { factor } | FaultKind::Cold { factor, .. } if !(factor > 0.0 && factor.is_finite()) => {
                refuse(format!("the factor cannot be {factor}: use a finite number above 0"))
            }
            FaultKind::Flaky { share, .. } if !(0.0..=1.0).contains(&share) => {
                refuse(format!("the share cannot be {share}: use from 0 to 1"))
            }
            FaultKind::Flaky { after: Some(after), .. } if after > Duration::from_secs(1_000_000_000) => {
                refuse(format!("the time of a response cannot be {after:?}: use at most 10⁹ s"))
            }
            FaultKind::Blackhole if !timeout => {
                refuse("requests to an unreachable server end only by a timeout: set Scenario::timeout".to_owned())
            }
            FaultKind::Stall if self.lasting.is_none() && !timeout => refuse(
                "requests to a stalled server end only with the stall or by a timeout: set Fault::lasting or \
                 Scenario::timeout"
                    .to_owned(),
            ),
            _ if self.lasting.is_some_and(|lasting| lasting.is_zero()) => {
                refuse("the duration cannot be 0: use a time above 0".to_owned())
            }
            _ => match (self.every, self.lasting) {
                (Some(_), None) => refuse("a repeated fault needs a duration: set Fault::lasting".to_owned()),
                (Some(every), Some(lasting)) if lasting >= every => refuse(format!(
                    "the duration of a repeated fault cannot be {lasting:?}: use less than its period of {every:?}"
                )),
                _ => Ok(()),
            },
        }
    }
}
