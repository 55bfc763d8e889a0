use std::{marker::PhantomData, sync::Arc};

use super::{
    acquire::QueueLink,
    queue::Queue,
    settings::{AddressChecks, PoolSettings},
    snapshot::Snapshot,
    spillover::Spillover,
    state::{Pool, PoolInner},
};
use crate::{
    endpoint::{Availability, InvalidAddress, PoolContext},
    entropy::Entropy,
    load::default_stripes,
    strategy::{AnyStrategy, PeakEwma, Strategy},
    sync::{AtomicU32, AtomicU64, Event, Mutex, Swap},
    time::{Clock, SystemClock},
};

/// Builds a [`Pool`], with settings that cannot change later. The compiler infers `T`, the type of the targets, from
/// how the pool is used.
///
/// ```
/// use std::sync::Arc;
/// use equipoise_core::{EndpointSpec, ManualClock, P2c, Pool, SeededEntropy};
///
/// // Picks are repeatable: for tests and simulations.
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
    latency_histograms: bool,
    address_checks: AddressChecks,
}

/// More than enough for any number of cores, and few enough for the memory.
const MAX_STRIPES: usize = 64;

impl<T: Send + Sync + 'static> Pool<T> {
    /// Creates an empty pool with this strategy and the defaults of [`PoolBuilder`].
    pub fn new(strategy: impl Strategy) -> Self {
        Self::builder(strategy).build()
    }

    /// Starts a builder, for a pool with other settings than the defaults.
    pub fn builder(strategy: impl Strategy) -> PoolBuilder<T> {
        PoolBuilder::new(strategy)
    }
}

impl<T: Send + Sync + 'static> Default for Pool<T> {
    /// Creates an empty pool that picks by [`PeakEwma`].
    fn default() -> Self {
        Self::new(PeakEwma::new())
    }
}

impl<T: Send + Sync + 'static> PoolBuilder<T> {
    fn new(strategy: impl Strategy) -> Self {
        Self {
            target: PhantomData,
            strategy: AnyStrategy::new(strategy),
            clock: None,
            entropy: None,
            stripes: default_stripes(),
            spillover: Spillover::default(),
            panic_threshold: 0.5,
            initial_availability: Availability::Up,
            latency_histograms: false,
            address_checks: AddressChecks::default(),
        }
    }

    /// Sets the clock. Default: a [`SystemClock`].
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Sets the source of random numbers. Default: one generator per thread, seeded by the operating system.
    #[must_use]
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = Some(entropy);
        self
    }

    /// Sets the number of stripes: counters into which the in-flight count of each endpoint is split, so that threads
    /// do not contend for one. From 1 to 64; other values are clamped. Default: one per core, at most 4.
    ///
    /// A stripe costs about 128 bytes per endpoint, and a strategy that compares endpoints reads all stripes. Use 1 for
    /// simulations and single-threaded programs.
    #[must_use]
    pub fn stripes(mut self, stripes: usize) -> Self {
        self.stripes = stripes.clamp(1, MAX_STRIPES);
        self
    }

    /// Sets how tiers share the traffic. Default: [`Spillover::WhenExhausted`], a tier is used if no earlier tier can
    /// serve.
    #[must_use]
    pub fn spillover(mut self, spillover: Spillover) -> Self {
        self.spillover = spillover;
        self
    }

    /// Sets the panic threshold: the share of healthy endpoints in a tier below which the pool ignores health there.
    /// From 0, which means never, to 1; other values are clamped. Default 0.5.
    ///
    /// A tier in a panic uses its [unhealthy](crate::Availability::Unhealthy) endpoints like healthy ones. If so many
    /// look unhealthy, the cause is probably the health check, or an overload that the remaining endpoints would not
    /// survive.
    ///
    /// Only endpoints of weight above 0 that are up, unhealthy or on probation count. No tier is in a panic while all
    /// tiers together can carry the traffic, that is, while the sum of their health is at least 100 %. The health of a
    /// tier is its share of endpoints that are up, multiplied by the overprovisioning factor of [`Spillover`] (1.4 for
    /// [`WhenExhausted`](Spillover::WhenExhausted)), and at most 100 %. Source: Envoy's panic threshold.
    ///
    /// ```
    /// use equipoise_core::{Availability, EndpointSpec, P2c, PickRequest, Pool};
    ///
    /// let pool = Pool::builder(P2c::new()).build();
    /// pool.update(["a:80", "b:80", "c:80"].map(EndpointSpec::new), |_| ())?;
    /// pool.set_availability("a:80", Availability::Unhealthy)?;
    /// assert_ne!(pool.pick(&PickRequest::new())?.endpoint().id().as_str(), "a:80");
    /// // All are unhealthy: the pool ignores health.
    /// pool.set_availability("b:80", Availability::Unhealthy)?;
    /// pool.set_availability("c:80", Availability::Unhealthy)?;
    /// assert!(pool.pick(&PickRequest::new()).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn panic_threshold(mut self, share: f64) -> Self {
        self.panic_threshold = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) };
        self
    }

    /// Sets the availability of endpoints that join or are replaced. Default: [`Availability::Up`].
    ///
    /// Use [`Maintenance`](Availability::Maintenance) if a health check sets endpoints up once they have passed, so
    /// that none gets requests before.
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

    /// Sets whether each endpoint has a histogram of its latencies, which [`Pool::endpoints`] returns. Default: false.
    ///
    /// A histogram takes 3.4 KB for each endpoint and [stripe](Self::stripes). With it, each request reads the clock
    /// twice, even if the strategy does not need the time. [`LatencyHistogram`](crate::LatencyHistogram) states its
    /// precision.
    #[must_use]
    pub fn latency_histograms(mut self, on: bool) -> Self {
        self.latency_histograms = on;
        self
    }

    /// Adds a check for the addresses of endpoints that join, beyond the [basic check](crate::EndpointSpec::new) of
    /// every pool.
    ///
    /// An endpoint whose address fails is refused when it is added, and not at its first request. Can be called several
    /// times: an address has to pass all checks.
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
    pub fn addresses(self, check: impl Fn(&str) -> Result<(), InvalidAddress> + Send + Sync + 'static) -> Self {
        self.address_checks.add(check);
        self
    }

    /// Builds the pool, without endpoints.
    pub fn build(self) -> Pool<T> {
        let inner = Arc::new_cyclic(|pool| {
            let context = Arc::new(PoolContext {
                clock: self.clock.unwrap_or_else(|| Arc::new(SystemClock::new())),
                entropy: self.entropy,
                hooks: self.strategy.lease_hooks(),
                failing: AtomicU32::new(0),
                latency_histograms: self.latency_histograms,
                waiting: AtomicU64::new(0),
                queue: Box::new(QueueLink(pool.clone())),
            });
            PoolInner {
                snapshot: Swap::new(Arc::new(Snapshot::empty())),
                writer: Mutex::new(()),
                queue: Queue::new(Arc::clone(&context)),
                stripes: self.stripes,
                changed: Event::default(),
                refresh_at: AtomicU64::new(0),
                settings: PoolSettings {
                    needs: if self.latency_histograms { self.strategy.needs().clock() } else { self.strategy.needs() },
                    strategy: self.strategy,
                    spillover: self.spillover,
                    panic_threshold: self.panic_threshold,
                    initial_availability: self.initial_availability,
                    address_checks: self.address_checks,
                    context,
                },
            }
        });
        Pool { inner, target: PhantomData }
    }
}
