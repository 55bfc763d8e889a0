//! The part of a strategy that runs for each request: the trait [`Picker`], the context of a pick ([`PickCx`]), the
//! counter of pickers that take turns, and the call of code that may panic.

use std::{
    any::Any,
    cell::Cell,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{
    candidate::CandidateResult,
    endpoint::{Endpoint, Slot},
    entropy::{Entropy, thread_random},
    request::PickRequest,
    sync::{AtomicU64, Ordering},
    time::Timestamp,
    view::View,
};

/// The part of a [`Strategy`](crate::Strategy) that picks an endpoint for each request. Many threads use a picker at
/// once, so a pick must not block.
pub trait Picker: Any + Send + Sync {
    /// Returns the slot of an endpoint for which [`PickCx::usable`] returns `true`, or `None` if there is no such
    /// endpoint. If the picker returns the slot of an endpoint that is not in [`View::eligible`], the pick of the pool
    /// fails with [`PickError::Misbehaved`](crate::PickError::Misbehaved).
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot>;
}

/// What a [`Picker`] needs for one pick: the view (the endpoints from which it picks), the request, the
/// time, and random numbers. The picker gets a new context for each request.
///
/// For [`Pool::explain`](crate::Pool::explain), a pick runs the same code, but its result is only reported. In such a
/// pick, the context also records the score of each compared endpoint, and why other endpoints cannot be picked.
pub struct PickCx<'a> {
    view: &'a View,
    request: &'a PickRequest<'a>,
    entropy: Option<&'a dyn Entropy>,
    now: Timestamp,
    /// Whether any endpoint may be unusable, or the pick is explained. If not, [`usable`](Self::usable) always returns
    /// true.
    checked: bool,
    /// The number of this pick. `None` if the picks of failing endpoints are not [capped](crate::Needs::caps_failing).
    turn: Option<u64>,
    /// The failing endpoints that this pick has found below their cap, by the last bits of their slots. Without it, the
    /// same endpoint could be usable in a part of the view, where its share is larger, and unusable in the whole view.
    /// A wrapping strategy must find an endpoint usable that the wrapped strategy has picked.
    uncapped: u64,
    notes: Option<&'a mut Notes>,
    filter: Option<&'a Filter<'a>>,
}

/// The endpoints that a wrapping strategy allows the wrapped one to pick, together with the filters of the strategies
/// that wrap both.
struct Filter<'a> {
    allows: &'a dyn Fn(Slot) -> bool,
    outer: Option<&'a Filter<'a>>,
}

impl Filter<'_> {
    fn admits(&self, slot: Slot) -> bool {
        (self.allows)(slot) && self.outer.is_none_or(|outer| outer.admits(slot))
    }
}

/// The records of an explained pick, by slot.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) scores: Vec<(Slot, f64)>,
    pub(crate) results: Vec<(Slot, CandidateResult)>,
}

impl<'a> PickCx<'a> {
    pub(crate) fn new(
        view: &'a View,
        request: &'a PickRequest<'a>,
        entropy: Option<&'a dyn Entropy>,
        now: Timestamp,
        notes: Option<&'a mut Notes>,
    ) -> Self {
        let checked = !request.exclude.is_empty() || view.is_limited() || notes.is_some();
        Self { view, request, entropy, now, checked, turn: None, uncapped: 0, notes, filter: None }
    }

    /// Caps the picks of endpoints that are marked as failing, if `turn` is the number of this pick.
    #[inline]
    pub(crate) fn at(mut self, turn: Option<u64>) -> Self {
        self.checked |= turn.is_some();
        self.turn = turn;
        self
    }

