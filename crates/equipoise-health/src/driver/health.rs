use std::{fmt, sync::Arc};

use equipoise_core::{EndpointId, Pool, Strategy, Timestamp};
use parking_lot::Mutex;
use tokio::{sync::Notify, task::JoinHandle, time::Instant};

use super::{
    changes::{AvailabilityChanges, Listeners},
    run::Runner,
    shared::Shared,
};
use crate::{
    machine::{AdminState, Event, HealthStats, HealthStatus, Machine},
    probe::Probe,
    requests::{CollectingStrategy, ResultCollector},
    settings::{CheckPolicy, HealthPolicy, InvalidHealth, Outliers, Schedule},
};

/// The health checks and outlier detection of one pool, run by tokio. Clones share the state.
///
/// ```
/// use equipoise_core::{EndpointSpec, LogEwma, Pool};
/// use equipoise_health::{Health, Outliers, Schedule, probe::TcpProbe};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let health = Health::builder().check("tcp", Schedule::new(), TcpProbe::new()).outliers(Outliers::envoy()).build()?;
/// let pool = Pool::new(health.watch(LogEwma::new()));
/// let guard = health.spawn(&pool);
/// pool.update(["10.0.0.1:80", "10.0.0.2:80"].map(EndpointSpec::new), |_| ())?;
/// # drop(guard);
/// # Ok(()) }
/// ```
///
/// [`machine::Machine`](crate::machine::Machine) describes how the sources of information (operators, agents, checks
/// and requests) are combined.
#[derive(Clone)]
pub struct Health(pub(super) Arc<Shared>);

impl Health {
    /// Creates a builder without checks and without outlier detection.
    pub fn builder() -> HealthBuilder {
        HealthBuilder { name: None, policy: HealthPolicy::new(), probes: Vec::new(), seed: None }
    }

    /// Wraps the strategy of a pool, so that outlier detection learns the results of the pool's requests. The wrapped
    /// strategy picks the same endpoints as before.
    ///
    /// Call this method only if outlier detection is turned on by [`outliers`](HealthBuilder::outliers). Wrap the
    /// strategy of one pool only. Another pool needs another `Health`.
    pub fn watch<S: Strategy>(&self, strategy: S) -> CollectingStrategy<S> {
        self.0.collector.watch(strategy)
    }

