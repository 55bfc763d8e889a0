use super::InvalidScenario;

/// A backend: how it works on what it gets, and how clients see it.
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
    /// How many requests it works on at a time; the others wait in line.
    pub(crate) slots: usize,
    /// What it may use of a machine when nobody else is there: see [`Antagonists`](crate::Antagonists).
    pub(crate) cores: f64,
    pub(crate) speed: f64,
    pub(crate) weight: u32,
    pub(crate) limit: Option<u32>,
    pub(crate) zone: Option<String>,
}

impl Server {
    const fn new(slots: usize, cores: f64) -> Self {
        Self { slots, cores, speed: 1.0, weight: 1, limit: None, zone: None }
    }

    /// First come, first served by so many workers, each with a core of its own.
    pub const fn fifo(workers: usize) -> Self {
        Self::new(workers, workers as f64)
    }

    /// Processor sharing: works on all it has at once, each request with an equal part of `cores`, at most one core.
    pub const fn sharing(cores: f64) -> Self {
        Self::new(usize::MAX, cores)
    }

    /// Works on all it has at once, and each request takes exactly its own time, however many there are: a backend that
    /// waits rather than computes. It has no capacity, so a scenario of these needs a
    /// [`rate`](crate::Scenario::rate) instead of a load.
    pub const fn delay() -> Self {
        Self::new(usize::MAX, f64::INFINITY)
    }

    /// How fast its cores are; 1.0 by default. At 0.5 every request takes twice the work.
    #[must_use]
    pub const fn speed(mut self, speed: f64) -> Self {
        self.speed = speed;
        self
    }

    /// The weight that clients know it by; 1 by default. It does not make the server any faster.
    #[must_use]
    pub const fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// The most requests that each client may have there at a time; no limit by default.
    #[must_use]
    pub const fn limit(mut self, limit: u32) -> Self {
        self.limit = Some(limit);
        self
    }

    /// The zone that clients know it to be in; none by default.
    #[must_use]
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// Core-seconds of work a second.
    pub(crate) fn capacity(&self) -> f64 {
        // Who takes any number at once is held back by nothing but cores.
        let slots = if self.slots == usize::MAX { f64::INFINITY } else { self.slots as f64 };
        self.cores.min(slots) * self.speed
    }

    pub(super) fn check(&self, at: usize) -> Result<(), InvalidScenario> {
        let refuse = |what| Err(InvalidScenario::Server { at, what });
        match self {
            _ if self.slots == 0 => refuse("it has no workers: use at least 1"),
            _ if self.cores <= 0.0 || self.cores.is_nan() => refuse("it has no cores: use more than 0"),
            _ if !(self.speed > 0.0 && self.speed.is_finite()) => refuse("its speed is to be above 0, and finite"),
            _ => Ok(()),
        }
    }
}
