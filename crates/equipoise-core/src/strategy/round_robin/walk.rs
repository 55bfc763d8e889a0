use crate::{endpoint::Slot, strategy::PickCx};

/// How far a pick walks along the turn to get past unusable endpoints, before it looks at all of them.
const LONGEST_WALK: u64 = 32;

/// The first usable endpoint from `ticket` on, in the order that `at` tells.
#[inline]
pub(super) fn walk(ticket: u64, at: impl Fn(u64) -> Option<Slot>, all: &[Slot], cx: &mut PickCx<'_>) -> Option<Slot> {
    let slot = at(ticket)?;
    if !cx.is_checked() || cx.usable(slot) {
        return Some(slot);
    }
    for step in 1..LONGEST_WALK {
        let slot = at(ticket.wrapping_add(step))?;
        if cx.usable(slot) {
            return Some(slot);
        }
    }
    let start = (ticket % all.len().max(1) as u64) as usize;
    all[start..].iter().chain(&all[..start]).copied().find(|&slot| cx.usable(slot))
}
