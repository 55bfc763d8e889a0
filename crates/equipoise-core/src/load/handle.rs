use std::{
    any::Any,
    sync::{Arc, Weak},
};

use crate::{
    endpoint::Endpoint,
    sync::{AtomicU32, Ordering},
};

/// What a lease holds: the endpoint, its target, and one stripe's part of its in-flight count.
///
/// There is one per endpoint and stripe, each allocated by itself: a lease touches only memory of its thread's stripe
/// (this `Arc`'s count and the counter beside it), so two threads that pick the same endpoint do not fight for a
/// cache line.
pub(crate) struct Handle {
    /// The leases that are out, and whether somebody waits for the last of them: in one number, so that each of the two
    /// sides is either before the other and seen by it, or after it and sees it.
    state: AtomicU32,
    pub(crate) endpoint: Arc<Endpoint>,
    /// The pool's `T`. Shared by the endpoint's stripes, and of this handle's leases only: a new target comes with new
    /// handles. (With it and the `Arc`'s own counts, a handle is a cache line long. Alignment would put the counts on
    /// another line than the counter. Neighbours on the heap are mostly of the same stripe: they are made stripe by
    /// stripe.)
    pub(crate) target: Arc<dyn Any + Send + Sync>,
    /// The stripe's handles with earlier targets of the same endpoint, whose leases still count.
    before: Option<Box<Before>>,
}

/// Not owned, so that an old target goes with its last lease.
struct Before(Box<[Weak<Handle>]>);

impl Before {
    #[cold]
    fn in_flight(&self) -> u32 {
        self.0.iter().filter_map(Weak::upgrade).fold(0, |sum, handle| sum.wrapping_add(handle.own_in_flight()))
    }
}

/// The bit of [`Handle`]'s state that says that somebody waits.
const WATCHED: u32 = 1 << 31;

impl Handle {
    pub(crate) fn new(endpoint: Arc<Endpoint>, target: Arc<dyn Any + Send + Sync>) -> Self {
        Self { state: AtomicU32::new(0), endpoint, target, before: None }
    }

    /// The handle that takes the place of this one, with another target.
    pub(crate) fn retargeted(self: &Arc<Self>, target: Arc<dyn Any + Send + Sync>) -> Self {
        let earlier = self.before.iter().flat_map(|before| &before.0).filter(|weak| weak.strong_count() > 0);
        let before = earlier.cloned().chain([Arc::downgrade(self)]).collect();
        Self { before: Some(Box::new(Before(before))), ..Self::new(Arc::clone(&self.endpoint), target) }
    }

    /// Itself, and those before it that still have leases.
    pub(crate) fn with_earlier(self: &Arc<Self>) -> impl Iterator<Item = Arc<Self>> {
        let earlier = self.before.iter().flat_map(|before| before.0.iter().filter_map(Weak::upgrade));
        earlier.chain([Arc::clone(self)])
    }

    /// The leases that are out, those with earlier targets included.
    #[inline]
    pub(crate) fn in_flight(&self) -> u32 {
        match &self.before {
            None => self.own_in_flight(),
            Some(before) => self.own_in_flight().wrapping_add(before.in_flight()),
        }
    }

    /// The leases that are out on this handle alone.
    #[inline]
    pub(crate) fn own_in_flight(&self) -> u32 {
        self.state.load(Ordering::Relaxed) & !WATCHED
    }

    #[inline]
    pub(crate) fn enter(&self) {
        self.state.fetch_add(1, Ordering::Relaxed);
    }

    /// Answers whether somebody waits for the stripe to become empty, and it has.
    #[inline]
    pub(crate) fn leave(&self) -> bool {
        self.state.fetch_sub(1, Ordering::Relaxed) == WATCHED + 1
    }

    /// How many are out. When the last of them has left, whoever waits is [told](Self::tell_empty).
    pub(crate) fn watch(&self) -> u32 {
        self.state.fetch_or(WATCHED, Ordering::Relaxed) & !WATCHED
    }

    /// Wakes those who wait. They watch again if they have to: a stripe that nobody watches tells nobody.
    #[cold]
    pub(crate) fn tell_empty(&self) {
        self.state.fetch_and(!WATCHED, Ordering::Relaxed);
        self.endpoint.emptied.wake_all();
    }
}
