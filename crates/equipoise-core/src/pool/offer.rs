//! Offers of probation: the pool sends the next request to an endpoint on trial, instead of waiting until the strategy
//! would pick it. A strategy that compares endpoints may never do so: an endpoint with a long stream open is never the
//! less loaded one, and one that has failed for a while is remembered for it.

use super::{
    Hooks,
    snapshot::{Entry, Snapshot, enter, why_not},
};
use crate::{
    endpoint::Slot,
    request::PickRequest,
    sync::{AtomicU32, Ordering},
};

/// The endpoints of one tier that are on trial and that the strategy may pick.
pub(super) struct Offers {
    slots: Box<[Slot]>,
    /// Where the next look begins, if there are more endpoints than one pick looks at.
    next: AtomicU32,
}

/// The most endpoints that one pick looks at: a pick stays O(1) while thousands of endpoints wait for their verdict.
const MOST_LOOKS: usize = 8;

impl Offers {
    pub(super) fn new(slots: impl Iterator<Item = Slot>) -> Self {
        Self { slots: slots.collect(), next: AtomicU32::new(0) }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn looked_at(&self, explained: bool) -> impl Iterator<Item = Slot> {
        let n = self.slots.len();
        let start = match n {
            ..=MOST_LOOKS => 0,
            _ if explained => self.next.load(Ordering::Relaxed),
            _ => self.next.fetch_add(MOST_LOOKS as u32, Ordering::Relaxed),
        };
        (0..n.min(MOST_LOOKS)).filter_map(move |step| self.slots.get((start as usize).wrapping_add(step) % n).copied())
    }
}

impl Snapshot {
    /// Lets the request in at an endpoint on trial whose pass is to be offered, if the request may go there.
    ///
    /// Each trial is offered once: should the request end without a verdict, the strategy decides which other one takes
    /// the pass. Otherwise an endpoint that accepts requests and never answers would be given one after the other.
    #[cold]
    pub(super) fn offer(
        &self,
        offers: &Offers,
        request: &PickRequest<'_>,
        hooks: &Hooks,
        explained: bool,
    ) -> Option<(Slot, Entry)> {
        offers.looked_at(explained).find_map(|slot| {
            let member = self.members().get(slot)?;
            let (trial, pass) = (&member.endpoint.trial, self.pass_of(slot));
            let is_free = trial.is_to_be_offered() && why_not(member, pass).is_none();
            if !is_free || request.excludes(member.endpoint.id()) {
                return None;
            }
            let entry = enter(member, pass, request, hooks, explained)?;
            if let Some(pass) = entry.pass {
                trial.was_offered(pass);
            }
            Some((slot, entry))
        })
    }
}
