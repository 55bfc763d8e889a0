use std::{marker::PhantomData, sync::Arc, time::Duration};

use super::{
    acquire::QueueLink,
    changes::Watchers,
    counters::Counters,
    departed::Departures,
    queue::Queue,
    removal::RemovalHooks,
    spillover::Spillover,
    state::{Pool, PoolInner, PoolSettings, Snapshot},
};
use crate::{
    endpoint::{AddressChecks, Availability, InvalidAddress, PoolContext},
    entropy::Entropy,
    load::default_stripes,
    strategy::{AnyStrategy, LogEwma, Strategy},
    sync::{AtomicU32, AtomicU64, Event, Mutex, Swap},
    time::{Clock, SystemClock},
};

/// Builds a [`Pool`]. The settings of the builder cannot change after the pool is built. Created by [`Pool::builder`].
/// `T` is the type of the pool's targets: what requests are sent with, such as a client. Usually the compiler infers
/// `T` from the use of the pool.
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
    keep_departed: Duration,
    address_checks: AddressChecks,
}

/// The maximum number of stripes. More would cost memory, and machines with more cores hardly gain from them.
const MAX_STRIPES: usize = 64;

impl<T: Send + Sync + 'static> Pool<T> {
    /// Creates a pool without endpoints. After endpoints are added, `strategy` picks one of them for each request. All
    /// other settings have the defaults of [`PoolBuilder`]. The strategy of a pool cannot be changed later: for another
    /// strategy, create another pool.
    pub fn new(strategy: impl Strategy) -> Self {
        Self::builder(strategy).build()
    }

    /// Creates a [`PoolBuilder`] for a pool in which `strategy` picks the endpoints. Use it to change other settings
    /// from their defaults. The strategy of [`Pool::default`] is `LogEwma::new()`.
    pub fn builder(strategy: impl Strategy) -> PoolBuilder<T> {
        PoolBuilder::new(strategy)
    }
}

