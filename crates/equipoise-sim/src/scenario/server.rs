use std::time::Duration;

use super::error::InvalidScenario;

/// A simulated server: how it works on requests, and the settings of its endpoint in the pools of the clients.
///
/// ```
/// use equipoise_sim::Server;
///
/// let old = Server::sharing(4.0).speed(0.5);
/// let small = Server::fifo(1).weight(1);
/// # let _ = (old, small);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Maximum number of requests in service at the same time. Other requests wait in the queue of the server.
    pub(crate) slots: usize,
    /// Number of cores allocated to the server. [`Antagonists`](crate::Antagonists) change how many of them it can use.
    pub(crate) cores: f64,
    pub(crate) speed: f64,
    pub(crate) weight: u32,
    pub(crate) max_in_flight: Option<u32>,
    pub(crate) zone: Option<String>,
    /// Round-trip time between a client and the server, in addition to the delays of the network.
    pub(crate) distance: Duration,
    /// When the server sheds requests, and the `Retry-After` of its responses to them. `None`: it accepts all requests.
    pub(crate) shedding: Option<Shedding>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shedding {
    pub(crate) from: usize,
    pub(crate) retry_after: Option<Duration>,
}

impl Server {
    const fn new(slots: usize, cores: f64) -> Self {
        Self {
            slots,
            cores,
            speed: 1.0,
            weight: 1,
            max_in_flight: None,
            zone: None,
            distance: Duration::ZERO,
            shedding: None,
        }
    }

    /// Creates a server with `workers` workers (at least 1) and one queue. Each worker has one core and works on one
    /// request at a time. Other requests wait in the queue, first come, first served.
    pub const fn fifo(workers: usize) -> Self {
        Self::new(workers, workers as f64)
    }

    /// Creates a server that works on all its requests at the same time (processor sharing). It divides `cores` equally
    /// among them, but a request gets at most one core. `cores` must be above 0.
    pub const fn sharing(cores: f64) -> Self {
        Self::new(usize::MAX, cores)
    }

    /// Creates a server that only delays requests: each request takes as long as its [work](crate::Work), regardless of
    /// how many other requests the server has.
    ///
    /// This models a server that waits for something else and does not compute. Its capacity is unlimited, so the
    /// scenario must set [`Scenario::rate`](crate::Scenario::rate) and not a load.
    pub const fn delay() -> Self {
        Self::new(usize::MAX, f64::INFINITY)
    }

    /// Sets the speed of the server's cores: at 0.5 every request takes twice as long in service as at 1.0. Must be
    /// above 0 and finite. Default: 1.0.
    #[must_use]
    pub const fn speed(mut self, speed: f64) -> Self {
        self.speed = speed;
        self
    }

    /// Sets the weight of the server's endpoint in the pools of the clients: its share of the requests, relative to the
    /// other servers. The weight does not change the speed of the server. With weight 0 the server gets no requests. At
    /// least one server must have a weight above 0. Default: 1.
    #[must_use]
    pub const fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Sets the maximum number of requests that each client may have in flight at the server, at least 1. Default:
    /// unlimited.
    #[must_use]
    pub const fn max_in_flight(mut self, limit: u32) -> Self {
        self.max_in_flight = Some(limit);
        self
    }

    /// Sets the zone of the server's endpoint in the pools of the clients, for strategies that take zones into account.
    /// Default: no zone.
    #[must_use]
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// Sets the round-trip time between any client and the server, in addition to the delays of
    /// [`Scenario::network`](crate::Scenario::network). Use it for servers in other zones or regions. At most 10⁹ s.
    /// Default: 0.
    #[must_use]
    pub const fn distance(mut self, round_trip: Duration) -> Self {
        self.distance = round_trip;
        self
    }

    /// Makes the server reject requests when it has too many. If a request arrives while `limit` or more requests are
    /// in service or in the queue, the server responds at once with HTTP status 503, without work. Default: the server
    /// accepts all requests.
    ///
    /// - If `retry_after` is `Some`, the response has a `Retry-After` header of that time. The client records the
    ///   verdict [`Verdict::Unavailable`](equipoise_core::Verdict::Unavailable) for the server.
    /// - If `retry_after` is `None`, the client records a failure of the kind
    ///   [`Failure::Gateway`](equipoise_core::Failure::Gateway) for the server.
    #[must_use]
    pub const fn sheds_beyond(mut self, limit: usize, retry_after: Option<Duration>) -> Self {
        self.shedding = Some(Shedding { from: limit, retry_after });
        self
    }

    /// Returns the work that the server can do, in core-seconds per second.
    pub(crate) fn capacity(&self) -> f64 {
        let slots = if self.slots == usize::MAX { f64::INFINITY } else { self.slots as f64 };
        self.cores.min(slots) * self.speed
    }

    pub(super) fn check(&self, at: usize) -> Result<(), InvalidScenario> {
        let refuse = |what| Err(InvalidScenario::Server { at, what });
        let Self { cores, speed, .. } = self;
        match self {
            _ if self.slots == 0 => refuse("workers cannot be 0: use at least 1".to_owned()),
            _ if *cores <= 0.0 || cores.is_nan() => refuse(format!("cores cannot be {cores}: use a number above 0")),
            _ if !(*speed > 0.0 && speed.is_finite()) => {
                refuse(format!("speed cannot be {speed}: use a finite number above 0"))
            }
            _ => Ok(()),
        }
    }
}
