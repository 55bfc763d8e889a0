//! The pool, and how its state changes: a writer builds the next snapshot and publishes it as a whole.

use std::{fmt, marker::PhantomData, sync::Arc};

use super::{
    queue::{Queue, Recheck},
    settings::PoolSettings,
    snapshot::Snapshot,
    status::EndpointStatus,
};
use crate::{
    endpoint::{Availability, InvalidAddress, InvalidSpec, Stage},
    ids::{Revision, Slot},
    strategy::Strategy,
    sync::{AtomicU64, Event, Mutex, MutexGuard, Ordering, Swap, fence},
    time::Timestamp,
};

/// A set of endpoints, and the strategy that picks one of them for each request. Each endpoint has a target of type
/// `T`: what requests are sent with, such as a client or a channel. Use `()` if the address is enough.
///
/// Clones share the same pool. A pick does not wait for changes of the pool. Changes of the pool are made one after the
/// other, and a pick sees either all of a change or nothing of it.
///
/// ```
/// use equipoise_core::{EndpointSpec, PickRequest, Pool, Verdict};
///
/// let pool: Pool<String> = Pool::default();
/// pool.update(["10.0.0.1:80", "10.0.0.2:80"].map(EndpointSpec::new), |spec| format!("client for {}", spec.address()))?;
///
/// let lease = pool.pick(&PickRequest::new())?;
/// println!("{} through {:?}", lease.endpoint().id(), lease.target());
/// lease.finish(Verdict::Success);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Pool<T> {
    pub(super) inner: Arc<PoolInner>,
    pub(super) target: PhantomData<fn() -> T>,
}

/// A pool without the type of its targets.
pub(super) struct PoolInner {
    pub(super) snapshot: Swap<Snapshot>,
    /// Locked while the pool is changed.
    pub(super) writer: Mutex<()>,
    pub(super) settings: PoolSettings,
    pub(super) queue: Queue,
    pub(super) stripes: usize,
    /// Notified when a snapshot is published.
    pub(super) changed: Event,
    /// The time of the next refresh of the strategy, in nanoseconds on the pool's clock.
    pub(super) refresh_at: AtomicU64,
}

impl<T> Pool<T> {
    /// Returns the time of the pool's [clock](crate::PoolBuilder::clock).
    ///
    /// ```
    /// use std::{sync::Arc, time::Duration};
    /// use equipoise_core::{ManualClock, P2c, Pool, Timestamp};
    ///
    /// let clock = Arc::new(ManualClock::new());
    /// let pool = Pool::<()>::builder(P2c::new()).clock(clock.clone()).build();
    /// clock.advance(Duration::from_secs(1));
    /// assert_eq!(pool.now(), Timestamp::ZERO + Duration::from_secs(1));
    /// ```
    pub fn now(&self) -> Timestamp {
        self.inner.settings.context.clock.now()
    }

    /// Returns the revision of the pool: the number of its changes so far. A new pool has the revision 0. Changes of
    /// endpoints, weights, limits and availability count. New pickers count too, if the strategy has [asked for
    /// them](crate::Strategy::on_refresh).
    pub fn revision(&self) -> Revision {
        self.inner.snapshot.load().revision()
    }

    /// Returns the revision of the last change of the pool's membership. The membership includes the id, the address,
    /// the weight, the tier, the zone and the maximum number of requests in flight of each endpoint. It does not
    /// include the availability.
    ///
    /// Code that keeps a copy of the membership can store this revision, and compare it with a later result of this
    /// method. If both are equal, the copy is still right.
    ///
    /// ```
    /// use equipoise_core::{Availability, EndpointSpec, Pool};
    ///
    /// let pool: Pool<()> = Pool::default();
    /// pool.add(EndpointSpec::new("a:80"), ())?;
    /// pool.set_availability("a:80", Availability::Maintenance)?;
    /// assert!(pool.membership() < pool.revision());
    /// # Ok::<(), equipoise_core::UpdateError>(())
    /// ```
    pub fn membership(&self) -> Revision {
        self.inner.snapshot.load().members().revision
    }

    /// Returns whether the pool's strategy uses the [key](crate::PickRequest::key) of requests, as hashing strategies
    /// do. If not, requests need no key.
    pub fn places_by_key(&self) -> bool {
        self.inner.settings.needs.key
    }

    /// Waits until the pool has a later revision than `since`, and returns this revision. Every change of the pool
    /// makes a new revision, for example a change of membership, weights or availability. Ends at once if the revision
    /// is later than `since` already. Works on every async runtime.
    ///
    /// ```
    /// use equipoise_core::{EndpointSpec, Pool};
    ///
    /// let pool: Pool<()> = Pool::default();
    /// let before = pool.revision();
    /// pool.add(EndpointSpec::new("a:80"), ())?;
    /// assert!(futures::executor::block_on(pool.changed(before)) > before);
    /// # Ok::<(), equipoise_core::UpdateError>(())
    /// ```
    pub fn changed(&self, since: Revision) -> impl Future<Output = Revision> + Send + Sync + use<T> {
        let inner = Arc::clone(&self.inner);
        async move {
            loop {
                let listener = inner.changed.listen();
                let revision = inner.snapshot.load().revision();
                if revision > since {
                    return revision;
                }
                listener.await;
            }
        }
    }

