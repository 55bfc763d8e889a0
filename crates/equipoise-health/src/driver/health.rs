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
    machine::{AdminState, Event, HealthStatus, Machine},
    probe::Probe,
    requests::{Signals, Watched},
    settings::{CheckPolicy, HealthPolicy, InvalidHealth, Outliers, Schedule},
};

/// Health checks and outlier detection for one pool, driven by tokio. Clones share the state.
///
/// ```
/// use equipoise_core::{EndpointSpec, PeakEwma, Pool};
/// use equipoise_health::{Health, Outliers, Schedule, probe::TcpProbe};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let health = Health::builder().check("tcp", Schedule::new(), TcpProbe::new()).outliers(Outliers::envoy()).build()?;
/// let pool = Pool::new(health.watch(PeakEwma::new()));
/// let guard = health.spawn(&pool);
/// pool.update(["10.0.0.1:80", "10.0.0.2:80"].map(EndpointSpec::new), |_| ())?;
/// # drop(guard);
/// # Ok(()) }
/// ```
///
/// See [`Machine`](crate::machine::Machine) for how the sources of information are combined.
#[derive(Clone)]
pub struct Health(pub(super) Arc<Shared>);

impl Health {
    /// A builder without checks and without outlier detection.
    pub fn builder() -> HealthBuilder {
        HealthBuilder { policy: HealthPolicy::new(), probes: Vec::new(), seed: None }
    }

    /// Wraps a pool's strategy, so that outlier detection sees the results of its requests. It picks as before.
    ///
    /// It is needed for [`outliers`](HealthBuilder::outliers) only. Watch the strategy of only one pool; each pool needs a
    /// `Health` of its own.
    pub fn watch<S: Strategy>(&self, strategy: S) -> Watched<S> {
        self.0.signals.watch(strategy)
    }

    /// Checks the pool's endpoints and sets their availability, for as long as the future is polled. It never ends.
    ///
    /// Endpoints that join, leave or change their address are noticed. While it runs, do not set availability on the pool:
    /// such a setting is overwritten when a condition changes. Operators use [`set_admin_state`](Self::set_admin_state).
    ///
    /// Only one call runs at a time. Another call waits until the first one is dropped, and then continues with its state.
    pub async fn run<T: Send + Sync + 'static>(&self, pool: Pool<T>) {
        let mut known = self.0.running.lock().await;
        Runner::new(&self.0, &pool, &mut known).run().await;
    }

    /// Starts [`run`](Self::run) as a task. The task ends when the guard is dropped.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub fn spawn<T: Send + Sync + 'static>(&self, pool: &Pool<T>) -> HealthGuard {
        let (health, pool) = (self.clone(), pool.clone());
        HealthGuard(tokio::spawn(async move { health.run(pool).await }))
    }

    /// Sets the administrative state of an endpoint. It takes effect at once if [`run`](Self::run) is active.
    ///
    /// If the pool has no endpoint of this id, the state is kept until one joins; the last 1 024 such states are kept. The
    /// state ends when the endpoint leaves the pool.
    pub fn set_admin_state(&self, id: impl Into<EndpointId>, state: AdminState) {
        let event = Event::AdminStateSet { id: id.into(), state };
        self.0.machine.lock().handle(self.0.now(), event);
        self.0.wake.notify_one();
    }

    /// The time on the clock of [`Condition::since`](crate::Condition::since) and
    /// [`AvailabilityChange::at`](crate::AvailabilityChange::at).
    ///
    /// It is tokio's clock, so it stands still if tokio's time is paused. It is not the clock of the [pool](Pool::now).
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

    /// The health of an endpoint. `None` if [`run`](Self::run) has not seen it in the pool.
    pub fn status(&self, id: impl AsRef<str>) -> Option<HealthStatus> {
        self.0.machine.lock().status(id)
    }

    /// The health of all endpoints, in the order in which they joined. O(n) for n endpoints, under the lock of the machine.
    pub fn statuses(&self) -> Vec<HealthStatus> {
        self.0.machine.lock().statuses().collect()
    }

    /// The changes of availability from now on, in order. A change is sent after the pool has it.
    pub fn changes(&self) -> AvailabilityChanges {
        self.0.listeners.add()
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("statuses", &self.statuses()).finish_non_exhaustive()
    }
}

/// Runs health checks until it is dropped. Returned by [`Health::spawn`].
#[derive(Debug)]
#[must_use = "the checks end when it is dropped"]
pub struct HealthGuard(JoinHandle<()>);

impl Drop for HealthGuard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Builds a [`Health`].
#[must_use]
pub struct HealthBuilder {
    policy: HealthPolicy,
    probes: Vec<Arc<dyn Probe>>,
    seed: Option<u64>,
}

impl HealthBuilder {
    /// Adds a check, which runs the probe on every endpoint by the schedule. `name` is used in reasons and status.
    ///
    /// There may be several checks: an endpoint must pass all of them. An [`AgentProbe`](crate::probe::AgentProbe) does not
    /// fail; it reports the state that its agent wants.
    pub fn check(mut self, name: impl Into<String>, schedule: Schedule, probe: impl Probe) -> Self {
        self.policy.checks.push(CheckPolicy::new(name, schedule).on_timeout(probe.on_timeout()));
        self.probes.push(Arc::new(probe));
        self
    }

    /// Turns on outlier detection. The pool's strategy must be wrapped by [`Health::watch`]. Default: off.
    pub fn outliers(mut self, outliers: Outliers) -> Self {
        self.policy.outliers = Some(outliers);
        self
    }

    /// The maximum number of probes that run at a time. Minimum 1, default 256. See
    /// [`HealthPolicy::max_concurrent_probes`](field@HealthPolicy::max_concurrent_probes).
    pub fn max_concurrent_probes(mut self, probes: usize) -> Self {
        self.policy.max_concurrent_probes = probes;
        self
    }

    /// The seed of all random numbers (jitter, and the spread of first probes). Default: a random seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Builds the `Health`. It does nothing until [`Health::run`] or [`Health::spawn`] is called.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first invalid setting.
    pub fn build(self) -> Result<Health, InvalidHealth> {
        let (signals, wake) = (Signals::new(self.policy.outliers), Arc::new(Notify::new()));
        let machine = Machine::new(self.policy, self.seed.unwrap_or_else(rand::random))?;
        let waker = Arc::clone(&wake);
        signals.wake_by(move || waker.notify_one());
        Ok(Health(Arc::new(Shared {
            machine: Mutex::new(machine),
            probes: self.probes,
            signals,
            wake,
            running: tokio::sync::Mutex::default(),
            listeners: Listeners::default(),
            origin: Instant::now(),
        })))
    }
}