impl<T: Send + Sync + 'static> Default for Pool<T> {
    /// Creates a pool without endpoints that picks with the default strategy, [`LogEwma`].
    fn default() -> Self {
        Self::new(LogEwma::new())
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
            keep_departed: Duration::from_secs(600),
            address_checks: AddressChecks::default(),
        }
    }

    /// Sets the clock from which the pool and its strategy read the time. Default: a [`SystemClock`]. Tests and
    /// simulations set a [`ManualClock`](crate::ManualClock).
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Sets the source of random numbers for the pool and its strategy. Default: one generator for each thread, seeded
    /// by the operating system. Tests and simulations set a [`SeededEntropy`](crate::SeededEntropy), so that picks are
    /// repeatable.
    #[must_use]
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = Some(entropy);
        self
    }

    /// Sets the number of stripes: how many counters of requests in flight each endpoint has. Each thread uses one of
    /// these counters. The number of requests in flight at an endpoint is the sum of its counters. With more stripes,
    /// fewer threads contend for one counter.
    ///
    /// Range: 1 to 64; other values are clamped. Default: the number of cores, at most 4. Each stripe takes about 128
    /// bytes for each endpoint. A strategy that compares the load of endpoints reads all counters of these endpoints.
    /// Use 1 for simulations and programs with one thread.
    #[must_use]
    pub fn stripes(mut self, stripes: usize) -> Self {
        self.stripes = stripes.clamp(1, MAX_STRIPES);
        self
    }

    /// Sets how tiers (priority groups of endpoints) share the traffic. Default: [`Spillover::WhenExhausted`], which
    /// uses a tier only if no earlier tier can serve the request.
    #[must_use]
    pub fn spillover(mut self, spillover: Spillover) -> Self {
        self.spillover = spillover;
        self
    }

    /// Sets the panic threshold: the minimum share of healthy endpoints in a tier (priority group of endpoints). If the
    /// share is lower, the tier can be in a panic. In a panic, the pool treats all endpoints of the tier that are
    /// [unhealthy](crate::Availability::Unhealthy) or on [probation](crate::Availability::Probation) like healthy
    /// endpoints.
    ///
    /// Range: 0 to 1; other values are clamped, and NaN counts as 0. With 0, no tier is ever in a panic. Default: 0.5.
    ///
    /// The reason for a panic: if most endpoints seem unhealthy, either the health check is probably wrong, or there is
    /// an overload that the healthy endpoints would not survive alone.
    ///
    /// A tier is in a panic if both of the following conditions are true. Endpoints of weight 0 are not counted in
    /// either of them.
    ///
    /// - The share of healthy endpoints of the tier is below the threshold. This share is (endpoints that are up) /
    ///   (endpoints that are up, unhealthy or on probation).
    /// - All tiers together cannot carry the traffic: the sum of the health of all tiers is below 100 %. The health of
    ///   a tier is (endpoints that are up) / (all its endpoints), multiplied by the overprovisioning factor of
    ///   [`Spillover`], and at most 100 %. The factor is 1.4 for [`WhenExhausted`](Spillover::WhenExhausted).
    ///
    /// For example, a pool has one tier with three endpoints, and one of them is up. The share is 1/3, and the health
    /// of the tier is 47 %. With the default threshold, the tier is in a panic. Source: Envoy's panic threshold.
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

    /// Sets the availability with which an endpoint joins the pool. The availability is also set to this value when the
    /// address of an endpoint changes. Default: [`Availability::Up`].
    ///
    /// Use [`Maintenance`](Availability::Maintenance) if new endpoints must get no requests before their first health
    /// check has passed. The code that checks them must then set them to `Up`.
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

    /// Sets whether the pool keeps histograms of the times of requests for each endpoint: of the times to the first byte
    /// of responses, and of the whole times. [`Pool::endpoints`] and [`Pool::status`] return the histograms. Default:
    /// false.
    ///
    /// The histograms take 6.8 KB for each [stripe](Self::stripes) of each endpoint. With histograms, each request
    /// reads the clock three times, even if the strategy does not need the time, and makes four atomic additions to
    /// memory of its stripe. [`LatencyHistogram`](crate::LatencyHistogram) states the precision of a histogram.
    #[must_use]
    pub fn latency_histograms(mut self, on: bool) -> Self {
        self.latency_histograms = on;
        self
    }

    /// Sets how long [`Pool::departed`] lists an endpoint that has left the pool, with its counts. Default: 10 minutes.
    /// With [`Duration::ZERO`], no endpoint is listed.
    ///
    /// After this time, the counts of an endpoint are added to those of the next listed endpoint with the same id, if there
    /// is one. If there is none, but the pool has an endpoint with the same id, the endpoint is listed for a longer time. The
    /// counts of all endpoints with the same id, added up, therefore do not decrease while one of them is in the pool.
    ///
    /// The time should be longer than the interval at which metrics are read, so that the last counts of an endpoint are
    /// read at least once. The totals of the pool, [`Pool::stats`], never lose the counts of an endpoint, whatever this
    /// time is.
    ///
    /// If more than 1 000 endpoints would be listed, the counts of each are added to those of the next one with the same id
    /// before its time is over. Of the endpoints whose ids are not in the pool, the last 1 000 that left are listed then,
    /// and the pool lists at most one for each id that it has. A listed endpoint takes about 0.5 KB, and 16 bytes for each
    /// bucket that is not empty in its [histograms](Self::latency_histograms). While an endpoint that has left still has
    /// leases, it takes as much memory as an endpoint of the pool, but its target is dropped with its last lease. This
    /// memory is freed by the next change of the membership, or when the pool is read.
    ///
    /// ```
    /// use std::{sync::Arc, time::Duration};
    /// use equipoise_core::{EndpointSpec, ManualClock, P2c, Pool};
    ///
    /// let clock = Arc::new(ManualClock::new());
    /// let pool = Pool::<()>::builder(P2c::new()).clock(clock.clone()).keep_departed(Duration::from_secs(60)).build();
    /// pool.add(EndpointSpec::new("a:80"), ())?;
    /// pool.remove("a:80")?;
    /// clock.advance(Duration::from_secs(59));
    /// assert_eq!(pool.departed().len(), 1);
    /// clock.advance(Duration::from_secs(1));
    /// assert!(pool.departed().is_empty());
    /// # Ok::<(), equipoise_core::UpdateError>(())
    /// ```
    #[must_use]
    pub fn keep_departed(mut self, keep: Duration) -> Self {
        self.keep_departed = keep;
        self
    }

    /// Adds a check for the addresses of endpoints that join the pool or get another address. Every pool also makes a
    /// [basic check](crate::EndpointSpec::new) of addresses.
    ///
    /// If `check` returns an error for the address of an endpoint, the whole update of the pool fails with
    /// [`InvalidSpec::Address`](crate::InvalidSpec::Address). Without the check, the endpoint would be added, and its
    /// first request would fail. If this method is called several times with different closures, an address must pass
    /// all of them. Of several checks of the same Rust type, such as two function pointers, only the first is kept.
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

    /// Builds the pool. The new pool has no endpoints. Picks fail with [`PickError::Empty`](crate::PickError::Empty)
    /// until endpoints are added.
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
                departures: Departures::new(self.keep_departed),
                counters: Box::<Counters>::default(),
                changed: Event::default(),
                refresh_at: AtomicU64::new(0),
                watchers: Watchers::default(),
                settings: PoolSettings {
                    needs: if self.latency_histograms { self.strategy.needs().clock() } else { self.strategy.needs() },
                    strategy: self.strategy,
                    spillover: self.spillover,
                    panic_threshold: self.panic_threshold,
                    initial_availability: self.initial_availability,
                    address_checks: self.address_checks,
                    removal_hooks: RemovalHooks::default(),
                    context,
                },
            }
        });
        Pool { inner, target: PhantomData }
    }
}
