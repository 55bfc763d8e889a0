//! Pools: who is there, who is available, and who is next.

mod acquire;
mod bound;
mod builder;
mod demands;
mod error;
mod flip;
mod hooks;
mod idle;
mod offer;
mod overlay;
mod queue;
mod snapshot;
mod spillover;
mod status;
mod update;

use std::{fmt, marker::PhantomData, sync::Arc};

pub(crate) use self::hooks::Hooks;
use self::queue::{BUDGET, Mark};
pub(crate) use self::snapshot::{Choice, Entry, Snapshot};
pub use self::{
    acquire::Acquire,
    builder::PoolBuilder,
    error::{PickError, TryUpdateError, UpdateError},
    flip::AppliedChanges,
    idle::Idle,
    spillover::Spillover,
    status::EndpointStatus,
    update::Changes,
};
use crate::{
    endpoint::{Availability, Slot, Stage},
    entropy::mix,
    explain::Explanation,
    lease::{AnyTarget, Lease},
    load::thread_number,
    request::PickRequest,
    strategy::{Notes, PeakEwma, Strategy},
    sync::{Mutex, MutexGuard, Ordering, Swap, fence},
    time::Timestamp,
};

/// Counts the changes of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(transparent))]
pub struct Revision(u64);

impl Revision {
    /// The number of changes so far.
    pub const fn get(self) -> u64 {
        self.0
    }

    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The number of what was made from this revision by `how`; far from any count.
    pub(crate) fn derived(self, how: u64) -> Self {
        Self(mix(self.0 ^ how) | 1 << 63)
    }
}

/// A set of endpoints, each with a target `T`, and the strategy that chooses among them.
///
/// `T` is whatever a request needs to get there: a client, a channel, `()` if the address suffices. Cloning shares the
/// pool. Picks take no lock and never wait; changes are made one after the other and are seen by the next pick, whole:
/// members, availability and picker are swapped as one pointer.
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
    shared: Arc<Shared>,
    target: PhantomData<fn() -> T>,
}

struct Shared {
    snapshot: Swap<Snapshot>,
    /// Held by whoever changes something.
    writer: Mutex<()>,
    hooks: Arc<Hooks>,
    stripes: usize,
}

impl<T: Send + Sync + 'static> Pool<T> {
    /// An empty pool with this strategy and the defaults of [`PoolBuilder`].
    pub fn new(strategy: impl Strategy) -> Self {
        Self::builder(strategy).build()
    }

    /// For a pool with a clock, entropy or number of stripes of its own.
    pub fn builder(strategy: impl Strategy) -> PoolBuilder<T> {
        PoolBuilder::new(strategy)
    }

    /// Chooses an endpoint and takes a lease on it.
    ///
    /// One atomic load, the strategy's pick, and two counts on memory of this thread's own; no lock, no allocation. While
    /// requests [wait](Self::acquire), a pick that takes a place at an endpoint with a limit or on trial, or of a strategy
    /// that is asked, gives way to those that wait for this place, under a lock.
    ///
    /// # Errors
    ///
    /// When nobody can be picked; [`PickError`] says why.
    pub fn pick(&self, request: &PickRequest<'_>) -> Result<Lease<T>, PickError> {
        self.shared.pick_in_turn(request)
    }

    /// Which endpoint a request would get now, what every candidate scored and why the others were passed over.
    ///
    /// Runs the code that picks, but takes no lease and no turn, and so does not ask the strategy whether it lets one more
    /// in ([`Strategy::admit`]). Where the strategy draws at random, another call may
    /// draw otherwise. O(n), allocates.
    ///
    /// ```
    /// use equipoise_core::{EndpointId, EndpointSpec, PickRequest, Pool, RoundRobin};
    ///
    /// let pool = Pool::new(RoundRobin::new());
    /// pool.update(["a:80", "b:80"].map(EndpointSpec::new), |_| ())?;
    /// let tried = [EndpointId::from("a:80")];
    /// let explanation = pool.explain(&PickRequest::new().exclude(&tried));
    /// assert_eq!(explanation.picked.as_ref().map(EndpointId::as_str), Ok("b:80"));
    /// println!("{explanation}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn explain(&self, request: &PickRequest<'_>) -> Explanation {
        let hooks = &*self.shared.hooks;
        let now = hooks.now();
        let snapshot = self.shared.snapshot.load();
        let mut notes = Notes::default();
        let choice = snapshot.choose(request, hooks, now, Some(&mut notes));
        Explanation::new(&snapshot, request, choice, notes)
    }
}

