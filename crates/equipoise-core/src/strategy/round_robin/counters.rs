use crate::{
    endpoint::Slot,
    entropy::mix,
    strategy::{PickCounter, PickCx},
};

/// How many places of the turn a pick looks at to get past unusable endpoints, before it looks at all of them.
const MOST_PLACES: u64 = 32;

/// The positions in the turn: one for first attempts, one for retries.
pub(super) struct Counters {
    pub(super) first: PickCounter,
    /// For requests that exclude an endpoint. If they shared a counter with first attempts and one of two endpoints was
    /// down, all turns of the working one would go to retries, and all first attempts to the one that is down.
    again: PickCounter,
}

impl Counters {
    /// Counts first attempts from `first`, and retries from where `last` stood.
    pub(super) fn starting_at(first: u64, last: Option<&Self>) -> Self {
        let again = last.map_or(0, |last| last.again.value());
        Self { first: PickCounter::starting_at(first), again: PickCounter::starting_at(again) }
    }

    /// The endpoint whose turn it is, or else the next usable one, in the order of `at`.
    #[inline]
    pub(super) fn pick(&self, at: impl Fn(u64) -> Option<Slot>, all: &[Slot], cx: &mut PickCx<'_>) -> Option<Slot> {
        if cx.is_retry() {
            return self.pick_again(at, all, cx);
        }
        let ticket = cx.next_number(&self.first);
        let slot = at(ticket)?;
        if !cx.is_checked() || cx.usable(slot) {
            return Some(slot);
        }
        let next = (1..MOST_PLACES).map_while(|step| at(ticket.wrapping_add(step))).find(|&slot| cx.usable(slot));
        next.or_else(|| scan(ticket, all, cx))
    }

    /// An endpoint at a random place of the turn, so that the requests of an endpoint that is down do not all go to the
    /// one after it.
    #[cold]
    fn pick_again(&self, at: impl Fn(u64) -> Option<Slot>, all: &[Slot], cx: &mut PickCx<'_>) -> Option<Slot> {
        let ticket = cx.next_number(&self.again);
        let place = |probe: u64| mix(ticket.wrapping_mul(MOST_PLACES).wrapping_add(probe));
        let next = (0..MOST_PLACES).map_while(|probe| at(place(probe))).find(|&slot| cx.usable(slot));
        next.or_else(|| scan(ticket, all, cx))
    }
}

fn scan(ticket: u64, all: &[Slot], cx: &mut PickCx<'_>) -> Option<Slot> {
    let start = (ticket % all.len().max(1) as u64) as usize;
    all[start..].iter().chain(&all[..start]).copied().find(|&slot| cx.usable(slot))
}
