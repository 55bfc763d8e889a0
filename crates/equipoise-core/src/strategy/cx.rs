use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{
    candidate::CandidateResult,
    endpoint::{Endpoint, Slot},
    entropy::{Entropy, thread_random},
    request::PickRequest,
    strategy::PickCounter,
    time::Timestamp,
    view::View,
};

/// The context of one pick: the view, the request, the time, and random numbers. A [`Picker`](crate::Picker) gets it
/// for each request.
///
/// If the pick is [explained](crate::Pool::explain), the context also records the score of each candidate, and why
/// other endpoints cannot be picked. An explained pick runs the same code as a normal pick.
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

    /// Returns the view for which the picker was built: the endpoints of a tier (priority group), or the part of them
    /// that a wrapping strategy passes on.
    #[inline]
    pub fn view(&self) -> &'a View {
        self.view
    }

    /// Returns the [key](crate::PickRequest::key) of the request. `None` if the request has no key. Strategies that
    /// place requests by key use it.
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

    /// Returns 64 bits for a decision of a strategy that wraps another one.
    ///
    /// If `by_key` is true and the request has a key, the bits are a hash of the key and of `salt`, so that the
    /// decision is the same for all requests of one key. Otherwise the bits are random. Pass
    /// [`Needs::places_by_key`](crate::Needs::places_by_key) of the wrapped strategy as `by_key`. Each strategy should
    /// use its own constant as `salt`, so that its decisions are independent of those of other strategies.
    pub fn random_by_key(&mut self, by_key: bool, salt: u64) -> u64 {
        match self.request.key.filter(|_| by_key) {
            Some(key) => xxh3_64_with_seed(key, salt),
            None => self.random(),
        }
    }

    /// Returns the next number of `counter` and advances the counter. Call this once per pick. If the pick is
    /// [explained](crate::Pool::explain), the counter does not advance: the result is the number that the next pick
    /// will get.
    #[inline]
    pub fn next_number(&mut self, counter: &PickCounter) -> u64 {
        if self.is_explained() { counter.value() } else { counter.take() }
    }

    /// Returns whether this pick is only [explained](crate::Pool::explain). In this case, a picker must not change its
    /// own data.
    #[inline]
    pub fn is_explained(&self) -> bool {
        self.notes.is_some()
    }

    /// Returns whether the eligible endpoint in `slot` can be picked for this request. False if the endpoint
    ///
    /// - is excluded by the request,
    /// - is at its maximum number of requests in flight,
    /// - is on probation, and the single request of the probation is in flight or has ended,
    /// - is failing and has already had [its share of the picks](crate::Needs::caps_failing), or
    /// - is [filtered out](Self::filtered) by a wrapping strategy.
    #[inline]
    pub fn usable(&mut self, slot: Slot) -> bool {
        !self.checked || self.inspect(slot)
    }

    /// Returns whether [`usable`](Self::usable) can return false in this pick. If the result is false, all eligible
    /// endpoints are usable, and a picker does not have to call `usable`.
    #[inline]
    pub fn is_checked(&self) -> bool {
        self.checked
    }

    /// Runs `pick` with a filter: only endpoints for which `allows` returns true are usable. Returns the result of
    /// `pick`.
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

    /// Runs `pick` with another view. Returns the result of `pick`.
    ///
    /// A strategy uses this method if it has built the wrapped picker from another view, such as a
    /// [part](View::narrowed) of its own view. The view must be of the same pool and the same tier (priority group).
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

    /// Records that the endpoints in `slots` are filtered out: a wrapping strategy does not let the wrapped strategy
    /// pick them. Does nothing unless the pick is [explained](crate::Pool::explain).
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

    /// Records the score of a candidate for the explanation of the pick. The endpoint with the lowest score is picked.
    /// Does nothing unless the pick is [explained](crate::Pool::explain).
    #[inline]
    pub fn score(&mut self, slot: Slot, score: f64) {
        if let Some(notes) = &mut self.notes {
            notes.scores.push((slot, score));
        }
    }
}
