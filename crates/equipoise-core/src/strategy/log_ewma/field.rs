//! The endpoints that one pick compares, and the cost of a request at each of them.

use super::{estimate::Memory, state::LogEwmaState};
use crate::{
    endpoint::Slot,
    load::Load,
    strategy::{
        PickCx,
        sampling::{MAX_CONTENDERS, lowest, unit},
    },
    sync::{AtomicU64, Ordering},
    time::Timestamp,
};

/// The factor within which estimates count as equal. Estimates of equal endpoints differ by some tens of a percent.
pub(super) const NOISE: f64 = 1.5;

/// The maximum cost of a slow endpoint, as a multiple of the cost of a fast one.
const MAX_COST: f64 = 10.0;

/// The range of the cost of the largest penalty, as multiples of the lowest estimate. Smaller penalties cost
/// proportionally less. Without the maximum, an endpoint with short latencies would be avoided for seconds because of
/// one failure. Without the minimum, an endpoint that fails at once would look better than endpoints whose responses
/// take longer than the penalty.
const PENALTIES: (f64, f64) = (10.0, 100.0);

/// How many times the usual odds of a failure an endpoint must have, so that its penalty counts. The odds are the number
/// of failures per success. With shares instead of odds, an endpoint that fails always would count as usual if all
/// others fail a quarter of their requests.
const EXCEPTION: f64 = 4.0;

/// The minimum share of successes in the odds of a failure. Without it, the odds of two endpoints that both fail always
/// would differ, depending on the number of their failures.
const MIN_SUCCESSES: f64 = 0.01;

/// An endpoint with a larger share of failures does not show what is usual, unless all endpoints fail as often.
const OFTEN: f64 = 0.2;

/// The maximum cost of silence, as a multiple of the lowest estimate. It also limits how rarely silent endpoints get
/// trials: without this limit, an endpoint with one request that never gets a response would practically get none.
const MAX_SILENCE: f64 = 100.0;

/// The minimum penalty of an endpoint that has asked for a pause with `Retry-After`, as a multiple of the lowest
/// estimate.
const PAUSE: f64 = 1000.0;

/// An estimate counts as new, and does not fade, if it was updated within this fraction of the fading time. Most picks
/// then need no exponential function.
const FRESH: f64 = 1e-3;

/// The cost of trials, as a fraction of the cost of all requests.
const CURIOSITY: f64 = 0.1;

/// An endpoint that is compared with others in one pick.
#[derive(Clone, Copy)]
pub(super) struct Contender<'a> {
    pub(super) slot: Slot,
    pub(super) state: &'a LogEwmaState,
    /// 1 / weight of the endpoint. 1 if all weights are equal.
    pub(super) inverse: f64,
    pub(super) load: Load,
    /// The cost of one request at the endpoint in milliseconds, as it counts in the comparison. Set by
    /// [`Field::settle`].
    pub(super) cost: f64,
    /// Whether the endpoint is slow and has been idle for so long that its estimate has faded. If such an endpoint
    /// wins, the request is a trial.
    pub(super) is_overdue: bool,
    /// The estimated latency of the endpoint in milliseconds. Faded if the endpoint is idle.
    estimate: f64,
    /// Whether the estimate counts as equal to the lowest one.
    is_fast: bool,
    /// The time since the last response, in nanoseconds.
    idle: f64,
    /// The time between two requests at the endpoint, in nanoseconds.
    turn: f64,
    /// The estimated latency divided by the usual load of the endpoint, in milliseconds. See [`Contender::unit`].
    unit: f64,
    /// The penalty of the endpoint in milliseconds.
    penalty: f64,
    /// For how long requests have waited without any response, in milliseconds, if that is unusually long. At most
    /// [`MAX_SILENCE`] times the lowest estimate. Otherwise 0.
    pub(super) silence: f64,
}

/// The endpoints that are compared in one pick, in random order.
pub(super) struct Field<'a> {
    contenders: [Option<Contender<'a>>; MAX_CONTENDERS],
    len: usize,
}

