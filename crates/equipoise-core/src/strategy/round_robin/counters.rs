use crate::{
    endpoint::Slot,
    entropy::mix,
    strategy::{PickCounter, PickCx},
};

/// The number of positions in the cycle that a pick tries to find a usable endpoint, before it tries all endpoints.
const MOST_PLACES: u64 = 32;

/// The positions in the cycle: one for first attempts and one for retries.
pub(super) struct Counters {
    pub(super) first: PickCounter,
    /// The position for requests that exclude an endpoint. If they shared a counter with first attempts and one of two
    /// endpoints failed, all turns of the working endpoint could go to retries, and all first attempts to the failed
    /// endpoint.
    again: PickCounter,
}

impl Counters {
    /// Creates counters in which first attempts begin at `first`, and retries continue where `last` stopped.
    pub(super) fn starting_at(first: u64, last: Option<&Self>) -> Self {
        let again = last.map_or(0, |last| last.again.value());
        Self { first: PickCounter::starting_at(first), again: PickCounter::starting_at(again) }
    }

    /// Picks the endpoint whose turn it is. If it is not usable, picks the next usable endpoint in the order of `at`.
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

    /// Picks an endpoint at a random position of the cycle, so that the requests of a failed endpoint do not all go to
    /// the endpoint after it.
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
