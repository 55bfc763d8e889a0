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

/// The default strategy: the power of two choices by expected latency, with a penalty for failures.
///
/// The cost of an endpoint is a moving average of its latency, times its requests in flight plus one. The average jumps to
/// a higher latency at once and comes down slowly. Of two endpoints drawn at random, the cheaper one is picked (small pools
/// compare more: see [`P2c`](super::P2c)). Slow and failing endpoints are noticed within a request or two, and get little
/// traffic instead of none. It needs no settings, so choose it unless another strategy fits better.
///
/// - **Failures** ([`Verdict::is_failure`]) add a penalty to the cost. The first failure adds an eighth of
///   [`penalty`](Self::penalty); each further one more than doubles it, up to the whole. A success takes three quarters of
///   it off. The latency of a failure is never sampled, so an endpoint that fails fast does not look fast. `Retry-After`
///   keeps the whole penalty up for as long as the endpoint asked (at most 300 s).
/// - **An abandoned request**, which ends without a first byte, raises the average to the time that it waited, if the
///   average is lower. An endpoint that never answers is thus treated like one that answers after the time at which
///   requests are abandoned. A client that hangs up early changes nothing.
/// - **Recovery**: a slow endpoint that has nothing in flight is tried now and then, the slower the more rarely. All these
///   requests together add at most 15 % to the expected latency. Each good answer then halves the distance in orders of
///   magnitude, so in a busy pool an endpoint that stalled is back within a fraction of a second. Besides, the average and
///   the penalty of an endpoint without traffic [fade](Self::fade): one that has failed for a while gets its next request
///   some 10 s after the last failure.
/// - **Noise**: averages within a factor of 1.5 of the lowest compared count as equal. Then requests in flight decide.
/// - **A new endpoint** counts as being as fast as the one that it is compared with.
/// - **Weights** count as with [`P2c`](super::P2c), on top of the latency.
/// - **High rates**: of the answers within 10 µs after a sample, only those that raise the average are sampled.
///
/// Scores in an [explanation](crate::Pool::explain) are in milliseconds.
///
/// Limits:
///
/// - A client that sends only a few requests a second across the pool measures too little. Its choice becomes random, and
///   an endpoint that has recovered waits some 10 s for its share.
/// - Of two endpoints that differ in latency by a factor below 1.5, the faster is not preferred.
/// - Where latencies scatter widely, an endpoint with a large weight shows more peaks and gets less than its share. With
///   exponential latencies and eight requests in flight, endpoints of weight 1 beside 2 and 4 carry 9 % more than their
///   share at a mean of 10 ms and 15 % more at 1 s. Beside a weight of 198 they carry half as much again and seven times
///   their share.
/// - A slow endpoint to which least-request sends less than a hundredth of the requests (one of ten, fifty times slower)
///   does not show in the 99th percentile. There, Peak-EWMA is no better.
///
/// Build O(n), pick O(1), two clock readings a request. Sources: Peak EWMA of Finagle and linkerd (decay 10 s, penalty
/// 5 s). Fading, requests that try slow endpoints, the shorter memory of busy endpoints and the factor for noise are added.
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

/// The lowest latency in milliseconds: an estimate of 0 means that there is none.
const SHORTEST: f64 = 1e-6;

/// The least weight of a sample, so that the memory of a busy endpoint is that of its last hundreds of answers. With
/// less, the largest of many thousand latencies is remembered. That says little about the endpoint, and keeps away
/// traffic for long after a moment of overload.
const LEAST_SHARE: f64 = 0.01;

/// Of the answers within this time (in nanoseconds) after the last sample, only those that raise the estimate are sampled.
///
/// Each sample writes to memory that picks on all threads read. Below 100 000 answers a second and endpoint the interval
/// changes next to nothing; above that, the memory of an endpoint is that of its last millisecond at least.
const MIN_SAMPLE_INTERVAL: u64 = 10_000;

/// The bit of the estimate (its sign) that marks a slow endpoint that has been given a request to measure it again.
const TRIED: u64 = 1 << 63;

/// The bit that marks an estimate as a lower bound: no answer has come yet, but a request has waited for one. It is the
/// last bit of an `f64`, too small to matter in comparisons.
const BOUND: u64 = 1;