impl<'a> Field<'a> {
    pub(super) fn new() -> Self {
        Self { contenders: [None; MAX_CONTENDERS], len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, slot: Slot, state: &'a LogEwmaState, inverse: f64, cx: &PickCx<'_>) {
        if let Some(place) = self.contenders.get_mut(self.len) {
            let (load, estimate) = (cx.view().load(slot), state.estimate.millis());
            *place = Some(Contender {
                slot,
                state,
                inverse,
                load,
                cost: 0.0,
                is_overdue: false,
                estimate,
                is_fast: false,
                idle: 0.0,
                turn: 0.0,
                unit: 0.0,
                penalty: 0.0,
                silence: 0.0,
            });
            self.len += 1;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Contender<'a>> {
        self.contenders.iter().take(self.len).flatten()
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Contender<'a>> {
        self.contenders.iter_mut().take(self.len).flatten()
    }

    /// Returns the lowest measured estimate. Returns 1 if nothing was measured.
    fn lowest(&self) -> f64 {
        lowest(self.iter().map(|contender| contender.estimate))
    }

    /// Computes the cost of each contender relative to the others.
    ///
    /// - The estimate is divided by the usual load of the endpoint, because the score multiplies it by the present
    ///   load. Otherwise the usual queue would count twice: it is part of the latency and of the waiting requests.
    /// - If an endpoint was not measured yet, its estimate counts as the lowest. The endpoint then gets some requests,
    ///   but not too many.
    /// - Endpoints with estimates of at most [`NOISE`] times the lowest cost the same: the most that one of them costs.
    ///   A higher cost counts as at most [`MAX_COST`] times theirs. A slow endpoint therefore gets requests if requests
    ///   wait at all others.
    /// - A higher cost of an idle endpoint fades towards half of the cost of fast endpoints, so that the endpoint is
    ///   not avoided for ever. If it faded further, the endpoint would get many requests before the first response
    ///   shows its present cost. If it faded only to the cost of fast endpoints, a small rest of a penalty would
    ///   prevent the endpoint from winning.
    /// - A penalty counts as far as the endpoint fails more often than others. If all endpoints fail at times, failures
    ///   are no reason to avoid one of them.
    /// - If requests wait and no response has come for an unusually long time, the cost is at least that time, up to
    ///   [`MAX_SILENCE`] times the lowest estimate.
    pub(super) fn settle(&mut self, memory: Memory, even_turn: &EvenTurn, cx: &PickCx<'_>) {
        let now = cx.now();
        let lowest = self.lowest();
        let lightest = 1.0 / self.iter().map(|contender| contender.inverse).fold(0.0, f64::max);
        let mut fast = 0.0_f64;
        let (mut fails, mut may_fade) = (false, false);
        for contender in self.iter_mut() {
            contender.is_fast = contender.estimate.abs() <= lowest * NOISE;
            (contender.idle, contender.turn) = contender.state.estimate.times(now);
            contender.unit = contender.unit(lowest, lightest);
            // Of an endpoint that was not measured, the usual load is not known.
            if contender.estimate > 0.0 && contender.is_fast {
                fast = fast.max(contender.unit);
            }
            fails |= !contender.state.penalty.is_none();
            may_fade |= !contender.is_fast && contender.load.waiting == 0 && contender.idle > FRESH * memory.fade();
        }
        let idle_memory = if fails || may_fade { memory.after(even_turn.nanos(self, cx)) } else { memory };
        if fails {
            self.penalties(now, idle_memory);
        }
        // No endpoint is fast if nothing was measured and requests were given up at all endpoints.
        let fast = if fast > 0.0 { fast } else { lowest };
        let scale = Scale { lowest, fast, penalty: penalty_scale(lowest, memory.max_penalty) };
        let is_explained = cx.is_explained();
        for contender in self.iter_mut() {
            contender.settle(scale, now, idle_memory);
            if contender.is_fast && contender.penalty == 0.0 && !is_explained {
                contender.state.trials.forget(now, memory.trials);
            }
        }
    }

    /// Sets the penalty of each contender. A penalty counts in full if no failures are usual, and less the more are: not
    /// at all if the [odds] of a failure are at most [`EXCEPTION`] times the usual ones. A penalty that `Retry-After`
    /// holds always counts in full.
    ///
    /// The usual odds are those of the median of the contenders that do not fail [often](OFTEN), or of all if all fail
    /// often. With the median of all, endpoints that fail would excuse each other if they were the majority.
    fn penalties(&mut self, now: Timestamp, memory: Memory) {
        let shares = |limit: f64| self.iter().map(|c| c.state.penalty.failing()).filter(move |&share| share <= limit);
        let usual = EXCEPTION * odds(median(shares(OFTEN)).or_else(|| median(shares(1.0))).unwrap_or(0.0));
        for contender in self.iter_mut() {
            let penalty = &contender.state.penalty;
            let is_exception = usual == 0.0 || penalty.is_held(now);
            let part = if is_exception { 1.0 } else { (1.0 - usual / odds(penalty.failing())).max(0.0) };
            contender.penalty = penalty.millis(now, memory) * part;
        }
    }

    /// Returns an idle or silent endpoint that is picked instead of the winner, to measure it again (a trial). `None`
    /// for no trial. `winning_score` is the winner's score. Without trials, an endpoint with a high estimate would
    /// never be measured again.
    ///
    /// The probability of a trial is [`CURIOSITY`] × the winner's score / the endpoint's estimate, so all trials
    /// together cost a fixed fraction of the cost of all requests. With more contenders, each of them is tried less
    /// often.
    pub(super) fn trial(&self, winning_score: f64, min_interval: u64, cx: &mut PickCx<'_>) -> Option<&Contender<'a>> {
        let is_due = |contender: &&Contender<'a>| {
            // Requests that wait in silence may be long ones. Without further requests, the silence would not end
            // before them.
            (contender.load.waiting == 0 || contender.silence > 0.0)
                && contender.latency() > winning_score
                // An endpoint that fails, or that has sent `Retry-After`, gets no trial until the penalty has faded.
                && contender.penalty <= contender.estimate.abs()
                && contender.state.trials.may_begin(cx.now(), min_interval)
        };
        let mut due = self.iter().filter(is_due).peekable();
        due.peek()?;
        let due: [Option<&Contender<'a>>; MAX_CONTENDERS] = {
            let mut all = [None; MAX_CONTENDERS];
            all.iter_mut().zip(due).for_each(|(place, contender)| *place = Some(contender));
            all
        };
        let allowed = CURIOSITY * winning_score * 2.0 / self.len as f64;
        due.into_iter().flatten().find(|contender| contender.latency() * unit(cx.random()) < allowed)
    }
}

/// What the contenders of one pick are compared with.
#[derive(Clone, Copy)]
struct Scale {
    /// The lowest estimate, in milliseconds.
    lowest: f64,
    /// The cost of a fast endpoint, in milliseconds.
    fast: f64,
    /// The factor between a penalty and its cost.
    penalty: f64,
}

/// The time between two requests at an endpoint if all endpoints got equally many: the median of the contenders of a
/// pick. It changes slowly, so it is measured at most once in [`EvenTurn::PERIOD`].
#[derive(Debug, Default)]
pub(super) struct EvenTurn {
    /// In nanoseconds, as the bits of an `f64`.
    nanos: AtomicU64,
    /// The time of the measurement, in nanoseconds on the clock of the pool. 0 before the first one.
    measured_at: AtomicU64,
}

impl EvenTurn {
    /// In nanoseconds: 1 ms.
    const PERIOD: u64 = 1_000_000;

    /// Returns the time in nanoseconds. Measures it with the contenders of this pick, unless it was measured a short
    /// time ago.
    fn nanos(&self, field: &Field<'_>, cx: &PickCx<'_>) -> f64 {
        let (now, last) = (cx.now().as_nanos(), self.measured_at.load(Ordering::Relaxed));
        if last != 0 && now.abs_diff(last) < Self::PERIOD {
            return f64::from_bits(self.nanos.load(Ordering::Relaxed));
        }
        let nanos = Self::of(field);
        if !cx.is_explained() {
            self.nanos.store(nanos.to_bits(), Ordering::Relaxed);
            self.measured_at.store(now, Ordering::Relaxed);
        }
        nanos
    }

    #[cold]
    #[inline(never)]
    fn of(field: &Field<'_>) -> f64 {
        let measured = field.iter().filter(|contender| contender.estimate != 0.0);
        median(measured.map(|contender| contender.turn)).unwrap_or(0.0)
    }
}

/// Returns the factor between a penalty and its cost. `max` is the maximum penalty in milliseconds.
fn penalty_scale(lowest: f64, max: f64) -> f64 {
    let (least, most) = PENALTIES;
    if max > 0.0 { max.clamp(least * lowest, most * lowest) / max } else { 0.0 }
}

impl Contender<'_> {
    /// Returns the estimate divided by the usual load: (the mean number of waiting requests + 1). By Little's law, the
    /// mean number of waiting requests is the latency divided by the time between two responses. With unequal weights,
    /// it is multiplied by (`lightest` / weight), because the score is divided by the weight.
    fn unit(&self, lowest: f64, lightest: f64) -> f64 {
        let estimate = self.estimate.abs().max(lowest);
        let turn = self.turn * 1e-6;
        if turn > 0.0 { estimate * turn / (estimate * self.inverse * lightest + turn) } else { estimate }
    }

    /// Returns the latency that a request to the endpoint may have, in milliseconds.
    fn latency(&self) -> f64 {
        self.estimate.abs().max(self.silence)
    }

    fn settle(&mut self, scale: Scale, now: Timestamp, memory: Memory) {
        let Scale { lowest, fast, penalty } = scale;
        let penalty = if self.penalty > 0.0 && self.state.penalty.is_held(now) {
            self.penalty.max(PAUSE * lowest)
        } else {
            self.penalty * penalty
        };
        let mut cost = if self.is_fast { fast } else { self.unit.max(fast) };
        if cost + penalty > fast && self.load.waiting == 0 && self.idle > FRESH * memory.fade() {
            let (floor, memory) = (fast / 2.0, memory.lasting(self.state.trials.interval()));
            cost = floor + (cost - floor) * memory.left(self.idle);
            self.is_overdue = !self.is_fast && self.idle > memory.fade();
            self.estimate = cost;
        }
        let mut cost = cost.min(MAX_COST * fast);
        if self.load.waiting > 0 {
            self.silence = self.state.estimate.silence(self.load.waiting_since, now).min(MAX_SILENCE * lowest);
            cost = cost.max(self.silence);
        }
        self.cost = cost + penalty;
        self.penalty = penalty;
    }

    /// Returns the score: the cost × (the number of waiting requests + 1). Without a penalty, this is the expected
    /// latency.
    pub(super) fn score(&self) -> f64 {
        self.cost * (f64::from(self.load.waiting) + 1.0)
    }
}

/// Returns the number of failures per success. `failing` is the share of failures.
fn odds(failing: f64) -> f64 {
    failing / (1.0 - failing).max(MIN_SUCCESSES)
}

/// Returns the median of at most [`MAX_CONTENDERS`] values. Of an even number of values, the lower one of the two in the
/// middle. `None` if there are no values.
///
/// It counts instead of sorting, which is faster for so few values.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut all, mut len) = ([0.0; MAX_CONTENDERS], 0);
    for (place, value) in all.iter_mut().zip(values) {
        *place = value;
        len += 1;
    }
    let values = all.get(..len)?;
    let rank = len.saturating_sub(1) / 2;
    let is_median = |value: &f64| {
        let count = |less: fn(f64, f64) -> bool| values.iter().filter(|&&other| less(other, *value)).count();
        count(|other, value| other < value) <= rank && rank < count(|other, value| other <= value)
    };
    values.iter().copied().find(is_median)
}
