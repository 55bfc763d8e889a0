//! The handles of endpoints: the leases in flight, and how leases have ended. Each stripe, a group of threads, has a
//! handle of its own.

use std::{
    any::Any,
    cell::Cell,
    sync::{
        Arc, Weak,
        atomic::{self, AtomicU64 as StdAtomicU64, AtomicUsize},
    },
};

use super::{
    buckets::Latencies,
    counts::{KINDS, RequestCounts},
    latency::LatencyHistogram,
};
use crate::{
    endpoint::Endpoint,
    sync::{AtomicU32, AtomicU64, Mutex, Ordering},
    time::Timestamp,
    verdict::{Failure, Verdict},
};

/// The part of an endpoint that a lease holds: the endpoint, its target, and the in-flight count of one stripe.
///
/// Each endpoint has one handle per stripe, each in its own allocation. A lease writes only to memory of its thread's
/// stripe: to the reference count of this `Arc` and to the counter beside it. Leases on threads of different stripes
/// therefore never write to the same cache line, even if they are leases on the same endpoint.
#[repr(C)] // In this order: all that every strategy needs comes first, as close to the counts of the `Arc` as possible.
pub(crate) struct Handle {
    /// Three values in one number: the number of leases in flight (31 bits), whether a task waits for the last of them
    /// (1 bit), and the number of leases that have succeeded (32 bits). In one number, the changes have a total order,
    /// and a success needs no second atomic operation.
    state: AtomicU64,
    pub(crate) endpoint: Arc<Endpoint>,
    /// The pool's `T`. All stripes of the endpoint share it. All leases on this handle have the same target: a new
    /// target comes with new handles.
    ///
    /// With the counts of the `Arc`, the fields up to `before` are as long as a cache line. The handle is not aligned
    /// to one, because alignment would put the counts of the `Arc` and the counter on different lines. Neighbours on
    /// the heap are usually of the same stripe, because handles are created stripe by stripe.
    pub(crate) target: Arc<dyn Any + Send + Sync>,
    /// Counts how the leases of the stripe have ended, with all targets of the endpoint.
    pub(crate) traffic: Arc<Traffic>,
    /// The stripe's handles with earlier targets of the same endpoint. Leases on them still count.
    before: Option<Box<Before>>,
    /// The number of leases in flight whose response has begun or that have a verdict. Counted only if the strategy
    /// needs it ([`Needs::waiting`](crate::Needs::waiting)).
    answered: AtomicU32,
    /// The time at which a request last began to wait for its response while no other request waited. In nanoseconds on
    /// the clock of the pool. Written only if the strategy needs it.
    waiting_since: AtomicU64,
}

/// Handles with earlier targets. The references are weak, so that an old target is dropped with its last lease.
struct Before(Box<[Weak<Handle>]>);

impl Before {
    #[cold]
    fn in_flight(&self) -> u32 {
        self.0.iter().filter_map(Weak::upgrade).fold(0, |sum, handle| sum.wrapping_add(handle.own_in_flight()))
    }

    #[cold]
    fn load(&self) -> Load {
        self.0.iter().filter_map(Weak::upgrade).fold(Load::default(), |sum, handle| sum.plus(handle.own_load()))
    }
}

/// The leases in flight on an endpoint, counted by whether their response has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    /// The number of requests that have neither a first byte nor a verdict yet.
    pub(crate) waiting: u32,
    /// The number of leases whose response has begun (such as long bodies, streams and tunnels) or that have a verdict.
    pub(crate) answered: u32,
    /// The time since which a stripe has had a waiting request without a break. Of several stripes, the earliest time.
    /// `u64::MAX` nanoseconds if no request waits.
    pub(crate) waiting_since: Timestamp,
}

impl Load {
    /// Returns the sum of two loads: the leases of both, and the earlier time.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            waiting: self.waiting.wrapping_add(other.waiting),
            answered: self.answered.wrapping_add(other.answered),
            waiting_since: self.waiting_since.min(other.waiting_since),
        }
    }
}

impl Default for Load {
    fn default() -> Self {
        Self { waiting: 0, answered: 0, waiting_since: Timestamp::from_nanos(u64::MAX) }
    }
}

/// The bit of [`Handle`]'s state that says that a task waits for the last lease.
const WATCHED: u64 = 1 << 31;