impl<T> Pool<T> {
    /// The time on the pool's [clock](crate::PoolBuilder::clock), which is read now.
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
        self.shared.hooks.clock.now()
    }

    /// The number of the last change.
    pub fn revision(&self) -> Revision {
        self.shared.snapshot.load().revision()
    }

    /// The number of the last change but for availability: of who is there, with which address, weight, tier, zone and
    /// limit. Spares whoever follows the pool a look at all endpoints when one flips.
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
        self.shared.snapshot.load().members().revision
    }

    /// Whether the strategy places requests by their [key](PickRequest::key), if they have one.
    pub fn places_by_key(&self) -> bool {
        self.shared.hooks.needs.key
    }

    /// Waits until the pool has changed (in membership, weights or availability) since `since`, and answers the
    /// revision then. At once if it has already. Needs no runtime.
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
        let shared = Arc::clone(&self.shared);
        async move {
            loop {
                let listener = shared.hooks.changed.listen();
                let revision = shared.snapshot.load().revision();
                if revision > since {
                    return revision;
                }
                listener.await;
            }
        }
    }

    /// Whom the endpoint of this id takes; `None` if there is none. O(1).
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
        let snapshot = self.shared.snapshot.load();
        let slot = *snapshot.members().index.get(id.as_ref())?;
        Some(snapshot.availability(slot))
    }

    /// The endpoints as they are now, in the order of their slots: for status pages and metrics. O(n), allocates.
    pub fn endpoints(&self) -> Vec<EndpointStatus> {
        let snapshot = self.shared.snapshot.load();
        snapshot.slots().filter_map(|slot| EndpointStatus::of(&snapshot, slot)).collect()
    }
}

