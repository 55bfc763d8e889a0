//! The endpoints that are compared in one pick (contenders): how they are drawn, the cost of a request at each of them,
//! their scores, and the requests that measure slow endpoints again (trials).

use crate::{
    endpoint::Slot,
    entropy::below,
    strategy::{PickCx, gcd},
    time::Timestamp,
};

/// The maximum number of endpoints that a strategy may draw and compare.
pub(crate) const MAX_CHOICES: usize = 10;

/// The number of endpoints that a pick draws and compares. Range: 2 to 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choices(u8);

impl Choices {
    pub(crate) const TWO: Self = Self(2);
    pub(crate) const MAX: Self = Self(MAX_CHOICES as u8);

    pub(crate) const fn new(choices: usize) -> Result<Self, InvalidChoices> {
        if choices >= 2 && choices <= MAX_CHOICES { Ok(Self(choices as u8)) } else { Err(InvalidChoices { choices }) }
    }

    pub(crate) const fn get(self) -> usize {
        self.0 as usize
    }
}

impl Default for Choices {
    fn default() -> Self {
        Self::TWO
    }
}

/// The error for a number of choices that is not in the range from 2 to 10. The number of choices is the number of
/// endpoints that a pick draws and compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a pick cannot compare {choices} endpoints: use 2 to 10, `Random` for 1, or `LeastConnections` for all")]
#[non_exhaustive]
pub struct InvalidChoices {
    /// The given number of choices: the number of endpoints that each pick compares.
    pub choices: usize,
}

/// How many times a picker draws again if the drawn endpoint is not usable. After that, it scans all endpoints.
pub(crate) const REDRAWS: usize = 8;

/// Returns two distinct positions below `n`. All pairs are equally likely. The second is `None` if `n` is 1, and both
/// are `None` if `n` is 0.
#[inline]
pub(super) fn two(n: usize, bits: u64) -> (Option<usize>, Option<usize>) {
    match n {
        0 => (None, None),
        1 => (Some(0), None),
        n => {
            let one = below(n, bits as u32);
            let other = below(n - 1, (bits >> 32) as u32);
            (Some(one), Some(other + usize::from(other >= one)))
        }
    }
}

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
    const MOST: usize = 2 * (MAX_CHOICES + REDRAWS);
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

/// An estimate counts as new, and does not fade, if it was updated within this fraction of the fading time. Most picks
/// then need no exponential function.
const FRESH: f64 = 1e-3;

/// The cost of one request at an endpoint. The unit is that of the strategy, for example a time.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    /// The estimated cost. 0 if nothing was measured yet. If the endpoint has not answered yet but a request has waited
    /// for an answer, the estimate is negative. Its absolute value is then a lower bound of the cost.
    pub(crate) estimate: f64,
    /// The time since the estimate was updated, in units of the time after which the estimate weighs 1/e. 0 for an
    /// endpoint that has requests in flight.
    pub(crate) idle: f64,
    /// The cost that recent failures add.
    pub(crate) penalty: f64,
}

impl Cost {
    /// A cost of 1. It is used for all endpoints if only requests in flight matter.
    pub(crate) const UNIT: Self = Self { estimate: 1.0, idle: 0.0, penalty: 0.0 };

    /// Returns the cost by which the endpoint is compared. `lowest` is the lowest estimate of the contenders. `noise`
    /// is the factor within which estimates count as equal: see [`Gauge::NOISE`].
    ///
    /// - If the endpoint was not measured yet, its estimate counts as the lowest. The endpoint then gets some requests,
    ///   but not too many.
    /// - A higher cost that is not updated fades towards half of the lowest estimate, so that the endpoint is not
    ///   avoided for ever. If it faded further, the endpoint would get many requests before the first answer shows its
    ///   present cost. If it faded only to the lowest estimate, a small rest of a penalty would prevent the endpoint
    ///   from winning.
    /// - An estimate of at most `noise` times the lowest counts as the lowest. A higher one is divided by `noise`.
    #[inline]
    pub(super) fn settle(self, lowest: f64, noise: f64) -> f64 {
        // Multiplied by the reciprocal, which the compiler computes, because a division is slower.
        let estimate = (self.estimate.abs() * (1.0 / noise)).max(lowest);
        let cost = if estimate + self.penalty > lowest && self.idle > FRESH {
            let floor = lowest / 2.0;
            floor + (estimate - floor) * (-self.idle).exp()
        } else {
            estimate
        };
        cost + self.penalty
    }
}

/// Reads the costs of endpoints. Implemented by each strategy that compares endpoints.
pub(crate) trait Gauge {
    /// The factor within which estimates count as equal. An estimate below `NOISE` times the lowest counts as the
    /// lowest. 1 means that all differences count.
    const NOISE: f64 = 1.0;

    /// The cost of the requests that are sent to slow endpoints to measure them again, as a fraction of the cost of all
    /// requests. 0 means that no such requests are sent.
    const CURIOSITY: f64 = 0.0;

    /// Returns the cost of a request at an endpoint, as if it had no requests in flight.
    fn read(&self, slot: Slot, now: Timestamp) -> Cost;

    /// Called when this idle endpoint is picked to measure it again, although its score is not the lowest.
    fn on_trial(&self, _slot: Slot) {}
}

