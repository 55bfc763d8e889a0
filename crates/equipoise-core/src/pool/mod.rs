//! Pools: who is there, who is available, and who is next.

mod bound;
mod builder;
mod demands;
mod error;
mod flip;
mod hooks;
mod idle;
mod offer;
mod overlay;
mod snapshot;
mod spill;
mod status;
mod update;

use std::{fmt, marker::PhantomData, sync::Arc};

pub(crate) use self::hooks::Hooks;
pub(crate) use self::snapshot::{Choice, Entry, Snapshot};
pub use self::{
    builder::PoolBuilder,
    error::{PickError, TryUpdateError, UpdateError},
    flip::Flips,
    idle::Idle,
    spill::Spill,
    status::EndpointStatus,
    update::Changes,
};
use crate::{
    endpoint::{Availability, Slot, Stage},
    entropy::mix,
    explain::Explanation,
    lease::Lease,
    load::thread_number,
    request::PickRequest,
    strategy::{Notes, PeakEwma, Strategy},
    sync::{Mutex, Ordering, Swap},
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
    /// One atomic load, the strategy's pick, and two counts on memory of this thread's own; no lock, no allocation.
    ///
    /// # Errors
    ///
    /// When nobody can be picked; [`PickError`] says why.
    pub fn pick(&self, request: &PickRequest<'_>) -> Result<Lease<T>, PickError> {
        let hooks = &*self.shared.hooks;
        let now = if hooks.needs.clock { hooks.clock.now() } else { Timestamp::ZERO };
        if hooks.needs.refresh.is_some() && hooks.refresh_is_due(now) {
            self.shared.refresh(now);
        }
        let snapshot = self.shared.snapshot.load();
        let stripe = thread_number() % self.shared.stripes;
        let choice = snapshot.choose(request, hooks, now, None)?;
        let Some(handle) = snapshot.members().handle(choice.slot, stripe) else {
            return Err(PickError::Misbehaved { slot: choice.slot });
        };
        Ok(Lease::take(Arc::clone(handle), choice, now, &hooks.needs))
    }

    /// Which endpoint a request would get now, what every candidate scored and why the others were passed over.
    ///
    /// Runs the code that picks, but takes no lease and no turn, and so does not ask the strategy whether it lets one more
    /// in ([`Strategy::acquired`]). Where the strategy draws at random, another call may
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
        let now = if hooks.needs.clock { hooks.clock.now() } else { Timestamp::ZERO };
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
    /// pool.set_availability("a:80", Availability::Closed)?;
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

    /// Waits until an endpoint may have become available: the pool has changed since `since`, or an endpoint that was
    /// at its limit, on trial, or to which the strategy let no more, has room again. Listens from the call on, so nothing
    /// is missed between a failed pick and the first poll if the order is: `room`, pick, await.
    pub fn room(&self, since: Revision) -> impl Future<Output = ()> + Send + Sync + use<T> {
        self.room_for(&PickRequest::new(), since)
    }

    /// [`room`](Self::room) for this request. When a place becomes free, one of those is woken who wait for any, and all
    /// who cannot go just anywhere, being [strictly](crate::Binding::strict) bound or having endpoints excluded.
    ///
    /// ```
    /// use equipoise_core::{Binding, EndpointSpec, PickRequest, Pool};
    ///
    /// let pool: Pool<()> = Pool::default();
    /// pool.update(["a:80", "b:80"].map(|id| EndpointSpec::new(id).limit(1)), |_| ())?;
    /// let binding = Binding::to("a:80").strict();
    /// let request = PickRequest::new().bound(&binding);
    /// let lease = pool.pick(&request)?;
    /// let room = pool.room_for(&request, pool.revision());
    /// assert!(pool.pick(&request).is_err());
    /// drop(lease);
    /// futures::executor::block_on(room);
    /// assert!(pool.pick(&request).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn room_for(
        &self,
        request: &PickRequest<'_>,
        since: Revision,
    ) -> impl Future<Output = ()> + Send + Sync + use<T> {
        let shared = Arc::clone(&self.shared);
        let hooks = &shared.hooks;
        let freed = if request.is_picky() {
            // Before the fence in `listen`, as the look at it comes after the one in a wake.
            hooks.some_have_waited.store(1, Ordering::SeqCst);
            hooks.freed_for_some.listen()
        } else {
            hooks.freed.listen()
        };
        let changed = hooks.changed.listen();
        async move {
            if shared.snapshot.load().revision() > since {
                return;
            }
            first_of(changed, freed).await;
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
    /// assert_eq!(pool.availability("a:80"), Some(Availability::BoundOnly));
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

/// Ends with whichever of the two ends first.
async fn first_of(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    let (mut one, mut other) = (std::pin::pin!(one), std::pin::pin!(other));
    std::future::poll_fn(|cx| {
        if one.as_mut().poll(cx).is_ready() { std::task::Poll::Ready(()) } else { other.as_mut().poll(cx) }
    })
    .await;
}

impl Shared {
    #[cold]
    fn refresh(&self, now: Timestamp) {
        if self.hooks.strategy.refreshed(now) {
            // A pick never waits: whoever holds the lock builds new pickers anyway.
            let Some(_writer) = self.writer.try_lock() else { return };
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
