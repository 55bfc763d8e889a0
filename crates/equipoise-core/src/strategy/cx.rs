use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{
    endpoint::{Endpoint, Slot},
    entropy::{Entropy, thread_random},
    fate::Fate,
    request::PickRequest,
    strategy::Tickets,
    time::Timestamp,
    view::View,
};

/// All that a [`Picker`](crate::Picker) may look at while it picks.
///
/// It owns randomness and tickets, and it takes notes when a pick is [explained](crate::Pool::explain): an explanation
/// runs the very code that picks.
pub struct PickCx<'a> {
    view: &'a View,
    request: &'a PickRequest<'a>,
    entropy: Option<&'a dyn Entropy>,
    now: Timestamp,
    /// Whether any endpoint might be unusable, or notes are wanted: otherwise [`usable`](Self::usable) need not look.
    checked: bool,
    /// The number of this pick, if endpoints that fail are to be [capped](crate::Needs::caps_failing).
    turn: Option<u64>,
    /// Which endpoints were usable under that cap, by the last bits of their slots. Their share is larger in a part of the
    /// view than in the whole, and a wrapping strategy must find usable what the wrapped one has picked.
    uncapped: u64,
    notes: Option<&'a mut Notes>,
    filter: Option<&'a Filter<'a>>,
}

/// Whom a wrapping strategy lets the wrapped one pick, and whom those further out do.
struct Filter<'a> {
    allows: &'a dyn Fn(Slot) -> bool,
    outer: Option<&'a Filter<'a>>,
}

impl Filter<'_> {
    fn admits(&self, slot: Slot) -> bool {
        (self.allows)(slot) && self.outer.is_none_or(|outer| outer.admits(slot))
    }
}

/// What an explained pick leaves behind, by slot.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) scores: Vec<(Slot, f64)>,
    pub(crate) fates: Vec<(Slot, Fate)>,
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

    /// The view that the picker was built for.
    #[inline]
    pub fn view(&self) -> &'a View {
        self.view
    }

    /// What decides where the request goes, for strategies that place by key.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.request.key
    }

    /// Whether the request excludes somebody: it is tried again.
    #[inline]
    pub fn is_retry(&self) -> bool {
        !self.request.exclude.is_empty()
    }

    /// How much work the request is, relative to the usual one.
    pub fn cost(&self) -> f32 {
        self.request.cost
    }

    /// The time of the pick. [`Timestamp::ZERO`] unless the strategy [needs](crate::Needs::clock) it.
    #[inline]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// 64 random bits.
    #[inline]
    pub fn random(&mut self) -> u64 {
        match self.entropy {
            None => thread_random(),
            Some(entropy) => entropy.next_u64(),
        }
    }

    /// 64 bits for a wrapping strategy to decide by. Where the wrapped one [places by key](crate::Needs::places_by_key)
    /// and there is a key they belong to the key and to `salt`, so that requests of one key go one way; else they are
    /// random.
    pub fn lot(&mut self, by_key: bool, salt: u64) -> u64 {
        match self.request.key.filter(|_| by_key) {
            Some(key) => xxh3_64_with_seed(key, salt),
            None => self.random(),
        }
    }

    /// The pick's number; take one per pick. An explanation sees the next number and leaves it.
    #[inline]
    pub fn ticket(&mut self, tickets: &Tickets) -> u64 {
        if self.is_explained() { tickets.peek() } else { tickets.take() }
    }

    /// Whether this pick is only [explained](crate::Pool::explain): a picker that writes down anything itself, be it what
    /// its first pick has drawn, leaves that out then.
    #[inline]
    pub fn is_explained(&self) -> bool {
        self.notes.is_some()
    }

    /// Whether this eligible endpoint may be picked for this request: it is not excluded, not at its limit, not on a
    /// trial that another request has, and has not just been picked while its requests
    /// [fail](crate::Needs::caps_failing).
    #[inline]
    pub fn usable(&mut self, slot: Slot) -> bool {
        !self.checked || self.inspect(slot)
    }

    /// Whether [`usable`](Self::usable) may say no: if not, a picker can skip asking.
    #[inline]
    pub fn is_checked(&self) -> bool {
        self.checked
    }

    /// Lets `pick` choose among those endpoints only that `allows` admits: for strategies that wrap another. Inside,
    /// [`usable`](Self::usable) says no to all others, so a hashing strategy walks on and a sampling one draws again.
    /// `allows` should answer the same each time it is asked during one pick.
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

    /// Lets `pick` see another view than this one: the [part](View::narrowed) of it, say, that a wrapping strategy has
    /// built the wrapped one's picker from. It must be a view of the same pool and tier.
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

    /// Tells an explanation that a wrapping strategy keeps these endpoints from the wrapped one. Costs nothing
    /// otherwise.
    #[inline]
    pub fn pass_over(&mut self, slots: &[Slot]) {
        if let Some(notes) = &mut self.notes {
            notes.fates.extend(slots.iter().map(|&slot| (slot, Fate::PassedOver)));
        }
    }

    #[cold]
    fn inspect(&mut self, slot: Slot) -> bool {
        let Some(endpoint) = self.view.endpoint(slot) else { return false };
        let fate = if self.request.excludes(endpoint.id()) {
            Fate::Excluded
        } else if endpoint.permits.exhausted() {
            Fate::Full
        } else if self.view.is_on_probation(slot) && endpoint.probation.is_out() {
            Fate::OnProbation
        } else if self.is_capped(slot, endpoint) {
            Fate::Failing
        } else if self.filter.is_some_and(|filter| !filter.admits(slot)) {
            Fate::PassedOver
        } else {
            return true;
        };
        if let Some(notes) = &mut self.notes {
            notes.fates.push((slot, fate));
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

    /// Tells an explanation what the candidate scored (the lowest wins). Costs nothing otherwise.
    #[inline]
    pub fn score(&mut self, slot: Slot, score: f64) {
        if let Some(notes) = &mut self.notes {
            notes.scores.push((slot, score));
        }
    }
}
