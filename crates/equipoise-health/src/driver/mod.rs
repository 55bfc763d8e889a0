//! The driver: runs a machine under tokio.

mod changes;
mod drain;
mod health;
mod run;
mod shared;

pub use self::{
    changes::Changes,
    drain::DrainOutcome,
    health::{Health, HealthBuilder, HealthGuard},
};

/// The health of one pool: what is checked, what is thought, what operators want. Clones share it.
///
/// ```
/// use equipoise_core::{EndpointSpec, PeakEwma, Pool};
/// use equipoise_health::{Health, Outliers, Schedule, probe::Tcp};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let health = Health::builder().check("tcp", Schedule::new(), Tcp::new()).outliers(Outliers::envoy()).build()?;
/// let pool = Pool::new(health.watch(PeakEwma::new()));
/// let checking = health.spawn(&pool);
/// pool.update(["10.0.0.1:80", "10.0.0.2:80"].map(EndpointSpec::new), |_| ())?;
/// # drop(checking);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Health(Arc<Shared>);

struct Shared {
    machine: Mutex<Machine>,
    /// By check.
    probes: Vec<Arc<dyn Probe>>,
    signals: Signals,
    wake: Arc<Notify>,
    /// Held by whoever runs.
    running: tokio::sync::Mutex<Known>,
    listeners: Mutex<Vec<mpsc::UnboundedSender<Change>>>,
    origin: Instant,
}

impl Health {
    /// For checks, outlier detection and the rest.
    pub fn builder() -> HealthBuilder {
        HealthBuilder::new()
    }

    /// The strategy, with an ear for how requests end: for [`outliers`](HealthBuilder::outliers). It picks as before. A pool
    /// that is only checked needs none of it. For one pool: another needs a `Health` of its own.
    pub fn watch<S: Strategy>(&self, strategy: S) -> Watched<S> {
        self.0.signals.watch(strategy)
    }

