use std::time::Duration;

use super::{
    BuildError, Needs, PickCx, Picker, Strategy,
    memories::Memories,
    sampling::{Contest, Cost, Gauge},
    span::{InvalidSpan, span},
};
use crate::{
    endpoint::{EndpointSpec, Slot},
    sync::{AtomicU64, Ordering},
    time::{Timestamp, saturating_nanos},
    verdict::Verdict,
    view::View,
};

/// The default: the power of two choices by expected time, with failures counted as time lost.
///
/// An endpoint's cost is a moving average of its latency that jumps up at once and comes down slowly, times the
/// requests in flight there; of two endpoints drawn at random, the cheaper one is taken (small pools compare more: see
/// [`P2c`](super::P2c)). Choose it unless you know better: it needs no settings, notices slow and failing endpoints
/// within a request or two, and sends them little instead of nothing.
///
/// - **Failures** ([`Verdict::is_failure`]) add a penalty: an eighth of [`penalty`](Self::penalty) at first, more than
///   doubling with each further one up to the whole. A success takes three quarters of it off. The latency of a
///   failure is never sampled, so failing fast does not look fast. `Retry-After` keeps the whole penalty up for as
///   long as the endpoint asked (at most 300 s).
/// - **A request that is given up** without a first byte raises the estimate to the time that it waited, if the estimate is
///   lower. So an endpoint that never answers gets what one gets that answers after the time at which requests are given
///   up; a client that hangs up early changes nothing.
/// - **Nobody is shunned forever.** A slow endpoint that has nothing in flight is tried now and then, the slower the more
///   rarely: all trials together add at most 15 % to what the endpoints picked are expected to take. Each good answer
///   then halves the distance in orders of magnitude. In a busy pool an endpoint that stalled is thus back within a
///   fraction of a second. Besides, what is remembered of an endpoint that gets no traffic [fades](Self::fade), failures
///   too: one that has failed for a while gets its next request some 10 s after the last failure.
/// - **Noise counts as none**: estimates within a factor of 1.5 of the lowest compared are taken to be alike, and then
///   requests in flight decide alone.
/// - **A newcomer** is taken to be as fast as the one that it is compared with.
/// - **Weights** count as with [`P2c`](super::P2c), on top of the latency.
///
/// The score that an explanation shows is in milliseconds.
///
/// Its weaknesses: a client that sends only a few requests a second across the pool measures too little; its choice
/// becomes a random one, and an endpoint that has recovered waits some ten seconds for its share. Of two that differ in
/// speed by less than 1.5, the faster is not preferred. Where latencies scatter widely, a heavy endpoint shows more peaks
/// and gets less than its weight says: with exponential ones and eight in flight, those of weight 1 beside 2 and 4 carry
/// 9 % more than their share at a mean of 10 ms and 15 % more at 1 s; those beside 198, half as much again and seven
/// times their share. A slow endpoint to which least-request sends less than a hundredth
/// of the requests anyway (one of ten, fifty times slower) does not show in p99, where Peak-EWMA is then no better.
///
/// Build O(n), pick O(1), two clock readings a request. Sources: Finagle's and linkerd's Peak EWMA (decay 10 s,
/// penalty 5 s); fading, trials, the shorter memory of busy endpoints and the allowance for noise are added.
///
/// ```
/// use std::time::Duration;
/// use equipoise_core::{EndpointSpec, PeakEwma, PickRequest, Pool, Verdict};
///
/// let pool = Pool::new(PeakEwma::new().decay(Duration::from_secs(5))?);
/// pool.update(["a:80", "b:80"].map(EndpointSpec::new), |_| ())?;
/// let lease = pool.pick(&PickRequest::new())?;
/// lease.finish(Verdict::Success);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct PeakEwma {
    decay: Duration,
    fade: Duration,
    penalty: Duration,
}

/// Milliseconds below which a latency is not told from none; an estimate of 0 means that there is none.
const SHORTEST: f64 = 1e-6;

/// What an answer counts for at least, so that the memory of a busy endpoint is that of its last hundreds of answers.
/// Within the whole decay, the largest of many thousand is remembered, which says little about the endpoint and
/// puts off for long one that was overloaded for a moment.
const LEAST_SHARE: f64 = 0.01;

