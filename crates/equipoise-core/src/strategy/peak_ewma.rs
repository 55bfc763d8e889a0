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

/// The default strategy: compares two random endpoints and picks the one with the lower score. The score of an endpoint
/// is (its average latency + its penalty for failures) × (its requests in flight + 1).
///
/// If a latency is above the average, the average rises to this latency at once. If latencies are below the average,
/// the average falls slowly (see [`decay`](Self::decay)). Slow and failing endpoints are noticed within one or two
/// requests, and get few requests from then on. This strategy needs no settings. Choose it unless another strategy fits
/// better. Small pools compare more than two endpoints: see [`P2c`](super::P2c).
///
/// - **Failures** ([`Verdict::is_failure`]) add a penalty. The first failure adds an eighth of
///   [`penalty`](Self::penalty). Each further failure more than doubles the endpoint's penalty, up to the maximum
///   `penalty`. A success removes three quarters of it. The latency of a failure does not count, so an endpoint that
///   fails fast does not look fast. A response with `Retry-After` sets the maximum penalty for the time that the
///   endpoint asks for, at most 300 s.
/// - **Abandoned requests** end without a first byte. If such a request has waited longer than the average, the average
///   rises to the time that the request has waited. Otherwise it does not change the average.
/// - **Recovery**: a slow endpoint without requests in flight sometimes gets a request although its score is not the
///   lowest. The slower the endpoint, the more rarely this happens. All these requests together add at most 15 % to the
///   expected latency. If the response is fast, the average falls at least to the geometric mean of the average and the
///   new latency. Example: after 1 s, a latency of 10 ms gives an average of at most 100 ms. In a busy pool, an
///   endpoint that has recovered therefore gets its share again within a fraction of a second.
/// - **Fading**: while an endpoint has no requests in flight, its average [fades](Self::fade). Its penalty fades from
///   the last failure or success on. An endpoint that has failed repeatedly gets its next request about 10 s after its
///   last failure.
/// - **Small differences** do not count: an average of at most 1.5 times the lowest average in the comparison counts as
///   the lowest. The requests in flight then decide.
/// - **A new endpoint** has no average yet. In a comparison, it counts with the lowest average of the other endpoints.
/// - **Weights** are treated as by [`P2c`](super::P2c).
/// - **High rates**: in the 10 µs after a response whose latency has counted, only latencies above the average count.
///
/// The scores in an [explanation](crate::Pool::explain) are in milliseconds.
///
/// Limits:
///
/// - A client that sends only a few requests per second to the whole pool measures too little. Its picks become almost
///   random. An endpoint that has recovered gets its share only after about 10 s.
/// - If the latencies of two endpoints differ by a factor below 1.5, the faster endpoint is not preferred.
/// - If an endpoint is so slow that [`P2c`](super::P2c) sends it less than 1 % of the requests, its latencies do not
///   appear in the 99th percentile. Peak-EWMA does not improve the 99th percentile then. Example: one of ten endpoints
///   is fifty times slower than the others.
/// - If latencies vary widely, an endpoint with a large weight has more peaks and gets less than its share. The
///   endpoints with small weights then get more. The table shows how many requests an endpoint of weight 1 gets, as a
///   multiple of its share. The latencies are exponentially distributed, and eight requests are in flight.
///
/// | weights of the other endpoints | mean latency 10 ms | mean latency 1 s |
/// | --- | --- | --- |
/// | 2 and 4 | 1.09 | 1.15 |
/// | 198 | 1.5 | 7 |
///
/// Building a picker takes O(n) time for n endpoints. A pick takes O(1) time. Each request reads the clock twice.
/// Source: Peak EWMA of Finagle and linkerd (decay 10 s, penalty 5 s). These parts are additions: fading, the requests
/// to slow endpoints, the lower limit for the weight of a new latency, and the factor 1.5.
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

/// The lowest latency in milliseconds that is stored. 0 means that there is no latency yet.
const SHORTEST: f64 = 1e-6;

/// The lowest weight of a new latency. It makes the average of a busy endpoint depend on its last few hundred
/// responses. With a lower limit, the highest of many thousand latencies would determine the average. This says little
/// about the endpoint, and would keep requests away long after a moment of overload.
const LEAST_SHARE: f64 = 0.01;

/// In this time (in nanoseconds) after the last sample, only latencies above the average are sampled.
///
/// Each sample writes to memory that picks on all threads read. Below 100 000 responses per second of an endpoint, the
/// interval changes almost nothing. Above this rate, the average depends at least on the last millisecond.
const MIN_SAMPLE_INTERVAL: u64 = 10_000;

/// The bit of the average (its sign) that marks a slow endpoint to which a request was sent to measure it again.
const TRIED: u64 = 1 << 63;