/// The longest time for which `Retry-After` keeps the penalty up. Source: linkerd.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

impl PeakEwma {
    /// The strategy with its defaults: decay 10 s, fade 2.5 s, penalty 5 s.
    pub const fn new() -> Self {
        Self { decay: Duration::from_secs(10), fade: Duration::from_millis(2500), penalty: Duration::from_secs(5) }
    }

    /// Sets the time after which an old latency weighs 1/e beside new ones. Default 10 s. After a hundred answers it weighs
    /// no more than that, however short the time.
    ///
    /// # Errors
    ///
    /// When `decay` is below 1 µs: nothing would be averaged.
    pub const fn decay(self, decay: Duration) -> Result<Self, InvalidSpan> {
        match span("decay", decay) {
            Ok(decay) => Ok(Self { decay, ..self }),
            Err(invalid) => Err(invalid),
        }
    }

    /// Sets the time after which the average and the penalty of an endpoint weigh 1/e, while it has nothing in flight and
    /// no answers come. Default 2.5 s. With `Duration::MAX` they never fade.
    ///
    /// # Errors
    ///
    /// When `fade` is below 1 µs: nothing would be remembered of idle endpoints, not even failures.
    pub const fn fade(self, fade: Duration) -> Result<Self, InvalidSpan> {
        match span("fade", fade) {
            Ok(fade) => Ok(Self { fade, ..self }),
            Err(invalid) => Err(invalid),
        }
    }