/// The bit of the estimate (its sign) that marks an endpoint that is tried.
const TRIED: u64 = 1 << 63;

/// What marks an estimate that is only a lower bound, since no answer has come yet. The last bit of an `f64`, which no
/// comparison notices.
const BOUND: u64 = 1;

/// Nobody is left alone for longer than this, whatever `Retry-After` says (linkerd's cap).
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

impl PeakEwma {
    /// Decay 10 s, fade 2.5 s, penalty 5 s.
    pub const fn new() -> Self {
        Self { decay: Duration::from_secs(10), fade: Duration::from_millis(2500), penalty: Duration::from_secs(5) }
    }

    /// The time after which an old latency counts for 1/e beside new ones. It never counts for more than that after a
    /// hundred answers.
    ///
    /// # Errors
    ///
    /// When it is below 1 µs: nothing would be averaged.
    pub const fn decay(self, decay: Duration) -> Result<Self, InvalidSpan> {
        match span("decay", decay) {
            Ok(decay) => Ok(Self { decay, ..self }),
            Err(invalid) => Err(invalid),
        }
    }

    /// The time after which what is remembered of an endpoint counts for 1/e if nothing is in flight there and nothing
    /// new is learned. `Duration::MAX` never forgets.
    ///
    /// # Errors
    ///
    /// When it is below 1 µs: nothing would be remembered of idle endpoints, not even failures.
    pub const fn fade(self, fade: Duration) -> Result<Self, InvalidSpan> {
        match span("fade", fade) {
            Ok(fade) => Ok(Self { fade, ..self }),
            Err(invalid) => Err(invalid),
        }
    }

    /// What an endpoint that keeps failing costs on top of its latency. With zero, failures cost nothing.
    #[must_use]
    pub const fn penalty(mut self, penalty: Duration) -> Self {
        self.penalty = penalty;
        self
    }
}

impl Default for PeakEwma {
    fn default() -> Self {
        Self::new()
    }
}

impl Strategy for PeakEwma {
    type State = PeakEwmaState;
    type Picker = PeakEwmaPicker;

    fn state(&self, _: &EndpointSpec) -> PeakEwmaState {
        PeakEwmaState::default()
    }

    fn needs(&self) -> Needs {
        Needs::new().latency().outcomes()
    }

    fn build(&self, view: &View, last: Option<&PeakEwmaPicker>) -> Result<PeakEwmaPicker, BuildError> {
        Ok(PeakEwmaPicker {
            contest: Contest::new(view),
            memories: Memories::of(view, last.map(|last| &last.memories)),
            fade: self.fade,
            inverse_fade: 1.0 / (saturating_nanos(self.fade).max(1) as f64),
        })
    }

    fn on_latency(&self, state: &PeakEwmaState, latency: Duration, now: Timestamp) {
        state.latency.sample(latency.as_secs_f64() * 1e3, now, self.decay, self.fade);
    }

    fn on_abandon(&self, state: &PeakEwmaState, waited: Duration, now: Timestamp) -> bool {
        state.latency.raise(waited.as_secs_f64() * 1e3, now, self.fade);
        false
    }

    fn on_outcome(&self, state: &PeakEwmaState, verdict: Verdict, now: Timestamp) {
        let hold = match verdict {
            Verdict::Success => return state.penalty.forgive(now, self.fade),
            Verdict::Failure(_) => Duration::ZERO,
            Verdict::Overloaded { retry_after } | Verdict::Unavailable { retry_after } => {
                retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER)
            }
            Verdict::Neutral => return,
        };
        state.penalty.add(now, self.fade, self.penalty, hold);
    }
}

/// What [`PeakEwma`] remembers of an endpoint.
#[derive(Debug, Default)]
pub struct PeakEwmaState {
    latency: Latency,
    penalty: Penalty,
}

/// A moving average over time that a peak overrides.
///
/// Two words that are not updated together. No sample is lost; of two that come at the same moment on two threads, both
/// may claim the time since the one before, and count for a little more than their share.
#[derive(Debug, Default)]
struct Latency {
    /// Milliseconds, as the bits of an `f64`; 0 before anything is known. Negative while the endpoint is [`TRIED`], odd
    /// while it is a [`BOUND`].
    estimate: AtomicU64,
    /// When the last sample came.
    stamp: AtomicU64,
}

