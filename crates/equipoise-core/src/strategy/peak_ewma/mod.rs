mod latency;

use std::time::Duration;

use self::latency::{Latency, millis};
use super::{
    BuildError, Needs, PickCx, Picker, Strategy,
    memories::Memories,
    penalty::{FadingPenalty, TICK},
    sampling::{Contest, Cost, Gauge},
    span::{InvalidSpan, span},
};
use crate::{
    endpoint::{EndpointSpec, Slot},
    time::{Timestamp, saturating_nanos},
    verdict::Verdict,
    view::View,
};

/// Peak-EWMA: compares two random endpoints and picks the one with the lower score. The score of an endpoint is (its
/// average latency + its penalty for failures) × (its requests in flight + 1).
///
/// If a latency is above the average, the average rises to this latency at once. If latencies are below the average,
/// the average falls slowly (see [`decay`](Self::decay)). Slow and failing endpoints are noticed within one or two
/// requests, and get few requests from then on. In small pools, the strategy compares more than two endpoints: see [`P2c`](super::P2c).
///
/// [`LogEwma`](super::LogEwma), the default strategy, is better in most cases. Choose Peak-EWMA if the balancer must
/// behave as linkerd or Finagle does, or if each slow response must count at once.
///
/// - **Failures** ([`Verdict::is_failure`]) add a penalty. The first failure adds an eighth of
///   [`penalty`](Self::penalty). Each further failure more than doubles the endpoint's penalty, up to the maximum
///   `penalty`. A success removes three quarters of the endpoint's penalty. The latency of a failure does not count, so
///   an endpoint that fails fast does not look fast. A response with `Retry-After` sets the endpoint's penalty to the
///   maximum for the time in the header, but for at most 300 s.
/// - **Abandoned requests** end without a first byte. If such a request has waited longer than the average, the average
///   rises to the time that the request has waited. Otherwise the request does not change the average.
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
/// - **High rates**: after a latency has been used for the average, only latencies above the average are used for the
///   next 10 µs.
///
/// The scores in an [explanation](crate::Pool::explain) are in milliseconds.
///
/// Limits:
///
/// - Open streams, long response bodies and tunnels count as load like requests that wait for a response.
/// - A single slow response makes an endpoint look slow for seconds. If a few requests are much longer than the others,
///   this strategy is worse than [`LeastConnections`](super::LeastConnections).
/// - If all endpoints fail at times, each failure still moves requests to other endpoints.
/// - `Retry-After` stops the requests to an endpoint even if the endpoint still answers others.
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

/// A penalty below this many seconds is removed.
const NEGLIGIBLE: f32 = 1e-6;

/// Returns the part of a penalty that is left after a number of ticks.
fn left(fade: Duration) -> impl Fn(u32) -> f32 {
    move |age| {
        let age = age as f32 * TICK as f32 * 1e-9;
        (-age / fade.as_secs_f32().max(f32::MIN_POSITIVE)).exp()
    }
}

impl PeakEwma {
    /// Creates the strategy with its defaults: [`decay`](Self::decay) 10 s, [`fade`](Self::fade) 2.5 s and
    /// [`penalty`](Self::penalty) 5 s.
    pub const fn new() -> Self {
        Self { decay: Duration::from_secs(10), fade: Duration::from_millis(2500), penalty: Duration::from_secs(5) }
    }

    /// Sets how fast old latencies lose weight in the average: in the time `decay`, the weight of a latency falls to
    /// 1/e (37 %) of its original weight. 100 further responses reduce the weight at least as much, even if they arrive
    /// within a shorter time. Minimum: 1 µs. Default: 10 s.
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
            Verdict::Success => {
                if !state.penalty.is_none() {
                    state.penalty.forgive(now, NEGLIGIBLE, left(self.fade));
                }
                return;
            }
            Verdict::Failure(_) => Duration::ZERO,
            Verdict::Overloaded { retry_after } | Verdict::Unavailable { retry_after } => {
                retry_after.unwrap_or_default()
            }
            Verdict::Neutral => return,
        };
        state.penalty.add(now, self.penalty.as_secs_f32(), hold, left(self.fade));
    }
}

/// The state that [`PeakEwma`] stores for an endpoint: its average latency and its penalty for failures.
#[derive(Debug, Default)]
#[repr(align(64))] // A cache line of its own: neighbours in memory are not written with it.
pub struct PeakEwmaState {
    latency: Latency,
    /// In seconds.
    penalty: FadingPenalty,
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
    // Estimates of equal endpoints differ by some tens of a percent, because peaks are random. A larger factor is worse
    // where endpoints differ by a factor of two: with half of a hundred at half the speed and 90 % load, p99 was 817 ms
    // without, 903 with 1.5, 1003 with 2 (least-request: 2036). With one of five that stalls at 85 % load, the median was
    // 7.6 ms without, 7.2 with 1.5 (least-request: 7.1).
    const NOISE: f64 = 1.5;

    const CURIOSITY: f64 = 0.1;

    #[inline]
    fn read(&self, slot: Slot, now: Timestamp) -> Cost {
        let Some(state) = self.memories.get(slot) else { return Cost::UNIT };
        Cost {
            estimate: state.latency.read(),
            idle: state.latency.idle_nanos(now) as f64 * self.inverse_fade,
            penalty: f64::from(state.penalty.at(now, left(self.fade))) * 1e3,
        }
    }

    fn on_trial(&self, slot: Slot) {
        if let Some(state) = self.memories.get(slot) {
            state.latency.mark_trial();
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