    /// Checks the pool's endpoints, and says what follows to the pool, for as long as the future is polled. Whoever joins,
    /// leaves or moves is noticed.
    ///
    /// While it runs, availability is its business: what others set directly holds until an opinion changes. Operators
    /// speak to it by [`order`](Self::order). It runs once at a time: another call waits until this one is dropped, and
    /// goes on from there.
    pub async fn run<T: Send + Sync + 'static>(&self, pool: Pool<T>) {
        let mut known = self.0.running.lock().await;
        run::Runner::new(&self.0, &pool, &mut known).run().await;
    }

    /// [`run`](Self::run) as a task of its own, which ends when the guard is dropped.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn spawn<T: Send + Sync + 'static>(&self, pool: &Pool<T>) -> Guard {
        let (health, pool) = (self.clone(), pool.clone());
        Guard::new(tokio::spawn(async move { health.run(pool).await }))
    }

    /// What an operator wants of an endpoint. Takes effect at once, if [`run`](Self::run) is under way. If the pool has no
    /// endpoint of this id, the order is remembered until one joins; of such orders the last 1 024 are kept. An order is
    /// over when the endpoint leaves the pool.
    pub fn order(&self, id: impl Into<EndpointId>, order: Order) {
        let event = Event::Ordered { id: id.into(), order };
        self.0.machine.lock().handle(self.0.now(), event);
        self.0.wake.notify_one();
    }

    /// Lets an endpoint drain: it gets nothing new, and after `deadline`, if there is one, nothing at all.
    ///
    /// The future ends when the last of the endpoint's leases is gone, and not before [`run`](Self::run) has told the pool;
    /// at the deadline, whatever is left by then; or when an operator takes the endpoint back. It says which. The order is
    /// given when the future is first polled; dropping it takes nothing back.
    ///
    /// Leases are told of the drain by [`Lease::draining`](equipoise_core::Lease::draining) when it begins, and by
    /// [`Lease::closing`](equipoise_core::Lease::closing) at its deadline, so that tunnels and long bodies can end
    /// themselves. Nothing is cut off, not even by [`Pool::remove`] afterwards.
    ///
    /// An id that the pool does not have is [`Unknown`](Drained::Unknown), and no order is given.
    pub async fn drain<T: Send + Sync + 'static>(
        &self,
        pool: &Pool<T>,
        id: impl Into<EndpointId>,
        deadline: Option<Duration>,
    ) -> Drained {
        let id = id.into();
        if pool.availability(id.as_str()).is_none() {
            return Drained::Unknown;
        }
        let mut idle = pool.idle(id.clone());
        self.order(id.clone(), Order::Drain { deadline });
        let ended = async {
            // Before the pool knows, it may be idle for a moment and get more.
            let mut told = false;
            while !self.is_taken_back(&id) {
                let revision = pool.revision();
                let takes_more = |to| !matches!(to, Availability::Draining | Availability::Maintenance);
                told |= !pool.availability(id.as_str()).is_some_and(takes_more);
                tokio::select! {
                    biased;
                    () = &mut idle, if told => return,
                    _ = pool.changed(revision) => {}
                }
            }
        };
        let deadline = async {
            match deadline {
                Some(deadline) => tokio::time::sleep(deadline).await,
                None => std::future::pending().await,
            }
        };
        let in_time = tokio::select! { biased; () = ended => true, () = deadline => false };
        match in_time {
            _ if self.is_taken_back(&id) => Drained::Recalled,
            true => Drained::Idle,
            false => Drained::Deadline { left: idle.in_flight() },
        }
    }

    /// Whether the endpoint is known and no operator has anything against it.
    fn is_taken_back(&self, id: &EndpointId) -> bool {
        let by_operator = |opinion: &Opinion| opinion.source == Source::Operator;
        self.standing(id).is_some_and(|standing| !standing.opinions.iter().any(by_operator))
    }

    /// The time on the clock of [`Opinion::since`] and [`Change::at`], to compare them with. It is tokio's, so it stands
    /// still where tokio's does in tests; it is not the [pool's](Pool::now).
    ///
    /// ```
    /// use equipoise_core::{EndpointSpec, Pool};
    /// use equipoise_health::Health;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let health = Health::builder().build()?;
    /// for standing in health.standings() {
    ///     for opinion in standing.opinions {
    ///         println!("{} is {} for {:?}", standing.id, opinion.reason, health.now().since(opinion.since));
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub fn now(&self) -> Timestamp {
        self.0.now()
    }

    /// What is thought of an endpoint, and by whom.
    pub fn standing(&self, id: impl AsRef<str>) -> Option<Standing> {
        self.0.machine.lock().standing(id)
    }

    /// What is thought of all of them.
    pub fn standings(&self) -> Vec<Standing> {
        self.0.machine.lock().standings().collect()
    }

    /// Every change from now on, in order. They are kept until they are read.
    pub fn changes(&self) -> mpsc::UnboundedReceiver<Change> {
        let (sender, receiver) = mpsc::unbounded();
        let mut listeners = self.0.listeners.lock();
        listeners.retain(|listener| !listener.is_closed());
        listeners.push(sender);
        receiver
    }
}

/// How a [drain](Health::drain) ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Drained {
    /// The last lease is gone: the endpoint can be removed without cutting anything off.
    Idle,
    /// The deadline passed first. The endpoint gets nothing more, and can be removed if what is left may be given up.
    Deadline {
        /// The number of leases that were still out.
        left: u32,
    },
    /// The pool has no endpoint of this id. No order was given.
    Unknown,
    /// The endpoint was taken back meanwhile ([`Order::Ready`]). Do not remove it.
    Recalled,
}

impl Shared {
    /// On the machine's clock.
    fn now(&self) -> Timestamp {
        // One nanosecond on, so that nothing happens at the zero that reads as "never".
        Timestamp::from_nanos(1) + self.origin.elapsed()
    }

    fn tell(&self, change: &Change) {
        tracing::info!(
            endpoint = %change.id, from = %change.from, to = %change.to, source = %change.source,
            reason = %change.reason, "health changed"
        );
        self.listeners.lock().retain(|listener| listener.unbounded_send(change.clone()).is_ok());
    }
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Health").field("standings", &self.standings()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn listeners_that_are_gone_are_forgotten_also_where_nothing_changes() {
        let health = Health::builder().build().expect("nothing is wrong with it");
        let kept = health.changes();
        for _ in 0..100 {
            drop(health.changes());
        }
        assert!(health.0.listeners.lock().len() <= 2);
        drop(kept);
    }
}