impl Latency {
    fn sample(&self, latency: f64, now: Timestamp, decay: Duration, fade: Duration) {
        let latency = latency.max(SHORTEST);
        // Also when `now` is earlier: a clock that was set back must not stop the decay until it has caught up.
        let last = Timestamp::from_nanos(self.stamp.load(Ordering::Relaxed));
        self.stamp.store(now.as_nanos(), Ordering::Relaxed);
        let elapsed = saturating_nanos(now.since(last)) as f64;
        let per = |time: Duration| elapsed / saturating_nanos(time).max(1) as f64;
        // After a gap longer than the fading time, what was left of the memory had faded, not only aged.
        let share = share(per(decay).max(per(fade) - 1.0)).max(LEAST_SHARE);
        let mut seen = self.estimate.load(Ordering::Relaxed);
        loop {
            let estimate = f64::from_bits(seen).abs();
            let aged = estimate + (latency - estimate) * share;
            let next = if seen == 0 || latency >= estimate {
                latency
            } else if seen & TRIED != 0 {
                // Half of the way in orders of magnitude: a few good answers in a row bring it back, a single lucky one of
                // an endpoint that is slow does not.
                aged.min((estimate * latency).sqrt())
            } else {
                aged
            };
            let next = next.to_bits() & !BOUND;
            match self.estimate.compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }

    /// The latency of a request that was given up is at least `waited`: raises what is left of the estimate to that.
    fn raise(&self, waited: f64, now: Timestamp, fade: Duration) {
        let waited = waited.max(SHORTEST);
        let last = Timestamp::from_nanos(self.stamp.load(Ordering::Relaxed));
        let fade = saturating_nanos(fade).max(1) as f64;
        let idle = saturating_nanos(now.since(last)) as f64 / fade;
        let mut seen = self.estimate.load(Ordering::Relaxed);
        loop {
            let estimate = f64::from_bits(seen).abs();
            if waited <= estimate * (-idle).exp() {
                return;
            }
            if waited < estimate {
                // It has faded to less than that. The estimate stays, as if it had faded only as far.
                let faded = (fade * (estimate / waited).ln()) as u64;
                return self.stamp.store(now.as_nanos().saturating_sub(faded), Ordering::Relaxed);
            }
            let bound = if seen == 0 { BOUND } else { seen & BOUND };
            let next = waited.to_bits() & !BOUND | bound;
            match self.estimate.compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return self.stamp.store(now.as_nanos(), Ordering::Relaxed),
                Err(other) => seen = other,
            }
        }
    }

    /// For comparisons: below 0 where it is only a bound.
    #[inline]
    fn read(&self) -> f64 {
        let word = self.estimate.load(Ordering::Relaxed);
        let estimate = f64::from_bits(word).abs();
        if word & BOUND == 0 { estimate } else { -estimate }
    }
}

/// What a sample counts for when `x` decay times have passed since the last: 1 − e^(−x).
fn share(x: f64) -> f64 {
    // Samples are mostly close together; there two terms of the series are exact to 2 · 10⁻⁷ of the result.
    if x < 1e-3 { x - x * x / 2.0 } else { -(-x).exp_m1() }
}

/// What failures cost, in one word: seconds as an `f32` above, the moment from which it fades (units of 2²⁰ ns, about
/// a millisecond) below. 0 if nothing is held against the endpoint.
#[derive(Debug, Default)]
struct Penalty(AtomicU64);

impl Penalty {
    /// Below this many seconds it is forgotten.
    const NEGLIGIBLE: f32 = 1e-6;

    fn ticks(at: Timestamp) -> u32 {
        (at.as_nanos() >> 20) as u32
    }

    /// Seconds left at `now`.
    fn seconds(word: u64, now: Timestamp, fade: Duration) -> f32 {
        let full = f32::from_bits((word >> 32) as u32);
        if Self::is_held(word, now) {
            return full;
        }
        // Wrapping counters: right while they are less than 26 days apart, and an older penalty has long faded.
        let age = Self::ticks(now).wrapping_sub(word as u32).cast_signed();
        if age < 0 {
            // Further ahead than any hold: the clock has jumped back.
            return 0.0;
        }
        let age = age as f32 * (1u32 << 20) as f32 * 1e-9;
        full * (-age / fade.as_secs_f32().max(f32::MIN_POSITIVE)).exp()
    }

