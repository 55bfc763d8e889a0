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

/// What a [`Picker`](crate::Picker) can read during one pick: the view, the request, the time, and random numbers.
///
/// It also records scores and exclusions if the pick is [explained](crate::Pool::explain). An explanation runs the same
/// code as a pick.
pub struct PickCx<'a> {
    view: &'a View,
    request: &'a PickRequest<'a>,
    entropy: Option<&'a dyn Entropy>,
    now: Timestamp,
    /// Whether an endpoint may be unusable or the pick is explained. Otherwise [`usable`](Self::usable) is always true.
    checked: bool,
    /// The number of this pick, if endpoints that fail are to be [capped](crate::Needs::caps_failing).
    turn: Option<u64>,
    /// Which endpoints were usable under that cap, by the last bits of their slots. Their share is larger in a part of the
    /// view than in the whole, and a wrapping strategy must find usable what the wrapped one has picked.
    uncapped: u64,
    notes: Option<&'a mut Notes>,
    filter: Option<&'a Filter<'a>>,
}

/// The endpoints that a wrapping strategy lets the wrapped one pick, and the filters of the strategies further out.
struct Filter<'a> {
    allows: &'a dyn Fn(Slot) -> bool,
    outer: Option<&'a Filter<'a>>,
}

impl Filter<'_> {
    fn admits(&self, slot: Slot) -> bool {
        (self.allows)(slot) && self.outer.is_none_or(|outer| outer.admits(slot))
    }
}

/// What an explained pick has recorded, by slot.
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

    /// Caps endpoints that are marked as failing, if there is a turn to count by.
    #[inline]
    pub(crate) fn at(mut self, turn: Option<u64>) -> Self {
        self.checked |= turn.is_some();
        self.turn = turn;
        self
    }

    /// The view that this picker was built for.
    #[inline]
    pub fn view(&self) -> &'a View {
        self.view
    }

    /// The [key](crate::PickRequest::key) of the request; `None` if it has none. Strategies that place by key use it.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.request.key
    }

    /// Whether the request [excludes](crate::PickRequest::exclude) at least one endpoint. Such a request is usually a
    /// retry.
    #[inline]
    pub fn is_retry(&self) -> bool {
        !self.request.exclude.is_empty()
    }

    /// The [cost](crate::PickRequest::cost) of the request, relative to a usual one of 1.
    pub fn cost(&self) -> f32 {
        self.request.cost
    }

    /// The time of the pick. It is [`Timestamp::ZERO`] unless the strategy [asks for it](crate::Needs::clock).
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

    /// Returns 64 bits for a decision of a wrapping strategy. If `by_key` is true and the request has a key, they are a
    /// hash of the key and `salt`, so that all requests of one key get the same decision. Otherwise they are random.
    /// Pass what [`Needs::places_by_key`](crate::Needs::places_by_key) says of the wrapped strategy; each strategy uses
    /// its own `salt`.
    pub fn random_by_key(&mut self, by_key: bool, salt: u64) -> u64 {
        match self.request.key.filter(|_| by_key) {
            Some(key) => xxh3_64_with_seed(key, salt),
            None => self.random(),
        }
    }

    /// Returns the next number of `counter`. Call it once per pick. During an explanation it returns the number that
    /// the next pick gets, and does not advance the counter.
    #[inline]
    pub fn next_number(&mut self, counter: &PickCounter) -> u64 {
        if self.is_explained() { counter.value() } else { counter.take() }
    }

    /// Whether this pick is only [explained](crate::Pool::explain). A picker must not change its own data then.
    #[inline]
    pub fn is_explained(&self) -> bool {
        self.notes.is_some()
    }

    /// Whether this eligible endpoint may be picked for this request. It may not if it is excluded, at its limit, on
    /// probation with a request under way, [capped](crate::Needs::caps_failing) because it fails, or [filtered
    /// out](Self::filtered).
    #[inline]
    pub fn usable(&mut self, slot: Slot) -> bool {
        !self.checked || self.inspect(slot)
    }

    /// Whether [`usable`](Self::usable) can return `false`. If not, a picker need not call it.
    #[inline]
    pub fn is_checked(&self) -> bool {
        self.checked
    }

    /// Runs `pick` with only those endpoints usable that `allows` accepts. For strategies that wrap another: a hashing
    /// strategy then tries its next candidate, a sampling one draws again. During one pick, `allows` should return the
    /// same for the same endpoint.
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

    /// Runs `pick` with another view, such as the [part](View::narrowed) that a wrapping strategy has built the wrapped
    /// picker from. The view must be of the same pool and tier.
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

    /// Records in an explanation that a wrapping strategy does not let the wrapped one pick these endpoints. Does
    /// nothing in a normal pick.
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

    /// Whether the endpoint fails and has had its share of the picks.
    fn is_capped(&mut self, slot: Slot, endpoint: &Endpoint) -> bool {
        let Some(turn) = self.turn.filter(|_| endpoint.failing.is_marked()) else { return false };
        let bit = 1 << (slot.index() % u64::BITS as usize);
        if self.uncapped & bit == 0 && !endpoint.failing.has_had_its_share(turn, self.view.turns_of(slot)) {
            self.uncapped |= bit;
        }
        self.uncapped & bit == 0
    }

    /// Records the score of a candidate in an explanation; the lowest wins. Does nothing in a normal pick.
    #[inline]
    pub fn score(&mut self, slot: Slot, score: f64) {
        if let Some(notes) = &mut self.notes {
            notes.scores.push((slot, score));
        }
    }
}