    /// Checks the endpoints of the pool and sets their availability, for as long as the future is polled. The future
    /// never ends.
    ///
    /// The future notices endpoints that join, leave or change their address. While the future is polled, do not set
    /// the availability of endpoints on the pool: the next change of an endpoint's health overwrites this setting. To
    /// drain endpoints or put them in maintenance, use [`set_admin_state`](Self::set_admin_state).
    ///
    /// Only one call of `run` is active at a time. A second call waits until the future of the first call is dropped.
    /// The second call then continues with the health that the first call has determined.
    pub async fn run<T: Send + Sync + 'static>(&self, pool: Pool<T>) {
        let mut known = self.0.running.lock().await;
        Runner::new(&self.0, &pool, &mut known).run().await;
    }

    /// Starts a tokio task that checks the pool's endpoints and sets their availability (see [`run`](Self::run)). The
    /// task ends when the returned guard is dropped.
    ///
    /// A `Health` checks one pool at a time. If it is spawned for another pool too, that pool is not checked before the
    /// guard of the first one is dropped. Create a `Health` for each pool.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub fn spawn<T: Send + Sync + 'static>(&self, pool: &Pool<T>) -> HealthGuard {
        let (health, pool) = (self.clone(), pool.clone());
        HealthGuard(tokio::spawn(async move { health.run(pool).await }))
    }

    /// Sets the administrative state of an endpoint: ready, drain or maintenance. If [`run`](Self::run) is active, the
    /// state takes effect at once. Otherwise it takes effect when `run` becomes active.
    ///
    /// If the pool has no endpoint with this id, the state is stored until an endpoint with this id joins. The states
    /// of at most 1 024 absent endpoints are stored. If there are more, the oldest one is dropped. When an endpoint
    /// leaves the pool, its administrative state is forgotten.
    pub fn set_admin_state(&self, id: impl Into<EndpointId>, state: AdminState) {
        let event = Event::AdminStateSet { id: id.into(), state };
        self.0.machine.lock().handle(self.0.now(), event);
        self.0.wake.notify_one();
    }

    /// Replaces the checks by those of `new`, for example after a configuration was read again. The pool, outlier
    /// detection and administrative states are not affected. `new` is only read: it needs no pool.
    ///
    /// If a new check has the name of an old one, each endpoint keeps the state of this check, for example unhealthy,
    /// until the results of its new probes change it. Other new checks begin in their
    /// [initial state](Schedule::initial_state). An endpoint that was unhealthy only because of a check that is gone is
    /// up. What agents have reported stays until an agent reports something else.
    ///
    /// ```
    /// use std::time::Duration;
    /// use equipoise_health::{Health, Schedule, probe::TcpProbe};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let health = Health::builder().check("tcp", Schedule::new(), TcpProbe::new()).build()?;
    /// let often = Schedule::new().interval(Duration::from_secs(1));
    /// health.replace_checks(&Health::builder().check("tcp", often, TcpProbe::new()).build()?);
    /// # Ok(()) }
    /// ```
    pub fn replace_checks(&self, new: &Self) {
        // One lock after the other, because `new` may be this `Health`.
        let checks = new.0.machine.lock().policy.checks.clone();
        let probes = new.0.probes.lock().clone();
        let mut machine = self.0.machine.lock();
        *self.0.probes.lock() = probes;
        // They are valid, because `new` could be built with them.
        let _ = machine.replace_checks(self.0.now(), checks);
        drop(machine);
        self.0.wake.notify_one();
    }

    /// Returns the current time, for comparison with [`Condition::since`](crate::Condition::since),
    /// [`CheckStatus::since`](crate::CheckStatus::since) and [`AvailabilityChange::at`](crate::AvailabilityChange::at).
    ///
    /// The returned value is the time since this `Health` was built, on tokio's clock. This clock stands still while
    /// tokio's time is paused. Do not compare the value with the times of [`Pool::now`], which are counted from another
    /// moment.
    ///
    /// ```
    /// use equipoise_health::Health;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let health = Health::builder().build()?;
    /// for status in health.statuses() {
    ///     for condition in status.conditions {
    ///         println!("{}: {} for {:?}", status.id, condition.reason, health.now().since(condition.since));
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub fn now(&self) -> Timestamp {
        self.0.now()
    }

    /// Returns the health of the endpoint with this id. Returns `None` if the pool has no such endpoint, or if
    /// [`run`](Self::run) has not noticed it yet.
    pub fn status(&self, id: impl AsRef<str>) -> Option<HealthStatus> {
        self.0.machine.lock().status(id)
    }

    /// Returns the health of all endpoints, in the order in which they joined. Takes O(n) time for n endpoints. During
    /// this time, the health state machine is locked, so other calls and events wait.
    pub fn statuses(&self) -> Vec<HealthStatus> {
        self.0.machine.lock().statuses().collect()
    }

    /// Returns what was counted since this `Health` was built: changes of availability by source, ejections, and probes
    /// by check and result. [`replace_checks`](Self::replace_checks) and further calls of [`run`](Self::run) do not reset
    /// the numbers.
    ///
    /// ```
    /// use equipoise_core::{Availability, EndpointSpec, Pool};
    /// use equipoise_health::{AdminState, Health, Source};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let health = Health::builder().name("web").build()?;
    /// let pool: Pool<()> = Pool::default();
    /// pool.add(EndpointSpec::new("a:80"), ())?;
    /// let checking = health.spawn(&pool);
    /// let mut changes = health.changes();
    /// health.set_admin_state("a:80", AdminState::Maintenance);
    /// changes.next().await;
    ///
    /// let counted = &health.stats().changes[0];
    /// assert_eq!((counted.source, counted.to, counted.count), (Source::Operator, Availability::Maintenance, 1));
    /// # drop(checking);
    /// # Ok(()) }
    /// ```
    pub fn stats(&self) -> HealthStats {
        self.0.machine.lock().stats().clone()
    }

    /// Returns the name of the pool that was set with [`HealthBuilder::name`]. `None` if it has no name.
    pub fn name(&self) -> Option<&str> {
        self.0.name()
    }

    /// Returns a queue that receives all future changes of endpoints' availability, in the order in which they happen.
    /// Each change is put into the queue after it was applied to the pool.
    pub fn changes(&self) -> AvailabilityChanges {
        self.0.listeners.add()
    }

    /// Returns whether both values are clones of one `Health`.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("statuses", &self.statuses()).finish_non_exhaustive()
    }
}

