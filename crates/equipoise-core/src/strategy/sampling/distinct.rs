//! Random draws of distinct positions in a list of endpoints.

use super::{REDRAWS, below, two};
use crate::{endpoint::Slot, strategy::PickCx};

/// Returns two distinct positions of usable endpoints. They are drawn up to [`REDRAWS`] times. After that, they are
/// found by a scan from a random start.
#[cold]
pub(super) fn two_usable(slots: &[Slot], cx: &mut PickCx<'_>) -> (Option<usize>, Option<usize>) {
    let mut found = None;
    for _ in 0..REDRAWS {
        let (one, other) = two(slots.len(), cx.random());
        for at in [one, other].into_iter().flatten() {
            if found != Some(at) && cx.usable(slots[at]) {
                match found {
                    None => found = Some(at),
                    Some(_) => return (found, Some(at)),
                }
            }
        }
    }
    let start = below(slots.len(), cx.random() as u32);
    for at in (start..slots.len()).chain(0..start) {
        if found != Some(at) && cx.usable(slots[at]) {
            match found {
                None => found = Some(at),
                Some(_) => return (found, Some(at)),
            }
        }
    }
    (found, None)
}

/// Passes positions below `n` to `enter`, each once and in random order. `enter` returns how many positions it has
/// accepted so far. The function ends when this number is `wanted`, or when all positions have been passed.
///
/// If `wanted` is small compared with `n`, positions are drawn at random. A position that repeats or is not accepted is
/// drawn again, a limited number of times. Then all other positions follow from a random start.
pub(crate) fn several(
    n: usize,
    wanted: usize,
    cx: &mut PickCx<'_>,
    mut enter: impl FnMut(usize, &mut PickCx<'_>) -> usize,
) {
    /// The maximum number of draws before all positions are passed in order.
    const MOST: usize = 2 * (super::choices::MAX_CHOICES + REDRAWS);
    let mut offered = [usize::MAX; MOST];
    let mut count = 0;
    // In a pool that is hardly larger than `wanted`, most draws would repeat.
    if n > 2 * wanted {
        for _ in 0..(wanted + REDRAWS).div_ceil(2) {
            let bits = cx.random();
            for at in [below(n, bits as u32), below(n, (bits >> 32) as u32)] {
                if count < MOST && !offered[..count].contains(&at) {
                    offered[count] = at;
                    count += 1;
                    if enter(at, cx) >= wanted {
                        return;
                    }
                }
            }
        }
    }
    let start = below(n, cx.random() as u32);
    let stride = stride(n, cx.random());
    let mut at = start;
    for _ in 0..n {
        if !offered[..count].contains(&at) && enter(at, cx) >= wanted {
            return;
        }
        at = (at + stride) % n;
    }
}

/// Returns a random step with which repeated steps modulo `n` visit all positions below `n`: a step that has no common
/// factor with `n`.
fn stride(n: usize, bits: u64) -> usize {
    let first = 1 + below(n.saturating_sub(1), bits as u32);
    (first..n).chain(1..first).find(|&step| gcd(step, n) == 1).unwrap_or(1)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