/// The bits of [`Handle`]'s state that hold the number of leases in flight.
const IN_FLIGHT: u64 = WATCHED - 1;

/// One success, in the upper half of the state.
const SUCCESS: u64 = 1 << 32;

impl Handle {
    pub(crate) fn new(endpoint: Arc<Endpoint>, target: Arc<dyn Any + Send + Sync>) -> Self {
        let traffic = Arc::new(Traffic::new(endpoint.context.latency_histograms));
        Self::with(endpoint, target, traffic, None)
    }

    /// Creates a handle with another target that replaces this handle.
    pub(crate) fn retargeted(self: &Arc<Self>, target: Arc<dyn Any + Send + Sync>) -> Self {
        let earlier = self.earlier().filter(|weak| weak.strong_count() > 0);
        let before = earlier.cloned().chain([Arc::downgrade(self)]).collect();
        let before = Some(Box::new(Before(before)));
        Self::with(Arc::clone(&self.endpoint), target, Arc::clone(&self.traffic), before)
    }

    fn with(
        endpoint: Arc<Endpoint>,
        target: Arc<dyn Any + Send + Sync>,
        traffic: Arc<Traffic>,
        before: Option<Box<Before>>,
    ) -> Self {
        let (state, answered, waiting_since) = (AtomicU64::new(0), AtomicU32::new(0), AtomicU64::new(0));
        Self { state, endpoint, target, traffic, before, answered, waiting_since }
    }

    /// Returns this handle, and the handles with earlier targets that still have leases.
    pub(crate) fn with_earlier(self: &Arc<Self>) -> impl Iterator<Item = Arc<Self>> {
        self.earlier().filter_map(Weak::upgrade).chain([Arc::clone(self)])
    }

    fn earlier(&self) -> impl Iterator<Item = &Weak<Self>> {
        self.before.iter().flat_map(|before| &before.0)
    }

    /// Returns the number of leases in flight, including those with earlier targets.
    #[inline]
    pub(crate) fn in_flight(&self) -> u32 {
        match &self.before {
            None => self.own_in_flight(),
            Some(before) => self.own_in_flight().wrapping_add(before.in_flight()),
        }
    }

    /// Returns the number of leases in flight on this handle alone.
    #[inline]
    pub(crate) fn own_in_flight(&self) -> u32 {
        (self.state.load(Ordering::Relaxed) & IN_FLIGHT) as u32
    }

    /// Returns the leases in flight by whether their response has begun, including those with earlier targets.
    #[inline]
    pub(crate) fn load(&self) -> Load {
        match &self.before {
            None => self.own_load(),
            Some(before) => self.own_load().plus(before.load()),
        }
    }

    #[inline]
    fn own_load(&self) -> Load {
        let in_flight = self.own_in_flight();
        if in_flight == 0 {
            return Load::default();
        }
        // The two counts are not read together. If the first one is older, the second one may be larger.
        let answered = self.answered.load(Ordering::Relaxed).min(in_flight);
        if in_flight == answered {
            return Load { answered, ..Load::default() };
        }
        let waiting_since = Timestamp::from_nanos(self.waiting_since.load(Ordering::Relaxed));
        Load { waiting: in_flight - answered, answered, waiting_since }
    }