/// Returns the lowest measured estimate. Returns 1 if nothing was measured.
#[inline]
pub(crate) fn lowest(estimates: impl Iterator<Item = f64>) -> f64 {
    let lowest = estimates.filter(|&estimate| estimate > 0.0).fold(f64::INFINITY, f64::min);
    if lowest.is_finite() { lowest } else { 1.0 }
}

/// An endpoint that is compared with others in one pick.
#[derive(Clone, Copy)]
pub(super) struct Contender {
    pub(super) slot: Slot,
    /// The number of requests in flight to the endpoint.
    pub(super) in_flight: f64,
    pub(super) cost: Cost,
    /// 1 / weight of the endpoint.
    pub(super) inverse: f64,
}

impl Contender {
    #[inline]
    pub(super) fn new(slot: Slot, inverse: f64, cost: Cost, cx: &PickCx<'_>) -> Self {
        let in_flight = cx.view().in_flight(slot);
        // Requests in flight will update the estimate. So it fades only while there are none.
        let idle = if in_flight == 0 { cost.idle } else { 0.0 };
        Self { slot, in_flight: f64::from(in_flight), cost: Cost { idle, ..cost }, inverse }
    }

    /// Returns the cost by which the endpoint is compared: see [`Cost::settle`].
    #[inline]
    pub(super) fn settled<G: Gauge>(&self, lowest: f64, _: &G) -> f64 {
        self.cost.settle(lowest, G::NOISE)
    }

    /// Returns the score of the endpoint: its cost, multiplied by its requests in flight plus one.
    #[inline]
    pub(super) fn score<G: Gauge>(&self, lowest: f64, gauge: &G) -> f64 {
        self.settled(lowest, gauge) * (self.in_flight + 1.0)
    }
}

/// The endpoints that are compared in one pick, at most `MAX`.
pub(super) struct Contenders<const MAX: usize> {
    contenders: [Contender; MAX],
    len: usize,
}

impl<const MAX: usize> Default for Contenders<MAX> {
    fn default() -> Self {
        let none = Contender { slot: Slot(0), in_flight: 0.0, cost: Cost::UNIT, inverse: 0.0 };
        Self { contenders: [none; MAX], len: 0 }
    }
}

impl<const MAX: usize> Contenders<MAX> {
    pub(super) fn push(&mut self, contender: Contender) {
        if let Some(place) = self.contenders.get_mut(self.len) {
            *place = contender;
            self.len += 1;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn as_slice(&self) -> &[Contender] {
        &self.contenders[..self.len]
    }
}

/// Returns the slot of the contender with the lowest score. Sometimes returns the slot of a slow endpoint instead, to
/// measure it again (see [`trial`]). If several contenders have the lowest score, the first wins. The caller therefore
/// passes the contenders in random order.
#[inline]
pub(super) fn least(contenders: &[Contender], cx: &mut PickCx<'_>, gauge: &impl Gauge) -> Slot {
    let lowest = lowest_estimate(contenders);
    let mut best = (contenders[0], f64::INFINITY);
    for &contender in contenders {
        let score = contender.score(lowest, gauge);
        cx.score(contender.slot, score);
        if score < best.1 {
            best = (contender, score);
        }
    }
    trial(contenders, best.0, lowest, cx, gauge).unwrap_or(best.0.slot)
}

/// Returns an idle endpoint to pick instead of the winner, to measure it again. `None` if no contender is idle and
/// slow, or if this pick tries none. With more contenders, each is tried more rarely, so that the cost of all trials
/// together stays the same.
#[inline]
pub(super) fn trial<G: Gauge>(
    contenders: &[Contender],
    winner: Contender,
    lowest: f64,
    cx: &mut PickCx<'_>,
    gauge: &G,
) -> Option<Slot> {
    let alike = lowest * G::NOISE;
    if G::CURIOSITY == 0.0 || contenders.iter().all(|c| c.cost.estimate.abs() <= alike || c.in_flight > 0.0) {
        return None;
    }
    draw_trial(contenders, winner, lowest, cx, gauge)
}

// Not inlined, because it is rarely called if no endpoint is slow.
#[inline(never)]
fn draw_trial<G: Gauge>(
    contenders: &[Contender],
    winner: Contender,
    lowest: f64,
    cx: &mut PickCx<'_>,
    gauge: &G,
) -> Option<Slot> {
    let most = winner.score(lowest, gauge);
    let allowed = G::CURIOSITY * most * 2.0 / contenders.len() as f64;
    let tried = contenders.iter().find(|contender| {
        let Cost { estimate, penalty, .. } = contender.cost;
        let estimate = estimate.abs();
        // An endpoint that fails, or has sent `Retry-After`, is not tried until the penalty has faded.
        if contender.in_flight > 0.0 || estimate <= most || penalty > estimate {
            return false;
        }
        let cost = contender.score(lowest, gauge);
        cost > most && cost * unit(cx.random()) < allowed
    })?;
    if !cx.is_explained() {
        gauge.on_trial(tried.slot);
    }
    Some(tried.slot)
}

/// Returns a number from 0 up to, but not including, 1.
pub(crate) fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// Returns the lowest measured estimate of the contenders. Returns 1 if nothing was measured.
#[inline]
pub(super) fn lowest_estimate(contenders: &[Contender]) -> f64 {
    lowest(contenders.iter().map(|contender| contender.cost.estimate))
}