    /// Sets the largest penalty, which an endpoint that keeps failing costs on top of its latency. Default 5 s. With zero,
    /// failures cost nothing.
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
        state.latency.sample(millis(latency), now, self.decay, self.fade);
    }

    fn on_abandon(&self, state: &PeakEwmaState, waited: Duration, now: Timestamp) -> bool {
        state.latency.raise(millis(waited), now, self.fade);
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

/// The state that [`PeakEwma`] keeps of an endpoint: its latency and its penalty.
#[derive(Debug, Default)]
#[repr(align(64))] // A cache line of its own: neighbours in memory are not written with it.
pub struct PeakEwmaState {
    latency: Latency,
    penalty: Penalty,
}

/// A moving average over time that a peak overrides.
///
/// The two words are not updated together. Two samples that come at the same moment on two threads may both count the time
/// since the one before, and so weigh a little too much.
#[derive(Debug, Default)]
struct Latency {
    /// Milliseconds, as the bits of an `f64`; 0 before the first sample. Negative while the endpoint is [`TRIED`], odd
    /// while the estimate is a [`BOUND`].
    estimate: AtomicU64,
    /// The time of the last sample, in nanoseconds on the pool's clock.
    stamp: AtomicU64,
}

impl Latency {
    fn sample(&self, latency: f64, now: Timestamp, decay: Duration, fade: Duration) {
        let latency = latency.max(SHORTEST);
        let last = Timestamp::from_nanos(self.stamp.load(Ordering::Relaxed));
        let mut seen = self.estimate.load(Ordering::Relaxed);
        // A clock that was set back shows 0 here too, but then the stamp differs, and has to follow.
        let elapsed = saturating_nanos(now.since(last));
        if elapsed < MIN_SAMPLE_INTERVAL && now >= last && seen & TRIED == 0 && latency < f64::from_bits(seen) {
            return;
        }
        self.stamp.store(now.as_nanos(), Ordering::Relaxed);
        let share = share_after(elapsed, saturating_nanos(decay), saturating_nanos(fade));
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

    /// Raises the faded estimate to `waited`: the latency of an abandoned request is at least that.
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
                // The estimate has faded to less than `waited`. Its time is set so that it has faded to just that.
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

    /// The estimate for comparisons: below 0 where it is a [`BOUND`].
    #[inline]
    fn read(&self) -> f64 {
        let word = self.estimate.load(Ordering::Relaxed);
        let estimate = f64::from_bits(word).abs();
        if word & BOUND == 0 { estimate } else { -estimate }
    }
}

/// A duration in milliseconds. Without the division that `Duration::as_secs_f64` makes.
#[inline]
fn millis(duration: Duration) -> f64 {
    saturating_nanos(duration) as f64 * 1e-6
}

/// The weight of a sample that comes `elapsed` after the last, all in nanoseconds.
#[inline]
fn share_after(elapsed: u64, decay: u64, fade: u64) -> f64 {
    // 1 − e^(−x) is at most x, so where x is below the least share, there is nothing to compute.
    if elapsed <= fade && elapsed < decay / 100 {
        return LEAST_SHARE;
    }
    let per = |time: u64| elapsed as f64 / time.max(1) as f64;
    // After a gap longer than the fading time, what was left of the memory had faded, not only aged.
    let x = per(decay).max(per(fade) - 1.0);
    (-(-x).exp_m1()).max(LEAST_SHARE)
}

/// The penalty for failures, in one word. The upper half holds seconds as an `f32`; the lower half holds the time from
/// which it fades, in units of 2²⁰ ns (about a millisecond). 0 without a penalty.
#[derive(Debug, Default)]
struct Penalty(AtomicU64);

impl Penalty {
    /// A penalty below this many seconds is removed.
    const NEGLIGIBLE: f32 = 1e-6;

    fn ticks(at: Timestamp) -> u32 {
        (at.as_nanos() >> 20) as u32
    }

    /// The seconds left of a penalty at `now`.
    fn seconds(word: u64, now: Timestamp, fade: Duration) -> f32 {
        let full = f32::from_bits((word >> 32) as u32);
        if Self::is_held(word, now) {
            return full;
        }
        // The counters wrap. The age is right up to 26 days; an older penalty has long faded.
        let age = Self::ticks(now).wrapping_sub(word as u32).cast_signed();
        if age < 0 {
            // Later than any `Retry-After` allows: the clock was set back.
            return 0.0;
        }
        let age = age as f32 * (1u32 << 20) as f32 * 1e-9;
        full * (-age / fade.as_secs_f32().max(f32::MIN_POSITIVE)).exp()
    }

    /// Whether a `Retry-After` that has not passed yet keeps the penalty up.
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
        // `Err` means that there was nothing to change.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }

    fn add(&self, now: Timestamp, fade: Duration, most: Duration, hold: Duration) {
        self.change(|word| {
            let left = if word == 0 { 0.0 } else { Self::seconds(word, now, fade) };
            let most = most.as_secs_f32();
            let next = if hold.is_zero() { (2.0 * left + most / 8.0).min(most) } else { most };
            // A `Retry-After` that has not passed is not cut short.
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
    /// 1 / fade, per nanosecond.
    inverse_fade: f64,
}

impl Picker for PeakEwmaPicker {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        self.contest.pick(cx, self)
    }
}

impl Gauge for PeakEwmaPicker {
    // Estimates of equal endpoints differ by some tens of a percent, since peaks come by chance. A larger factor costs
    // where endpoints differ by a factor of two: with half of a hundred at half the speed and 90 % load, p99 was 817 ms
    // without, 903 with 1.5, 1003 with 2 (least-request: 2036). With one of five that stalls at 85 % load, the median was
    // 7.6 ms without, 7.2 with 1.5 (least-request: 7.1).
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

    fn on_trial(&self, slot: Slot) {
        if let Some(state) = self.memories.get(slot) {
            state.latency.estimate.fetch_or(TRIED, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::{Latency, Timestamp};
    use crate::{EndpointSpec, ManualClock, PeakEwma, PickRequest, Pool, Verdict};

    #[test]
    fn within_ten_microseconds_of_a_sample_only_higher_latencies_are_sampled() {
        const DECAY: Duration = Duration::from_secs(10);
        let latency = Latency::default();
        let sample = |millis, at_nanos, expected: f64, why| {
            latency.sample(millis, Timestamp::from_nanos(at_nanos), DECAY, DECAY);
            assert!((latency.read() - expected).abs() < 1e-9, "{} instead of {expected}: {why}", latency.read());
        };
        sample(10.0, 1_000_000, 10.0, "the first");
        sample(2.0, 1_009_999, 10.0, "lower and within the interval");
        sample(20.0, 1_009_999, 20.0, "higher");
        sample(10.0, 1_019_999, 19.9, "10 µs after the last sample");
        sample(9.9, 1_000_000, 19.8, "the clock was set back");
    }

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
