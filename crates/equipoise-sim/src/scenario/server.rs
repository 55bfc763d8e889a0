use std::time::Duration;

use super::error::InvalidScenario;

/// A server: how it works on requests, and the settings that clients have for its endpoint.
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
    /// Number of requests in service at the same time; others wait in the queue.
    pub(crate) slots: usize,
    /// The allocation in cores; [`Antagonists`](crate::Antagonists) change what is usable.
    pub(crate) cores: f64,
    pub(crate) speed: f64,
    pub(crate) weight: u32,
    pub(crate) max_in_flight: Option<u32>,
    pub(crate) zone: Option<String>,
    /// Round-trip time on top of the network's delay.
    pub(crate) distance: Duration,
    /// From how many requests at the server on it sheds new ones, and the `Retry-After` of its answers.
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

    /// Creates a server with this number of workers (at least 1) and one queue, first come, first served. Each worker
    /// has a core.
    pub const fn fifo(workers: usize) -> Self {
        Self::new(workers, workers as f64)
    }

    /// Creates a server with processor sharing: it works on all requests at once. Each gets an equal part of `cores`,
    /// at most one core. `cores` must be above 0.
    pub const fn sharing(cores: f64) -> Self {
        Self::new(usize::MAX, cores)
    }

    /// Creates a server that only delays: each request takes exactly its work, regardless of the number of requests.
    ///
    /// Models a backend that waits rather than computes. It has unlimited capacity, so its scenario needs a
    /// [`rate`](crate::Scenario::rate) instead of a load.
    pub const fn delay() -> Self {
        Self::new(usize::MAX, f64::INFINITY)
    }

    /// Sets the speed of the cores; 1.0 by default. At 0.5 every request takes twice as long. Must be above 0 and
    /// finite.
    #[must_use]
    pub const fn speed(mut self, speed: f64) -> Self {
        self.speed = speed;
        self
    }

    /// Sets the weight of the endpoint in the clients' pools; 1 by default. Does not change the speed of the server.
    #[must_use]
    pub const fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Sets the maximum number of requests that each client may have at the server at the same time; unlimited by
    /// default.
    #[must_use]
    pub const fn max_in_flight(mut self, limit: u32) -> Self {
        self.max_in_flight = Some(limit);
        self
    }

    /// Sets the zone of the endpoint in the clients' pools; none by default.
    #[must_use]
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// Sets the round-trip time between all clients and the server, on top of the delays of the scenario's
    /// [`network`](crate::Scenario::network); 0 by default. At most 10⁹ s.
    ///
    /// Models servers in another zone or region.
    #[must_use]
    pub const fn distance(mut self, round_trip: Duration) -> Self {
        self.distance = round_trip;
        self
    }

    /// Makes the server shed load: a request that arrives while `limit` requests are at the server is answered at once
    /// with HTTP 503, without work. By default all requests are accepted.
    ///
    /// With `retry_after`, the answer has a `Retry-After` header of that time, and its verdict is
    /// [`Verdict::Unavailable`](equipoise_core::Verdict::Unavailable). Without, the verdict is a failure
    /// ([`Failure::Gateway`](equipoise_core::Failure::Gateway)).
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
        match self {
            _ if self.slots == 0 => refuse("it has no workers: use at least 1"),
            _ if self.cores <= 0.0 || self.cores.is_nan() => refuse("it has no cores: use more than 0"),
            _ if !(self.speed > 0.0 && self.speed.is_finite()) => refuse("its speed must be finite and above 0"),
            _ => Ok(()),
        }
    }
}
