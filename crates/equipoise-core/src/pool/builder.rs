use std::{marker::PhantomData, sync::Arc};

use super::{Hooks, Pool, Shared, Spill, snapshot::Snapshot};
use crate::{
    endpoint::Availability,
    entropy::Entropy,
    load::default_stripes,
    strategy::{AnyStrategy, Strategy},
    sync::{AtomicU64, Event, Mutex, Swap},
    time::{Clock, SystemClock},
};

/// Settings of a [`Pool`] that cannot change later.
///
/// ```
/// use std::sync::Arc;
/// use equipoise_core::{ManualClock, P2c, Pool, SeededEntropy};
///
/// // Repeatable: for tests and simulations.
/// let pool: Pool<()> = Pool::<()>::builder(P2c::new())
///     .clock(Arc::new(ManualClock::new()))
///     .entropy(Arc::new(SeededEntropy::new(42)))
///     .stripes(1)
///     .build();
/// # let _ = pool;
/// ```
pub struct PoolBuilder {
    strategy: AnyStrategy,
    clock: Option<Arc<dyn Clock>>,
    entropy: Option<Arc<dyn Entropy>>,
    stripes: usize,
    spill: Spill,
    panic_below: f64,
    newcomers: Availability,
}

impl PoolBuilder {
    pub(super) fn new(strategy: impl Strategy) -> Self {
        Self {
            strategy: AnyStrategy::new(strategy),
            clock: None,
            entropy: None,
            stripes: default_stripes(),
            spill: Spill::default(),
            panic_below: 0.5,
            newcomers: Availability::Open,
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
    /// them all; one is right for simulations and single-threaded programs. Zero counts as one.
    #[must_use]
    pub fn stripes(mut self, stripes: usize) -> Self {
        self.stripes = stripes.max(1);
        self
    }

    /// How traffic is shared among tiers; by default a tier is used when no earlier one can serve.
    #[must_use]
    pub fn spill(mut self, spill: Spill) -> Self {
        self.spill = spill;
        self
    }

    /// In which state a tier panics: when less than this part of its endpoints is fit, it is used whole, those that are
    /// [unfit](crate::Availability::Unfit) included; 0.5 by default, 0 never. What took the rest out is then more likely
    /// the checker's error, or an overload that the fit ones would be next to die of.
    ///
    /// The part is counted over the endpoints that were not taken out on purpose (closed, draining or of weight 0). No
    /// tier panics while the tiers together can carry the traffic: as long as their healths, of which each is its fit part
    /// times the overprovisioning of [`Spill`] (140 % if tiers do not share), come to 100 %. Source: Envoy's panic
    /// threshold.
    ///
    /// ```
    /// use equipoise_core::{Availability, EndpointSpec, P2c, PickRequest, Pool};
    ///
    /// let pool = Pool::<()>::builder(P2c::new()).build();
    /// pool.update(["a:80", "b:80", "c:80"].map(EndpointSpec::new), |_| ())?;
    /// pool.set_availability("a:80", Availability::Unfit)?;
    /// assert_ne!(pool.pick(&PickRequest::new())?.endpoint().id().as_str(), "a:80");
    /// // All unfit: somebody has to try.
    /// pool.set_availability("b:80", Availability::Unfit)?;
    /// pool.set_availability("c:80", Availability::Unfit)?;
    /// assert!(pool.pick(&PickRequest::new()).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn panic_below(mut self, part: f64) -> Self {
        self.panic_below = if part.is_nan() { 0.0 } else { part.clamp(0.0, 1.0) };
        self
    }

    /// Whom an endpoint takes that joins, or is replaced; by default everybody. [`Closed`](Availability::Closed) where
    /// whoever checks endpoints opens them once they have passed, so that none is used before.
    ///
    /// ```
    /// use equipoise_core::{Availability, EndpointSpec, P2c, Pool};
    ///
    /// let pool = Pool::<()>::builder(P2c::new()).newcomers(Availability::Closed).build();
    /// pool.add(EndpointSpec::new("a:80"), ())?;
    /// assert_eq!(pool.endpoints()[0].availability, Availability::Closed);
    /// # Ok::<(), equipoise_core::UpdateError>(())
    /// ```
    #[must_use]
    pub fn newcomers(mut self, availability: Availability) -> Self {
        self.newcomers = availability;
        self
    }

    /// The pool, empty.
    pub fn build<T: Send + Sync + 'static>(self) -> Pool<T> {
        let hooks = Hooks {
            needs: self.strategy.needs(),
            strategy: self.strategy,
            spill: self.spill,
            panic_below: self.panic_below,
            newcomers: self.newcomers,
            clock: self.clock.unwrap_or_else(|| Arc::new(SystemClock::new())),
            entropy: self.entropy,
            changed: Event::default(),
            freed: Event::default(),
            freed_for_some: Event::default(),
            some_have_waited: AtomicU64::new(0),
            refresh_at: AtomicU64::new(0),
        };
        let shared = Shared {
            snapshot: Swap::new(Arc::new(Snapshot::empty())),
            writer: Mutex::new(()),
            hooks: Arc::new(hooks),
            stripes: self.stripes,
        };
        Pool { shared: Arc::new(shared), target: PhantomData }
    }
}
