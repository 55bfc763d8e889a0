//! Pickers of a wrapped strategy for a part of a tier (priority group of endpoints).

use std::sync::Arc;

use crate::{
    endpoint::Slot,
    ids::Revision,
    strategy::{BuildError, PickCx, Picker, Strategy},
    view::View,
};

/// A part of a tier, and the wrapped strategy's picker for it.
pub(super) struct Part<P> {
    view: View,
    picker: P,
}

impl<P: Picker> Part<P> {
    /// Builds the picker for the members in `view`. Returns `None` if `view` has no members, because strategies never
    /// build a picker for an empty view.
    pub(super) fn build<S: Strategy<Picker = P>>(
        strategy: &S,
        view: View,
        last: Option<&Self>,
    ) -> Result<Option<Self>, BuildError> {
        if view.members().is_empty() {
            return Ok(None);
        }
        let picker = strategy.build(&view, last.map(|last| &last.picker))?;
        Ok(Some(Self { view, picker }))
    }

    #[inline]
    pub(super) fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        if self.view.eligible().is_empty() {
            return None;
        }
        cx.within(&self.view, |cx| self.picker.pick(cx))
    }

    pub(super) fn eligible(&self) -> &[Slot] {
        self.view.eligible()
    }
}

/// The members of a tier in the order in which one client uses them. The order depends only on the membership. The
/// first members form the client's part.
pub(super) struct Ranking {
    pub(super) order: Box<[Slot]>,
    /// The number of members in the part.
    pub(super) chosen: usize,
    membership: Revision,
}

impl Ranking {
    pub(super) fn new(view: &View, order: Box<[Slot]>, chosen: usize) -> Self {
        Self { order, chosen, membership: view.membership_revision() }
    }

    pub(super) fn still_holds(&self, view: &View) -> bool {
        self.membership == view.membership_revision()
    }
}

/// A picker for the first members of a [`Ranking`].
pub(super) struct Ranked<P> {
    pub(super) ranking: Arc<Ranking>,
    part: Option<Part<P>>,
    /// The eligible members that are not in the part, in order.
    rest: Box<[Slot]>,
}

impl<P: Picker> Ranked<P> {
    /// Builds the picker for the first members of the ranking, eligible or not. If fewer than `min_eligible` of them
    /// are eligible, the next eligible members are added.
    pub(super) fn build<S: Strategy<Picker = P>>(
        strategy: &S,
        view: &View,
        ranking: Arc<Ranking>,
        min_eligible: usize,
        last: Option<&Self>,
    ) -> Result<Self, BuildError> {
        let mut eligible = vec![false; view.capacity()];
        for slot in view.eligible() {
            eligible[slot.index()] = true;
        }
        let (chosen, others) = ranking.order.split_at(ranking.chosen.min(ranking.order.len()));
        let missing = min_eligible.saturating_sub(chosen.iter().filter(|slot| eligible[slot.index()]).count());
        let mut others = others.iter().copied().filter(|slot| eligible[slot.index()]);
        let mut taken = vec![false; view.capacity()];
        for slot in chosen.iter().copied().chain(others.by_ref().take(missing)) {
            taken[slot.index()] = true;
        }
        let rest = others.collect();
        let last = last.and_then(|last| last.part.as_ref());
        let part = Part::build(strategy, view.narrowed(|slot| taken[slot.index()]), last)?;
        Ok(Self { ranking, part, rest })
    }
}

impl<P: Picker> Picker for Ranked<P> {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        match self.part.as_ref().and_then(|part| part.pick(cx)) {
            Some(slot) => {
                cx.filter_out(&self.rest);
                Some(slot)
            }
            None => self.rest.iter().copied().find(|&slot| cx.usable(slot)),
        }
    }
}