/// Keeps the task of [`Health::spawn`] running. When the guard is dropped, the task ends, and the pool's endpoints are
/// no longer checked.
#[derive(Debug)]
#[must_use = "the checks end when it is dropped"]
pub struct HealthGuard(JoinHandle<()>);

impl Drop for HealthGuard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Builds a [`Health`]: the health checks and outlier detection of one pool. [`Health::builder`] creates the builder.
#[must_use]
pub struct HealthBuilder {
    name: Option<Box<str>>,
    policy: HealthPolicy,
    probes: Vec<Arc<dyn Probe>>,
    seed: Option<u64>,
}

impl HealthBuilder {
    /// Sets the name of the pool. The `tracing` events of this `Health`, such as `health changed` with the target
    /// `equipoise::event`, have it as the field `pool`. [`Health::name`] returns it. Default: no name, and events without
    /// this field.
    pub fn name(mut self, pool: impl Into<String>) -> Self {
        self.name = Some(pool.into().into_boxed_str());
        self
    }

    /// Adds a check, which runs `probe` on every endpoint at the times that `schedule` sets. The `name` of the check
    /// appears in [`CheckStatus`](crate::CheckStatus) and in the [reason](crate::Condition::reason) why an endpoint is
    /// not up. An endpoint must pass all checks to be up.
    ///
    /// A check with an [`AgentProbe`](crate::probe::AgentProbe) never fails. Instead, the endpoint gets the state that
    /// its agent reports.
    pub fn check(mut self, name: impl Into<String>, schedule: Schedule, probe: impl Probe) -> Self {
        self.policy.checks.push(CheckPolicy::new(name, schedule).on_timeout(probe.on_timeout()));
        self.probes.push(Arc::new(probe));
        self
    }

    /// Turns on outlier detection, which ejects endpoints because of the results of their requests. The pool's strategy
    /// must be wrapped by [`Health::watch`]. Default: outlier detection is off.
    pub fn outliers(mut self, outliers: Outliers) -> Self {
        self.policy.outliers = Some(outliers);
        self
    }

    /// Sets the maximum number of probes that run at the same time, over all endpoints and checks. If more probes are
    /// due, they wait until a running probe ends. [`build`](Self::build) returns an error for 0. Default: 256.
    /// [`HealthPolicy::max_concurrent_probes`](field@HealthPolicy::max_concurrent_probes) describes how to choose the
    /// number.
    pub fn max_concurrent_probes(mut self, probes: usize) -> Self {
        self.policy.max_concurrent_probes = probes;
        self
    }

    /// Sets the seed of all random numbers. These numbers determine the jitter of intervals and ejections, and when the
    /// first probe of each endpoint starts. Default: a random seed for each `Health`.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Creates the `Health`. Checks do not start until [`Health::run`] or [`Health::spawn`] is called.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first invalid setting.
    pub fn build(self) -> Result<Health, InvalidHealth> {
        let (collector, wake) = (ResultCollector::new(self.policy.outliers), Arc::new(Notify::new()));
        let machine = Machine::new(self.policy, self.seed.unwrap_or_else(rand::random))?;
        let waker = Arc::clone(&wake);
        collector.wake_by(move || waker.notify_one());
        Ok(Health(Arc::new(Shared {
            name: self.name,
            machine: Mutex::new(machine),
            probes: Mutex::new(self.probes),
            collector,
            wake,
            running: tokio::sync::Mutex::default(),
            listeners: Listeners::default(),
            origin: Instant::now(),
        })))
    }
}