    /// Whether it is kept up for a `Retry-After` that has not passed yet.
    fn is_held(word: u64, now: Timestamp) -> bool {
        let ahead = (word as u32).wrapping_sub(Self::ticks(now));
        ahead > 0 && ahead <= Self::ticks(Timestamp::ZERO + LONGEST_RETRY_AFTER) + 1
    }

    #[inline]
    fn millis(&self, now: Timestamp, fade: Duration) -> f64 {
        match self.0.load(Ordering::Relaxed) {
            0 => 0.0,
            word => f64::from(Self::seconds(word, now, fade)) * 1e3,
        }
    }

    fn change(&self, change: impl Fn(u64) -> Option<u64>) {
        // `Err` says that nothing was to be changed.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }

    fn add(&self, now: Timestamp, fade: Duration, most: Duration, hold: Duration) {
        self.change(|word| {
            let left = if word == 0 { 0.0 } else { Self::seconds(word, now, fade) };
            let most = most.as_secs_f32();
            let next = if hold.is_zero() { (2.0 * left + most / 8.0).min(most) } else { most };
            // A hold that is under way is not cut short.
            let from = Self::ticks(now + hold);
            let later = word != 0 && Self::is_held(word, now) && (word as u32).wrapping_sub(from).cast_signed() > 0;
            let from = if later { word as u32 } else { from };
            Some(u64::from(next.to_bits()) << 32 | u64::from(from))
        });
    }

    #[inline]
    fn forgive(&self, now: Timestamp, fade: Duration) {
        if self.0.load(Ordering::Relaxed) == 0 {
            return;
        }
        self.change(|word| {
            if word == 0 || Self::is_held(word, now) {
                return None;
            }
            let left = Self::seconds(word, now, fade) / 4.0;
            Some(if left < Self::NEGLIGIBLE {
                0
            } else {
                u64::from(left.to_bits()) << 32 | u64::from(Self::ticks(now))
            })
        });
    }
}

/// The picker of [`PeakEwma`].
pub struct PeakEwmaPicker {
    contest: Contest,
    memories: Memories<PeakEwmaState>,
    fade: Duration,
    /// Per nanosecond.
    inverse_fade: f64,
}

impl Picker for PeakEwmaPicker {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        self.contest.pick(cx, self)
    }
}

impl Gauge for PeakEwmaPicker {
    // Estimates of endpoints that are alike differ by some tens of a percent, since peaks come by chance. More of it
    // costs where endpoints do differ by a factor of two: with half of a hundred at half the speed and 90 % load, p99 was
    // 817 ms without, 903 with 1.5, 1003 with 2 (least-request: 2036); with one of five that stalls at 85 %, the median
    // was 7.6 ms without, 7.2 with 1.5 (least-request: 7.1).
    const NOISE: f64 = 1.5;

    const CURIOSITY: f64 = 0.1;

    #[inline]
    fn read(&self, slot: Slot, now: Timestamp) -> Cost {
        let Some(state) = self.memories.get(slot) else { return Cost::UNIT };
        let stamp = state.latency.stamp.load(Ordering::Relaxed);
        Cost {
            estimate: state.latency.read(),
            idle: now.as_nanos().abs_diff(stamp) as f64 * self.inverse_fade,
            penalty: state.penalty.millis(now, self.fade),
        }
    }

    fn on_probation(&self, slot: Slot) {
        if let Some(state) = self.memories.get(slot) {
            state.latency.estimate.fetch_or(TRIED, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use crate::{EndpointSpec, ManualClock, PeakEwma, PickRequest, Pool, Verdict};

    #[test]
    fn an_explanation_scores_the_only_endpoint_in_milliseconds_too() {
        let clock = Arc::new(ManualClock::new());
        let pool = Pool::<()>::builder(PeakEwma::new()).clock(clock.clone()).build();
        pool.update([EndpointSpec::new("a")], |_| ()).expect("a valid spec");
        let lease = pool.pick(&PickRequest::new()).expect("an endpoint");
        clock.advance(Duration::from_millis(20));
        lease.finish(Verdict::Success);
        let score = pool.explain(&PickRequest::new()).candidates[0].score.expect("it was looked at");
        assert!((score - 20.0).abs() < 0.1, "{score}");
    }
}