    /// Returns the view (list of endpoints) for which the picker was built. The view contains all endpoints of a tier
    /// (priority group of endpoints). Inside an outer strategy, the view contains only the part of them that the outer
    /// strategy passes on.
    #[inline]
    pub fn view(&self) -> &'a View {
        self.view
    }

    /// Returns the [key](crate::PickRequest::key) of the request, by which hashing strategies choose the endpoint.
    /// `None` if the request has no key.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.request.key
    }

    /// Returns whether the request [excludes](crate::PickRequest::exclude) at least one endpoint. Such a request is
    /// usually a retry.
    #[inline]
    pub fn is_retry(&self) -> bool {
        !self.request.exclude.is_empty()
    }

    /// Returns the [cost](crate::PickRequest::cost) of the request, relative to an average request, which has cost 1.0.
    pub fn cost(&self) -> f32 {
        self.request.cost
    }

    /// Returns the time of the pick. [`Timestamp::ZERO`] if the strategy has not [asked for the
    /// time](crate::Needs::clock).
    #[inline]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Returns 64 random bits from the pool's [entropy](crate::PoolBuilder::entropy).
    #[inline]
    pub fn random(&mut self) -> u64 {
        match self.entropy {
            None => thread_random(),
            Some(entropy) => entropy.next_u64(),
        }
    }

    /// Returns 64 bits with which a strategy that wraps another one can decide something for this request.
    ///
    /// - If `by_key` is true and the request has a key, the bits are a hash of the key and of `salt`. The decision is
    ///   then the same for all requests of one key.
    /// - Otherwise the bits are random, and `salt` has no effect.
    ///
    /// Pass [`Needs::places_by_key`](crate::Needs::places_by_key) of the wrapped strategy as `by_key`. As `salt`, each
    /// strategy should use its own constant, so that its decisions are independent of those of other strategies.
    pub fn random_by_key(&mut self, by_key: bool, salt: u64) -> u64 {
        match self.request.key.filter(|_| by_key) {
            Some(key) => xxh3_64_with_seed(key, salt),
            None => self.random(),
        }
    }

    /// Returns the next number of `counter` and advances the counter by 1. Call this method once per pick. In a pick
    /// for [`Pool::explain`](crate::Pool::explain), the counter does not advance: the result is the number that the
    /// next normal pick will get.
    #[inline]
    pub fn next_number(&mut self, counter: &PickCounter) -> u64 {
        if self.is_explained() { counter.value() } else { counter.take() }
    }

    /// Returns whether this pick is made for [`Pool::explain`](crate::Pool::explain) and not for a request. In such a
    /// pick, a picker must not change its own data, such as counters.
    #[inline]
    pub fn is_explained(&self) -> bool {
        self.notes.is_some()
    }

    /// Returns whether the eligible endpoint in `slot` can be picked for this request. False if the endpoint
    ///
    /// - is excluded by the request,
    /// - is at its maximum number of requests in flight,
    /// - is on [probation](crate::Availability::Probation) and has already got its single request,
    /// - is failing and has already had [its share of the picks](crate::Needs::caps_failing), or
    /// - is [filtered out](Self::filtered) by a strategy that wraps this one.
    #[inline]
    pub fn usable(&mut self, slot: Slot) -> bool {
        !self.checked || self.inspect(slot)
    }

    /// Returns whether a picker has to call [`usable`](Self::usable) in this pick. If the result is `false`, `usable`
    /// returns `true` for every eligible endpoint.
    #[inline]
    pub fn is_checked(&self) -> bool {
        self.checked
    }

    /// Runs `pick` with a filter: inside `pick`, only endpoints for which `allows` returns `true` are
    /// [usable](Self::usable). Returns the result of `pick`.
    ///
    /// A strategy uses this method to let a wrapped strategy pick from a part of the endpoints. If an endpoint is
    /// filtered out, a wrapped hashing strategy tries its next candidate, and a wrapped sampling strategy draws again.
    /// `allows` should return the same result for the same endpoint during the whole pick.
    pub fn filtered<R>(&mut self, allows: &dyn Fn(Slot) -> bool, pick: impl FnOnce(&mut PickCx<'_>) -> R) -> R {
        let filter = Filter { allows, outer: self.filter };
        let mut inside = PickCx {
            view: self.view,
            request: self.request,
            entropy: self.entropy,
            now: self.now,
            checked: true,
            turn: self.turn,
            uncapped: self.uncapped,
            notes: self.notes.as_deref_mut(),
            filter: Some(&filter),
        };
        let result = pick(&mut inside);
        self.uncapped = inside.uncapped;
        result
    }

    /// Runs `pick` with another view (list of endpoints). Returns the result of `pick`.
    ///
    /// A strategy calls this method if it wraps a picker that was built from another view, such as a
    /// [part](View::narrowed) of its own view. Pass that view as `view`. It must be of the same pool and the same tier
    /// (priority group of endpoints).
    pub fn within<R>(&mut self, view: &View, pick: impl FnOnce(&mut PickCx<'_>) -> R) -> R {
        let mut inside = PickCx {
            view,
            request: self.request,
            entropy: self.entropy,
            now: self.now,
            checked: self.checked,
            turn: self.turn,
            uncapped: self.uncapped,
            notes: self.notes.as_deref_mut(),
            filter: self.filter,
        };
        let result = pick(&mut inside);
        self.uncapped = inside.uncapped;
        result
    }

    /// Records for [`Pool::explain`](crate::Pool::explain) that the endpoints in `slots` are filtered out: an outer
    /// strategy does not let its inner strategy pick them. Does nothing in a normal pick. Does not change which
    /// endpoints are usable.
    #[inline]
    pub fn filter_out(&mut self, slots: &[Slot]) {
        if let Some(notes) = &mut self.notes {
            notes.results.extend(slots.iter().map(|&slot| (slot, CandidateResult::FilteredOut)));
        }
    }

    #[cold]
    fn inspect(&mut self, slot: Slot) -> bool {
        let Some(endpoint) = self.view.endpoint(slot) else { return false };
        let result = if self.request.excludes(endpoint.id()) {
            CandidateResult::Excluded
        } else if endpoint.permits.exhausted() {
            CandidateResult::Full
        } else if self.view.is_on_probation(slot) && endpoint.probation.is_out() {
            CandidateResult::OnProbation
        } else if self.is_capped(slot, endpoint) {
            CandidateResult::Failing
        } else if self.filter.is_some_and(|filter| !filter.admits(slot)) {
            CandidateResult::FilteredOut
        } else {
            return true;
        };
        if let Some(notes) = &mut self.notes {
            notes.results.push((slot, result));
        }
        false
    }

    /// Returns whether the endpoint is failing and has already had its share of the picks.
    fn is_capped(&mut self, slot: Slot, endpoint: &Endpoint) -> bool {
        let Some(turn) = self.turn.filter(|_| endpoint.failing.is_marked()) else { return false };
        let bit = 1 << (slot.index() % u64::BITS as usize);
        if self.uncapped & bit == 0 && !endpoint.failing.has_had_its_share(turn, self.view.turns_of(slot)) {
            self.uncapped |= bit;
        }
        self.uncapped & bit == 0
    }

    /// Records the score of the endpoint in `slot` for [`Pool::explain`](crate::Pool::explain). The endpoint with the
    /// lowest score is the best. Does nothing in a normal pick. Does not change which endpoint is picked.
    #[inline]
    pub fn score(&mut self, slot: Slot, score: f64) {
        if let Some(notes) = &mut self.notes {
            notes.scores.push((slot, score));
        }
    }
}

/// A counter that numbers the picks of a picker. It is for strategies in which endpoints take turns, such as round
/// robin: the number of a pick decides which endpoint has its turn. All threads share the counter, and it has its own
/// cache line.
///
/// Take one number per pick with [`PickCx::next_number`]. If the endpoint that belongs to this number is not usable,
/// try the other endpoints without taking a second number. If every pick took several numbers, other threads could take
/// all numbers that belong to usable endpoints, and a pick could fail although an endpoint is usable.
#[repr(align(128))]
#[derive(Default)]
pub struct PickCounter(AtomicU64);

impl PickCounter {
    /// Creates a counter that numbers picks, starting at 0.
    pub fn new() -> Self {
        Self::starting_at(0)
    }

    /// Creates a counter that numbers picks, starting at `first`.
    pub fn starting_at(first: u64) -> Self {
        Self(AtomicU64::new(first))
    }

    /// Returns the number that the next pick will get. The counter does not advance.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn take(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

impl fmt::Debug for PickCounter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PickCounter").field(&self.value()).finish()
    }
}

thread_local! {
    static PANICKED: Cell<bool> = const { Cell::new(false) };
}

/// Calls `f`, which is user code whose panic must not reach the caller. Returns the result of `f`, or `None` if it
/// panicked.
#[inline]
pub fn guarded<R>(f: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(f)).inspect_err(|_| PANICKED.set(true)).ok()
}

/// Returns whether user code inside [`guarded`] has panicked on this thread since the last call of this function.
///
/// `equipoise-sim` needs it: a pool ignores a strategy's hook that panics, but a simulation must not report results for
/// a strategy whose hooks panic.
pub fn take_panicked() -> bool {
    PANICKED.take()
}