    /// Counts a new lease.
    #[inline]
    pub(crate) fn enter(&self) {
        self.state.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a new lease of a strategy that needs the number of waiting requests. If no other request waits, `picked_at` is stored as the
    /// time since which requests wait.
    #[inline]
    pub(crate) fn enter_at(&self, picked_at: Timestamp) {
        let in_flight = self.state.fetch_add(1, Ordering::Relaxed) & IN_FLIGHT;
        // Below: a lease with a response is just ending on another thread.
        if in_flight <= u64::from(self.answered.load(Ordering::Relaxed)) {
            self.waiting_since.store(picked_at.as_nanos(), Ordering::Relaxed);
        }
    }

    /// Counts a lease as one whose response has begun. When the lease ends, the caller must call
    /// [`leave_answered`](Self::leave_answered).
    #[inline]
    pub(crate) fn answer(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends the count that [`answer`](Self::answer) began. Called after [`leave`](Self::leave), so that a lease that
    /// ends never counts as waiting.
    #[inline]
    pub(crate) fn leave_answered(&self) {
        self.answered.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts the end of a lease. Returns true if it was the last lease and a future waits for that. The caller must
    /// then call [`tell_empty`](Self::tell_empty).
    #[inline]
    pub(crate) fn leave(&self, ended: Ended) -> bool {
        let before = if ended == Ended::SUCCESS {
            // Release: a reader that sees the end of a retry also sees that the retry was counted.
            let before = self.state.fetch_add(SUCCESS - 1, Ordering::Release);
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

    /// Returns the counts of the stripe.
    pub(crate) fn counts(&self) -> RequestCounts {
        let earlier: Vec<Arc<Self>> = self.earlier().filter_map(Weak::upgrade).collect();
        self.traffic.read(earlier.iter().map(|handle| &**handle).chain([self]))
    }

    /// Returns a reader of the stripe's counts that does not keep the targets alive.
    pub(crate) fn reader(self: &Arc<Self>) -> StripeReader {
        let handles = self.earlier().cloned().chain([Arc::downgrade(self)]).collect();
        StripeReader { traffic: Arc::clone(&self.traffic), handles }
    }

    /// Returns the number of leases in flight. When the last of them ends, waiting futures are
    /// [woken](Self::tell_empty).
    pub(crate) fn watch(&self) -> u32 {
        (self.state.fetch_or(WATCHED, Ordering::Relaxed) & IN_FLIGHT) as u32
    }

    /// Wakes the futures that wait for the last lease, and clears the [`WATCHED`] bit. A future that must wait longer
    /// sets it again with [`watch`](Self::watch).
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

/// Reads the counts of one stripe of an endpoint that has left its pool. It keeps neither the endpoint nor its targets
/// alive. No later handle of the stripe exists.
pub(crate) struct StripeReader {
    traffic: Arc<Traffic>,
    handles: Box<[Weak<Handle>]>,
}

impl StripeReader {
    pub(crate) fn counts(&self) -> RequestCounts {
        // Dropped after the reading: the last reference to a handle drops its target, which is code of the user.
        let handles: Vec<Arc<Handle>> = self.handles.iter().filter_map(Weak::upgrade).collect();
        self.traffic.read(handles.iter().map(|handle| &**handle))
    }

    pub(crate) fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Returns whether the counts cannot change any more: no lease and no snapshot of the pool has a handle.
    pub(crate) fn is_final(&self) -> bool {
        // Each handle has a reference. It is dropped after the handle has added its successes to the counts.
        let is_final = Arc::strong_count(&self.traffic) == 1;
        atomic::fence(Ordering::Acquire);
        is_final
    }
}

/// How a lease ended, for the counts.
///
/// It is a byte, so that leases stay small: the index in [`RequestCounts::of_kind`], or one of two other values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended(u8);

impl Ended {
    /// The lease ended without a verdict.
    pub(crate) const CANCELLED: Self = Self(KINDS as u8 - 1);
    pub(crate) const SUCCESS: Self = Self(u8::MAX - 1);
    /// The lease ended before a caller got it.
    pub(crate) const WITHDRAWN: Self = Self(u8::MAX);

    #[inline]
    pub(crate) fn with(verdict: Verdict) -> Self {
        if verdict == Verdict::Success { Self::SUCCESS } else { Self::with_other(verdict) }
    }

    #[cold]
    const fn with_other(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Success => Self::SUCCESS,
            Verdict::Failure(Failure::Connect) => Self(0),
            Verdict::Failure(Failure::Transport) => Self(1),
            Verdict::Failure(Failure::Timeout) => Self(2),
            Verdict::Failure(Failure::Gateway) => Self(3),
            Verdict::Failure(Failure::Server) => Self(4),
            Verdict::Overloaded { .. } => Self(5),
            Verdict::Unavailable { .. } => Self(6),
            Verdict::Neutral => Self(7),
        }
    }
}

/// The counts of one stripe of an endpoint, for all of its targets.
///
/// Successes are counted in the handle, by the atomic operation that ends the lease, so that counting them costs
/// nothing. The counts here are those of the other outcomes, and the successes of handles that no longer exist.
pub(crate) struct Traffic {
    // These atomics are not part of any loom model: only reports depend on them.
    ended: [StdAtomicU64; KINDS],
    successes: StdAtomicU64,
    bytes_sent: StdAtomicU64,
    bytes_received: StdAtomicU64,
    histograms: Option<Box<Histograms>>,
    /// The highest number of successes that was reported so far. The lock lets only one reader count at a time.
    reported: Mutex<u64>,
}

/// The histograms of one stripe.
#[derive(Default)]
pub(crate) struct Histograms {
    /// The times from the pick to the first byte of the response.
    pub(crate) first_byte: Latencies,
    /// The times from the pick to the end of the lease.
    pub(crate) whole: Latencies,
}

impl Traffic {
    fn new(with_histograms: bool) -> Self {
        Self {
            ended: std::array::from_fn(|_| StdAtomicU64::new(0)),
            successes: StdAtomicU64::new(0),
            bytes_sent: StdAtomicU64::new(0),
            bytes_received: StdAtomicU64::new(0),
            histograms: with_histograms.then(Box::default),
            reported: Mutex::new(0),
        }
    }

    /// Counts the end of a lease that is no longer in flight. Because of this order, no reader counts the lease twice.
    #[cold]
    fn count(&self, ended: Ended) {
        if let Some(count) = self.ended.get(usize::from(ended.0)) {
            count.fetch_add(1, Ordering::Release);
        }
    }

    /// Adds the successes of a handle that no longer counts them.
    #[cold]
    fn keep_successes(&self, successes: u64) {
        self.successes.fetch_add(successes, Ordering::Release);
    }

    /// Counts bytes that were sent to the endpoint, and bytes that were received from it.
    pub(crate) fn count_bytes(&self, sent: u64, received: u64) {
        for (count, bytes) in [(&self.bytes_sent, sent), (&self.bytes_received, received)] {
            if bytes > 0 {
                count.fetch_add(bytes, Ordering::Relaxed);
            }
        }
    }

    /// Returns the numbers of bytes that were sent and received.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.bytes_sent.load(Ordering::Relaxed), self.bytes_received.load(Ordering::Relaxed))
    }

    pub(crate) fn histograms(&self) -> Option<&Histograms> {
        self.histograms.as_deref()
    }

    /// Reads the counts of the stripe. `handles` are its handles that exist.
    fn read<'a>(&self, handles: impl Iterator<Item = &'a Handle>) -> RequestCounts {
        let mut reported = self.reported.lock();
        let mut counts = RequestCounts::default();
        // These counts are read before the handles, because leases change the handles first.
        for (kind, count) in self.ended.iter().enumerate() {
            *counts.of_kind(kind) = count.load(Ordering::Acquire);
        }
        let kept = self.successes.load(Ordering::Acquire);
        let (in_flight, successes) = handles.fold((0, 0), |(in_flight, successes), handle| {
            let state = handle.state.load(Ordering::Acquire);
            (in_flight + (state & IN_FLIGHT), successes + (state >> 32))
        });
        // Successes that move from a handle to here are in neither place for a moment.
        *reported = (*reported).max(kept.wrapping_add(successes));
        (counts.success, counts.in_flight) = (*reported, in_flight);
        counts.total = counts.by_outcome().iter().map(|(_, count)| count).sum::<u64>() + in_flight;
        counts
    }
}

/// Returns the histograms of the times to the first byte and of the whole times, of all stripes of an endpoint. `None` if
/// the pool keeps no histograms.
pub(crate) fn read_histograms<'a>(
    stripes: impl Iterator<Item = &'a Traffic> + Clone,
) -> Option<(LatencyHistogram, LatencyHistogram)> {
    let all = stripes.filter_map(Traffic::histograms);
    all.clone().next()?;
    // A request is added to `first_byte` first. Read in the other order, `whole` never has more of them.
    let whole = LatencyHistogram::read(all.clone().map(|histograms| &histograms.whole));
    Some((LatencyHistogram::read(all.map(|histograms| &histograms.first_byte)), whole))
}

/// The largest default number of stripes. With more, a comparison of endpoints, which sums all stripes, loses more than
/// writers gain.
const MAX_STRIPES: usize = 4;

/// The default number of stripes: one per core, at most [`MAX_STRIPES`].
pub(crate) fn default_stripes() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).clamp(1, MAX_STRIPES)
}

/// Returns the number of the current thread. Threads are numbered from 0 in the order of their first picks.
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