/// Tells the endpoints how far they are on their way out.
fn departures(last: &Snapshot, next: &Snapshot) {
    let same_members = Arc::ptr_eq(last.members(), next.members());
    // A flip touches only the endpoints that it is about.
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

/// How often a pick gives way to requests that wait before it says that the pool is full.
const MOST_YIELDS: usize = 64;

impl Shared {
    /// Picks for a request that waits. A refresh here would be a change of the pool for which it is tried again.
    fn pick(&self, request: &PickRequest<'_>) -> Result<Lease<AnyTarget>, PickError> {
        self.pick_at(request, self.hooks.now())
    }

    #[inline]
    fn refresh_if_due(&self, now: Timestamp) {
        if self.hooks.needs.refresh.is_some() && self.hooks.refresh_is_due(now) {
            self.refresh(now);
        }
    }

    /// Picks at this time, and does not refresh pickers.
    #[inline]
    fn pick_at<T>(&self, request: &PickRequest<'_>, now: Timestamp) -> Result<Lease<T>, PickError> {
        let hooks = &*self.hooks;
        let snapshot = self.snapshot.load();
        let stripe = thread_number() % self.stripes;
        let choice = snapshot.choose(request, hooks, now, None)?;
        let Some(handle) = snapshot.members().handle(choice.slot, stripe) else {
            return Err(PickError::Misbehaved { slot: choice.slot });
        };
        Ok(Lease::take(Arc::clone(handle), choice, now, &hooks.needs))
    }

    /// Picks, and overtakes no request that waits.
    #[inline]
    fn pick_in_turn<T>(&self, request: &PickRequest<'_>) -> Result<Lease<T>, PickError> {
        let now = self.hooks.now();
        self.refresh_if_due(now);
        let lease = self.pick_at(request, now)?;
        if lease.is_scarce() && self.hooks.has_queue() {
            return self.give_way(lease.without_target(), request).map(Lease::with_target);
        }
        Ok(lease)
    }

    /// Gives the place to the queue if an entry wants it, and picks again.
    #[cold]
    fn give_way(&self, mut lease: Lease<AnyTarget>, request: &PickRequest<'_>) -> Result<Lease<AnyTarget>, PickError> {
        let queue = &self.hooks.queue;
        if queue.is_worker() {
            // Foreign code picks inside of a pick for the queue, which cannot go on before.
            return Ok(lease);
        }
        let mut offered = None;
        for _ in 0..MOST_YIELDS {
            let place = self.place_of(&lease);
            let served = queue.wants(&place).filter(|_| offered != Some(place.slot));
            let Some(served) = served else {
                if self.hooks.needs.shared_room {
                    queue.mark(Mark::All);
                    self.serve(BUDGET, None);
                }
                return Ok(lease);
            };
            // Offers the place to the queue. If no entry could use it, the next pick may.
            drop(lease);
            offered = (queue.served() == served).then_some(place.slot);
            lease = self.pick(request)?;
        }
        Err(PickError::Saturated)
    }

    /// The right to change the pool.
    fn write(&self) -> Writer<'_> {
        Writer { guard: Some(self.writer.lock()), shared: self }
    }

    #[cold]
    fn refresh(&self, now: Timestamp) {
        if self.hooks.strategy.on_refresh(now) {
            // A pick never waits: whoever holds the lock builds new pickers anyway.
            let Some(guard) = self.writer.try_lock() else { return };
            let _writer = Writer { guard: Some(guard), shared: self };
            let current = self.snapshot.load_full();
            // Nobody asked for this change, so nobody can be told that it failed: the old pickers stay.
            if let Ok(next) = current.rebuilt(&self.hooks) {
                self.publish(next);
            }
        }
    }

    /// After nothing can fail any more: limits and zones live in the endpoints, which the old snapshot shares.
    fn publish_members(&self, next: Snapshot) {
        for member in next.members().slots.iter().flatten() {
            member.endpoint.permits.set_limit(member.max_in_flight());
            member.endpoint.set_zone(member.spec.zone_name());
        }
        self.publish(next);
    }

    fn publish(&self, next: Snapshot) {
        let (last, next) = (self.snapshot.load_full(), Arc::new(next));
        self.snapshot.store(Arc::clone(&next));
        self.hooks.changed.wake_all();
        departures(&last, &next);
        fence(Ordering::SeqCst);
        let queue = &self.hooks.queue;
        if queue.is_waiting(Ordering::Relaxed) {
            for slot in next.slots().filter(|&slot| next.differs_at(slot, &last)) {
                queue.mark(Mark::Slot(slot));
            }
            queue.mark(if self.hooks.needs.shared_room { Mark::All } else { Mark::Pickers });
        }
    }
}

/// The right to change the pool. When it ends, the queue is served with what the change has made room for; not earlier,
/// because the thread that serves the queue may run foreign code, which may want to change the pool.
struct Writer<'a> {
    guard: Option<MutexGuard<'a, ()>>,
    shared: &'a Shared,
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        self.guard = None;
        if self.shared.hooks.queue.is_waiting(Ordering::Relaxed) {
            self.shared.serve(usize::MAX, None);
        }
    }
}

impl<T: Send + Sync + 'static> Default for Pool<T> {
    /// An empty pool that picks by [`PeakEwma`].
    fn default() -> Self {
        Self::new(PeakEwma::new())
    }
}

impl<T> Clone for Pool<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), target: PhantomData }
    }
}

impl<T> fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("strategy", &self.shared.hooks.strategy)
            .field("revision", &self.revision())
            .field("endpoints", &self.endpoints())
            .finish()
    }
}
