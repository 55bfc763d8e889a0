//! The handles of endpoints, and the stripes to which threads belong.

use std::{
    any::Any,
    cell::Cell,
    sync::{Arc, Weak, atomic::AtomicUsize},
};

use super::traffic::{Ended, RequestCounts, Traffic};
use crate::{
    endpoint::Endpoint,
    sync::{AtomicU64, Ordering},
};

/// What a lease holds: the endpoint, its target, and one stripe's part of its in-flight count.
///
/// There is one handle per endpoint and stripe, each in an allocation of its own. A lease writes only to memory of its
/// thread's stripe: the count of this `Arc` and the counter beside it. So leases on two threads do not write to one cache
/// line, also at the same endpoint.
///
/// The order of the fields is fixed: the counts of the `Arc` and the first two fields are 32 bytes, and all that picks and
/// ends of leases write or compare. In three of four allocations they are on one cache line. Rust's own order puts the
/// counter beside the counts of the next handle, so that a reader also missed after leases of another endpoint.
#[repr(C)]
pub(crate) struct Handle {
    /// The leases in flight (31 bits), whether a task waits for the last of them (1 bit), and how many have succeeded (32
    /// bits). In one number, so that each change is seen before or after each other one, and so that a success costs no
    /// second atomic operation.
    state: AtomicU64,
    /// The stripe's handles with earlier targets of the same endpoint, whose leases still count.
    before: Option<Box<Before>>,
    pub(crate) endpoint: Arc<Endpoint>,
    /// The pool's `T`. Shared by the endpoint's stripes, and of this handle's leases only: a new target comes with new
    /// handles.
    pub(crate) target: Arc<dyn Any + Send + Sync>,
    /// The ends of the stripe's leases, with all targets of the endpoint.
    pub(crate) traffic: Arc<Traffic>,
}

/// Handles with earlier targets. Not owned, so that an old target is dropped with its last lease.
struct Before(Box<[Weak<Handle>]>);

impl Before {
    #[cold]
    fn in_flight(&self) -> u32 {
        self.0.iter().filter_map(Weak::upgrade).fold(0, |sum, handle| sum.wrapping_add(handle.own_in_flight()))
    }
}

/// The bit of [`Handle`]'s state that says that a task waits.
const WATCHED: u64 = 1 << 31;

/// The bits of the leases in flight.
const IN_FLIGHT: u64 = WATCHED - 1;

/// One success, in the upper half.
const SUCCESS: u64 = 1 << 32;

impl Handle {
    pub(crate) fn new(endpoint: Arc<Endpoint>, target: Arc<dyn Any + Send + Sync>) -> Self {
        let traffic = Arc::new(Traffic::new(endpoint.context.latency_histograms));
        Self { state: AtomicU64::new(0), endpoint, target, traffic, before: None }
    }

    /// A handle with another target that replaces this one.
    pub(crate) fn retargeted(self: &Arc<Self>, target: Arc<dyn Any + Send + Sync>) -> Self {
        let earlier = self.before.iter().flat_map(|before| &before.0).filter(|weak| weak.strong_count() > 0);
        let before = earlier.cloned().chain([Arc::downgrade(self)]).collect();
        let before = Some(Box::new(Before(before)));
        let (endpoint, traffic) = (Arc::clone(&self.endpoint), Arc::clone(&self.traffic));
        Self { state: AtomicU64::new(0), endpoint, target, traffic, before }
    }

    /// This handle, and those with earlier targets that still have leases.
    pub(crate) fn with_earlier(self: &Arc<Self>) -> impl Iterator<Item = Arc<Self>> {
        let earlier = self.before.iter().flat_map(|before| before.0.iter().filter_map(Weak::upgrade));
        earlier.chain([Arc::clone(self)])
    }

    /// The number of leases, including those with earlier targets.
    #[inline]
    pub(crate) fn in_flight(&self) -> u32 {
        match &self.before {
            None => self.own_in_flight(),
            Some(before) => self.own_in_flight().wrapping_add(before.in_flight()),
        }
    }

    /// The number of leases on this handle alone.
    #[inline]
    pub(crate) fn own_in_flight(&self) -> u32 {
        (self.state.load(Ordering::Relaxed) & IN_FLIGHT) as u32
    }

    /// Counts a new lease.
    #[inline]
    pub(crate) fn enter(&self) {
        self.state.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the end of a lease. Returns whether it was the last one and a future waits for that: the caller then calls
    /// [`tell_empty`](Self::tell_empty).
    #[inline]
    pub(crate) fn leave(&self, ended: Ended) -> bool {
        let before = if ended == Ended::SUCCESS {
            let before = self.state.fetch_add(SUCCESS - 1, Ordering::Relaxed);
            if before >= u64::MAX - (SUCCESS - 1) {
                self.traffic.keep_successes(1 << 32);
            }
            before
        } else {
            let before = self.state.fetch_sub(1, Ordering::Relaxed);
            self.traffic.count(ended);
            before
        };
        before & (SUCCESS - 1) == WATCHED + 1
    }

    /// The counts of the stripe.
    pub(crate) fn counts(self: &Arc<Self>) -> RequestCounts {
        self.traffic.read(|| {
            self.with_earlier().fold((0, 0), |(in_flight, successes), handle| {
                let state = handle.state.load(Ordering::Relaxed);
                (in_flight + (state & IN_FLIGHT), successes + (state >> 32))
            })
        })
    }

    /// Returns the number of leases. When the last of them ends, futures that wait are [woken](Self::tell_empty).
    pub(crate) fn watch(&self) -> u32 {
        (self.state.fetch_or(WATCHED, Ordering::Relaxed) & IN_FLIGHT) as u32
    }

    /// Wakes the futures that wait, and clears the [`WATCHED`] bit. A future that has to go on waiting watches again.
    #[cold]
    pub(crate) fn tell_empty(&self) {
        self.state.fetch_and(!WATCHED, Ordering::Relaxed);
        self.endpoint.emptied.wake_all();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.traffic.keep_successes(self.state.load(Ordering::Relaxed) >> 32);
    }
}

/// The largest default number of stripes. With more, a comparison of endpoints, which sums all stripes, loses more than
/// writers gain.
const MAX_STRIPES: usize = 4;

/// The default number of stripes: one per core, at most [`MAX_STRIPES`].
pub(crate) fn default_stripes() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).clamp(1, MAX_STRIPES)
}

/// The number of the current thread. Threads are numbered from 0 in the order of their first picks.
#[inline]
pub(crate) fn thread_number() -> usize {
    #[cfg(not(loom))]
    thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    #[cfg(loom)]
    loom::thread_local! {
        static NUMBER: Cell<usize> = Cell::new(usize::MAX);
    }
    NUMBER.with(|number| match number.get() {
        usize::MAX => {
            // Not loom's: the number only has to differ between threads.
            static NEXT: AtomicUsize = AtomicUsize::new(0);
            let mine = NEXT.fetch_add(1, Ordering::Relaxed) & (usize::MAX >> 1);
            number.set(mine);
            mine
        }
        mine => mine,
    })
}