    /// Returns the availability of an endpoint: which requests it accepts. `None` if the pool has no endpoint with this
    /// id. Takes O(1) time.
    ///
    /// ```
    /// use equipoise_core::{Availability, EndpointSpec, Pool};
    ///
    /// let pool: Pool<()> = Pool::default();
    /// pool.add(EndpointSpec::new("a:80"), ())?;
    /// pool.drain("a:80")?;
    /// assert_eq!(pool.availability("a:80"), Some(Availability::Draining));
    /// assert_eq!(pool.availability("b:80"), None);
    /// # Ok::<(), equipoise_core::UpdateError>(())
    /// ```
    pub fn availability(&self, id: impl AsRef<str>) -> Option<Availability> {
        let snapshot = self.inner.snapshot.load();
        let slot = *snapshot.members().index.get(id.as_ref())?;
        Some(snapshot.availability(slot))
    }

    /// Returns the current state of all endpoints, in the order of their [slots](crate::Slot), for status pages and
    /// metrics. Takes O(n) time for n endpoints. Allocates.
    pub fn endpoints(&self) -> Vec<EndpointStatus> {
        let snapshot = self.inner.snapshot.load();
        let status = |slot| {
            let latency = snapshot.members().latency(slot);
            Some(EndpointStatus { latency, ..EndpointStatus::of(&snapshot, slot)? })
        };
        snapshot.slots().filter_map(status).collect()
    }

    /// Adds a check for the addresses of endpoints, and checks the endpoints that the pool has now. Later, the pool
    /// checks the address of each endpoint that joins or gets another address, as with
    /// [`PoolBuilder::addresses`](crate::PoolBuilder::addresses).
    ///
    /// This method is for code that gets a pool from its caller and sends requests to the addresses of the endpoints.
    /// If a check of the same Rust type was added before, the old check is kept, and `check` is not added.
    ///
    /// # Errors
    ///
    /// [`InvalidSpec::Address`] if an endpoint that the pool has now fails `check` or a check that was added before.
    /// The endpoint stays in the pool, and `check` is added nevertheless.
    pub fn demand_addresses(
        &self,
        check: impl Fn(&str) -> Result<(), InvalidAddress> + Send + Sync + 'static,
    ) -> Result<(), InvalidSpec> {
        let _writer = self.inner.writer.lock();
        let checks = &self.inner.settings.address_checks;
        checks.add(check);
        let snapshot = self.inner.snapshot.load();
        checks.check(snapshot.members().slots.iter().flatten().map(|member| &member.spec))
    }
}

impl PoolInner {
    /// Begins a change of the pool.
    pub(super) fn write(&self) -> Writer<'_> {
        Writer { guard: Some(self.writer.lock()), inner: self }
    }

    /// Refreshes the strategy, and builds new pickers if the strategy asks for them.
    #[cold]
    pub(super) fn refresh(&self, now: Timestamp) {
        if self.settings.strategy.on_refresh(now) {
            // A pick does not wait for the lock. The change that holds the lock builds new pickers anyway.
            let Some(guard) = self.writer.try_lock() else { return };
            let _writer = Writer { guard: Some(guard), inner: self };
            let current = self.snapshot.load_full();
            // An error cannot be reported to a caller. The old pickers stay.
            if let Ok(next) = current.rebuilt(&self.settings) {
                self.publish(next);
            }
        }
    }

    /// Publishes a snapshot with other members, and sets the limits and zones of their endpoints. Endpoints are shared
    /// with older snapshots. This function is therefore called after everything that can fail.
    pub(super) fn publish_members(&self, next: Snapshot) {
        for member in next.members().slots.iter().flatten() {
            member.endpoint.permits.set_limit(member.max_in_flight());
            member.endpoint.set_zone(member.spec.zone_name());
        }
        self.publish(next);
    }

    pub(super) fn publish(&self, next: Snapshot) {
        let (last, next) = (self.snapshot.load_full(), Arc::new(next));
        self.snapshot.store(Arc::clone(&next));
        self.changed.wake_all();
        set_departures(&last, &next);
        fence(Ordering::SeqCst);
        if self.settings.context.is_waiting(Ordering::Relaxed) {
            for slot in next.slots().filter(|&slot| next.differs_at(slot, &last)) {
                self.queue.recheck(Recheck::Slot(slot));
            }
            self.queue.recheck(if self.settings.needs.shared_capacity { Recheck::All } else { Recheck::Pickers });
        }
    }
}

/// Tells each endpoint that has changed whether it still serves, is draining, is in maintenance, or has left the pool.
fn set_departures(last: &Snapshot, next: &Snapshot) {
    let same_members = Arc::ptr_eq(last.members(), next.members());
    // A change of availability concerns few endpoints.
    let stays = |slot: &Slot| same_members && last.availability(*slot) == next.availability(*slot);
    for slot in next.slots().filter(|slot| !stays(slot)) {
        if let Some(member) = next.members().get(slot) {
            member.endpoint.departure.set(next.availability(slot).into());
        }
    }
    if same_members {
        return;
    }
    for slot in last.slots() {
        let stays = |endpoint| next.members().get(slot).is_some_and(|member| Arc::ptr_eq(&member.endpoint, endpoint));
        if let Some(member) = last.members().get(slot).filter(|member| !stays(&member.endpoint)) {
            member.endpoint.departure.set(Stage::Removed);
        }
    }
}

/// The right to change the pool. When it is dropped, it serves the queue with the capacity that the change has freed.
/// This is not done earlier, because serving the queue runs user code, which may change the pool itself.
pub(super) struct Writer<'a> {
    guard: Option<MutexGuard<'a, ()>>,
    inner: &'a PoolInner,
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        self.guard = None;
        if self.inner.settings.context.is_waiting(Ordering::Relaxed) {
            self.inner.serve(usize::MAX, None);
        }
    }
}

impl<T> Clone for Pool<T> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), target: PhantomData }
    }
}

impl<T> fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("strategy", &self.inner.settings.strategy)
            .field("revision", &self.revision())
            .field("endpoints", &self.endpoints())
            .finish()
    }
}