/// The bit that marks an average as a lower bound: the endpoint has not responded yet, but a request has waited for a
/// response. It is the last bit of an `f64`. A change of this bit is too small to matter in comparisons.
const BOUND: u64 = 1;

/// The maximum time for which `Retry-After` keeps the penalty at its maximum. Source: linkerd.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

impl PeakEwma {
    /// Creates the strategy with its defaults: [`decay`](Self::decay) 10 s, [`fade`](Self::fade) 2.5 s and
    /// [`penalty`](Self::penalty) 5 s.
    pub const fn new() -> Self {
        Self { decay: Duration::from_secs(10), fade: Duration::from_millis(2500), penalty: Duration::from_secs(5) }
    }

    /// Sets the time in which an old latency loses weight in the average: after `decay`, its weight is 1/e (37 %).
    /// After 100 further responses, its weight is 1/e or less, even if `decay` is not over. Minimum: 1 µs. Default:
    /// 10 s.
    ///
    /// # Errors
    ///
    /// [`InvalidSpan`] if `decay` is below 1 µs.
    pub const fn decay(self, decay: Duration) -> Result<Self, InvalidSpan> {
        match span("decay", decay) {
            Ok(decay) => Ok(Self { decay, ..self }),
            Err(invalid) => Err(invalid),
        }
    }

    /// Sets how fast the average and the penalty of an endpoint fade. With `Duration::MAX`, they never fade. Minimum:
    /// 1 µs. Default: 2.5 s.
    ///
    /// - The average fades while the endpoint has no requests in flight. It fades towards half of the lowest average in
    ///   the comparison. After `fade`, 1/e (37 %) of the difference is left.
    /// - The penalty fades towards 0, from the last failure or success on. After `fade`, 1/e of the penalty is left.
    ///   After a `Retry-After`, the penalty starts to fade when the requested time is over.
    ///
    /// # Errors
    ///
    /// [`InvalidSpan`] if `fade` is below 1 µs.
    pub const fn fade(self, fade: Duration) -> Result<Self, InvalidSpan> {
        match span("fade", fade) {
            Ok(fade) => Ok(Self { fade, ..self }),
            Err(invalid) => Err(invalid),
        }
    }

    /// Sets the maximum penalty: the latency that is added to the average of an endpoint that fails repeatedly. With
    /// zero, failures do not change the score of an endpoint. Default: 5 s.
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

/// The state that [`PeakEwma`] stores for an endpoint: its average latency and its penalty for failures.
#[derive(Debug, Default)]
#[repr(align(64))] // A cache line of its own: neighbours in memory are not written with it.
pub struct PeakEwmaState {
    latency: Latency,
    penalty: Penalty,
}

/// A moving average of latencies that rises to a higher latency at once.
///
/// The two words are not updated together. If two samples arrive at the same moment on two threads, both may be
/// weighted with the time since the sample before them. Their weight is then slightly too large.
#[derive(Debug, Default)]
struct Latency {
    /// The average in milliseconds, as the bits of an `f64`. 0 before the first sample. Negative if the bit [`TRIED`]
    /// is set. Odd if the bit [`BOUND`] is set.
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

    /// Raises the faded average to `waited`, because the latency of an abandoned request is at least this time.
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

    /// Returns the average for comparisons. It is negative if it is only a lower [`BOUND`].
    #[inline]
    fn read(&self) -> f64 {
        let word = self.estimate.load(Ordering::Relaxed);
        let estimate = f64::from_bits(word).abs();
        if word & BOUND == 0 { estimate } else { -estimate }
    }
}

/// Returns a duration in milliseconds, without the division that `Duration::as_secs_f64` makes.
#[inline]
fn millis(duration: Duration) -> f64 {
    saturating_nanos(duration) as f64 * 1e-6
}

/// Returns the weight of a sample that arrives `elapsed` after the last one. All arguments are in nanoseconds.
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

/// The penalty for failures, in one word. The upper half is the penalty in seconds, as an `f32`. The lower half is the
/// time from which the penalty fades, in units of 2²⁰ ns (about a millisecond). 0 means that there is no penalty.
#[derive(Debug, Default)]
struct Penalty(AtomicU64);

impl Penalty {
    /// A penalty below this many seconds is removed.
    const NEGLIGIBLE: f32 = 1e-6;

    fn ticks(at: Timestamp) -> u32 {
        (at.as_nanos() >> 20) as u32
    }

    /// Returns the faded penalty in seconds at `now`.
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

    /// Returns whether the time of a `Retry-After` is not over yet, so that the penalty does not fade.
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

/// The picker of [`PeakEwma`], which picks the endpoint of each request.
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
