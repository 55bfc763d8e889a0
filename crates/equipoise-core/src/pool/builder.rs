use std::{
    marker::PhantomData,
    sync::{Arc, Weak},
};

use super::{Hooks, Pool, Shared, Spillover, demands::Demands, queue::Queue, snapshot::Snapshot};
use crate::{
    endpoint::{Availability, InvalidAddress},
    entropy::Entropy,
    load::default_stripes,
    strategy::{AnyStrategy, Strategy},
    sync::{AtomicU32, AtomicU64, Event, Mutex, Swap},
    time::{Clock, SystemClock},
};

/// Settings of a [`Pool`] that cannot change later. `T` is the type of the pool's targets, which follows from how the pool
/// is used.
///
/// ```
/// use std::sync::Arc;
/// use equipoise_core::{EndpointSpec, ManualClock, P2c, Pool, SeededEntropy};
///
/// // Repeatable: for tests and simulations.
/// let pool = Pool::builder(P2c::new())
///     .clock(Arc::new(ManualClock::new()))
///     .entropy(Arc::new(SeededEntropy::new(42)))
///     .stripes(1)
///     .build();
/// pool.add(EndpointSpec::new("a:80"), "a client")?;
/// # Ok::<(), equipoise_core::UpdateError>(())
/// ```
pub struct PoolBuilder<T = ()> {
    target: PhantomData<fn() -> T>,
    strategy: AnyStrategy,
    clock: Option<Arc<dyn Clock>>,
    entropy: Option<Arc<dyn Entropy>>,
    stripes: usize,
    spillover: Spillover,
    panic_threshold: f64,
    initial_availability: Availability,
    demands: Demands,
}

/// More stripes than there can be use for, and few enough for any memory.
const MOST_STRIPES: usize = 64;

impl<T: Send + Sync + 'static> PoolBuilder<T> {
    pub(super) fn new(strategy: impl Strategy) -> Self {
        Self {
            target: PhantomData,
            strategy: AnyStrategy::new(strategy),
            clock: None,
            entropy: None,
            stripes: default_stripes(),
            spillover: Spillover::default(),
            panic_threshold: 0.5,
            initial_availability: Availability::Up,
            demands: Demands::default(),
        }
    }

    /// Where the time comes from; [`SystemClock`] by default.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Where chance comes from; by default a generator per thread, seeded by the operating system.
    #[must_use]
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = Some(entropy);
        self
    }

    /// Into how many counters each endpoint's in-flight count is split, so that threads do not fight over one. By
    /// default one per core, at most 4. Each costs about 128 bytes an endpoint, and a comparison of endpoints reads
    /// them all; one is right for simulations and single-threaded programs. Zero counts as one, more than 64
    /// as 64.
    #[must_use]
    pub fn stripes(mut self, stripes: usize) -> Self {
        self.stripes = stripes.clamp(1, MOST_STRIPES);
        self
    }

    /// How traffic is shared among tiers; by default a tier is used when no earlier one can serve.
    #[must_use]
    pub fn spillover(mut self, spillover: Spillover) -> Self {
        self.spillover = spillover;
        self
    }

    /// In which state a tier panics: when less than this part of its endpoints is fit, it is used whole, those that are
    /// [unfit](crate::Availability::Unhealthy) included; 0.5 by default, 0 never. What took the rest out is then more likely
    /// the checker's error, or an overload that the fit ones would be next to die of.
    ///
    /// The part is counted over the endpoints that were not taken out on purpose (closed, draining or of weight 0). No
    /// tier panics while the tiers together can carry the traffic: as long as their healths, of which each is its fit part
    /// times the overprovisioning of [`Spillover`] (140 % if tiers do not share), come to 100 %. Source: Envoy's panic
    /// threshold.
    ///
    /// ```
    /// use equipoise_core::{Availability, EndpointSpec, P2c, PickRequest, Pool};
    ///
    /// let pool = Pool::builder(P2c::new()).build();
    /// pool.update(["a:80", "b:80", "c:80"].map(EndpointSpec::new), |_| ())?;
    /// pool.set_availability("a:80", Availability::Unhealthy)?;
    /// assert_ne!(pool.pick(&PickRequest::new())?.endpoint().id().as_str(), "a:80");
    /// // All unfit: somebody has to try.
    /// pool.set_availability("b:80", Availability::Unhealthy)?;
    /// pool.set_availability("c:80", Availability::Unhealthy)?;
    /// assert!(pool.pick(&PickRequest::new()).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn panic_threshold(mut self, part: f64) -> Self {
        self.panic_threshold = if part.is_nan() { 0.0 } else { part.clamp(0.0, 1.0) };
        self
    }

    /// Whom an endpoint takes that joins, or is replaced; by default everybody. [`Closed`](Availability::Maintenance) where
    /// whoever checks endpoints opens them once they have passed, so that none is used before.
    ///
    /// ```
    /// use equipoise_core::{Availability, EndpointSpec, P2c, Pool};
    ///
    /// let pool = Pool::builder(P2c::new()).initial_availability(Availability::Maintenance).build();
    /// pool.add(EndpointSpec::new("a:80"), ())?;
    /// assert_eq!(pool.endpoints()[0].availability, Availability::Maintenance);
    /// # Ok::<(), equipoise_core::UpdateError>(())
    /// ```
    #[must_use]
    pub fn initial_availability(mut self, availability: Availability) -> Self {
        self.initial_availability = availability;
        self
    }

    /// Demands a form of the addresses of endpoints that join, beyond [what no transport can
    /// use](crate::EndpointSpec::new): what a client of all endpoints needs, so that an address of another form is refused
    /// when it is added, and not at the first request. May be called several times: all demands hold.
    ///
    /// ```
    /// use equipoise_core::{Address, EndpointSpec, InvalidAddress, P2c, Pool};
    ///
    /// let with_port = |address: &str| match Address::parse(address)?.known_port() {
    ///     Some(_) => Ok(()),
    ///     None => Err(InvalidAddress::new(address).because("it has no port: use host:port")),
    /// };
    /// let pool = Pool::builder(P2c::new()).addresses(with_port).build();
    /// assert!(pool.add(EndpointSpec::new("orders"), ()).is_err());
    /// assert!(pool.add(EndpointSpec::new("orders:80"), ()).is_ok());
    /// ```
    #[must_use]
    pub fn addresses(self, demand: impl Fn(&str) -> Result<(), InvalidAddress> + Send + Sync + 'static) -> Self {
        self.demands.add(demand);
        self
    }

    /// The pool, empty.
    pub fn build(self) -> Pool<T> {
        let hooks = |pool: &Weak<Shared>| Hooks {
            needs: self.strategy.needs(),
            strategy: self.strategy,
            spillover: self.spillover,
            panic_threshold: self.panic_threshold,
            initial_availability: self.initial_availability,
            demands: self.demands,
            clock: self.clock.unwrap_or_else(|| Arc::new(SystemClock::new())),
            entropy: self.entropy,
            changed: Event::default(),
            queue: Queue::new(),
            pool: Weak::clone(pool),
            failing: AtomicU32::new(0),
            refresh_at: AtomicU64::new(0),
        };
        let shared = Arc::new_cyclic(|pool| Shared {
            snapshot: Swap::new(Arc::new(Snapshot::empty())),
            writer: Mutex::new(()),
            hooks: Arc::new(hooks(pool)),
            stripes: self.stripes,
        });
        Pool { shared, target: PhantomData }
    }
}
