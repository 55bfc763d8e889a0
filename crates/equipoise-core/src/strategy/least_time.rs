use std::time::Duration;

use super::{
    BuildError, Needs, PickCx, Picker, Strategy,
    memories::Memories,
    sampling::{Choices, Contest, Cost, Gauge, InvalidChoices},
    span::{InvalidSpan, span},
};
use crate::{
    endpoint::{EndpointSpec, Slot},
    sync::{AtomicU64, Ordering},
    time::{Timestamp, saturating_nanos},
    view::View,
};

/// Least time, as `least_time` in nginx: picks the endpoint with the lowest score. The score is the endpoint's average
/// time to the first byte × (its requests in flight + 1).
///
/// At each response, the new average is 95 % of the old average plus 5 % of the latency of the response. These
/// percentages do not depend on the time since the last response. Choose this strategy if some endpoints are
/// permanently slower than others, and single slow responses mean nothing. In most other cases,
/// [`PeakEwma`](super::PeakEwma) is the better choice, because the average of `LeastTime` needs dozens of responses to
/// follow a change.
///
/// Failures do not change the average. An endpoint that fails fast looks idle and would be picked often. A failing
/// endpoint therefore gets at most [its share of the picks by weight](super::Needs::caps_failing). To send a failing
/// endpoint fewer requests, use outlier detection. If a caller gives up a request, the time that the request has waited
/// counts as a latency. This latency can raise the average, but never lowers the average.
///
/// nginx compares all endpoints. If requests come one at a time, it sends all of them to the fastest endpoint.
/// `LeastTime` compares [two endpoints](Self::with_choices), and treats weights as [`P2c`](super::P2c) does. In pools
/// of up to eight endpoints with unequal weights, it compares all endpoints. While the endpoints are idle, an endpoint
/// with a higher weight or a lower average gets more requests.
///
/// - **Without responses, the average of an endpoint halves** once per [period](Self::period), so that a slow endpoint
///   is tried again. A comparison uses the halved average only while no request is in flight at the endpoint. In a
///   comparison, the halved average counts as at least half of the lowest average of the compared endpoints. This
///   prevents a burst of requests before the first response. At the next response, the new average is computed from the
///   halved average.
/// - **A new endpoint** has no average yet. In a comparison, the lowest average of the other compared endpoints is used
///   for it.
///
/// Building a picker takes O(n) time for n endpoints. A pick takes O(1) time. Each request reads the clock twice.
/// Source: nginx `least_time` (0.05 × new + 0.95 × old).
///
/// ```
/// use std::time::Duration;
/// use equipoise_core::{EndpointSpec, LeastTime, PickRequest, Pool, Verdict};
///
/// let pool = Pool::new(LeastTime::new().period(Duration::from_secs(5))?);
/// pool.update(["a:80", "b:80"].map(EndpointSpec::new), |_| ())?;
/// let lease = pool.pick(&PickRequest::new())?;
/// lease.finish(Verdict::Success);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LeastTime {
    choices: Choices,
    period: Duration,
}

/// The weight of a new response in the average.
const SHARE: f64 = 0.05;

impl LeastTime {
    /// Creates a strategy that compares two endpoints per pick. Without responses, the average of an endpoint halves
    /// every 10 s (see [`period`](Self::period)).
    pub const fn new() -> Self {
        Self { choices: Choices::TWO, period: Duration::from_secs(10) }
    }

    /// Creates a strategy that compares `choices` endpoints per pick, with the default [`period`](Self::period) of 10
    /// s. Range: 2 to 10. With more choices, the strategy is more similar to `least_time` of nginx, which compares all
    /// endpoints.
    ///
    /// # Errors
    ///
    /// [`InvalidChoices`] if `choices` is not in the range from 2 to 10.
    pub const fn with_choices(choices: usize) -> Result<Self, InvalidChoices> {
        match Choices::new(choices) {
            Ok(choices) => Ok(Self { choices, ..Self::new() }),
            Err(invalid) => Err(invalid),
        }
    }

    /// Sets the time without a response after which the average of an endpoint halves. Minimum: 1 µs; a shorter time is
    /// an error. Default: 10 s, as nginx's default `fail_timeout`. With `Duration::MAX`, the average never halves.
    ///
    /// # Errors
    ///
    /// [`InvalidSpan`] if `period` is below 1 µs.
    pub const fn period(self, period: Duration) -> Result<Self, InvalidSpan> {
        match span("period", period) {
            Ok(period) => Ok(Self { period, ..self }),
            Err(invalid) => Err(invalid),
        }
    }

    /// Returns how often the average of an endpoint has halved since its last response.
    fn halvings(&self, state: &LeastTimeState, now: Timestamp) -> f64 {
        let last = Timestamp::from_nanos(state.stamp.load(Ordering::Relaxed));
        let idle = saturating_nanos(now.since(last));
        // After 64 halvings, the average is practically 0.
        (idle / saturating_nanos(self.period).max(1)).min(64) as f64
    }

    /// Raises the average after a request that was given up after `waited` nanoseconds. Never lowers it.
    fn raise(&self, state: &LeastTimeState, average: f64, waited: f64, now: Timestamp) {
        let halvings = self.halvings(state, now);
        let halved = average * (-halvings).exp2();
        if waited > average {
            let next = (SHARE * waited + (1.0 - SHARE) * halved).max(average);
            state.stamp.store(now.as_nanos(), Ordering::Relaxed);
            let raised = |seen: u64| (next > f64::from_bits(seen)).then_some(next.to_bits());
            // `Err`: another thread has raised it further.
            let _ = state.average.fetch_update(Ordering::Relaxed, Ordering::Relaxed, raised);
        } else if waited > halved {
            // The average stays. It counts as halved fewer times, so that the halved average is not above the time
            // waited.
            let fewer = (average / waited).log2().ceil();
            if fewer < halvings {
                let idle = saturating_nanos(self.period).saturating_mul(fewer as u64);
                state.stamp.store(now.as_nanos().saturating_sub(idle), Ordering::Relaxed);
            }
        }
    }
}

impl Default for LeastTime {
    fn default() -> Self {
        Self::new()
    }
}

impl Strategy for LeastTime {
    type State = LeastTimeState;
    type Picker = LeastTimePicker;

    fn state(&self, _: &EndpointSpec) -> LeastTimeState {
        LeastTimeState::default()
    }

    fn needs(&self) -> Needs {
        Needs::new().latency().caps_failing()
    }

    fn build(&self, view: &View, last: Option<&LeastTimePicker>) -> Result<LeastTimePicker, BuildError> {
        Ok(LeastTimePicker {
            contest: Contest::with_choices(view, self.choices.get()),
            memories: Memories::of(view, last.map(|last| &last.memories)),
            settings: *self,
        })
    }

    fn on_latency(&self, state: &LeastTimeState, latency: Duration, now: Timestamp) {
        let latency = (saturating_nanos(latency) as f64).max(1.0);
        let left = (-self.halvings(state, now)).exp2();
        state.stamp.store(now.as_nanos(), Ordering::Relaxed);
        // The closure always returns `Some`, so that there is no `Err`.
        let _ = state.average.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |seen| {
            let old = f64::from_bits(seen) * left;
            Some(if seen == 0 || old < 0.0 { latency } else { SHARE * latency + (1.0 - SHARE) * old }.to_bits())
        });
    }

    fn on_abandon(&self, state: &LeastTimeState, waited: Duration, now: Timestamp) -> bool {
        let average = f64::from_bits(state.average.load(Ordering::Relaxed));
        let waited_nanos = saturating_nanos(waited) as f64;
        if average > 0.0 {
            self.raise(state, average, waited_nanos, now);
            return false;
        }
        // There was no response yet. The only known value is the longest time without a response.
        if waited_nanos >= -average {
            state.stamp.store(now.as_nanos(), Ordering::Relaxed);
        }
        let _ = state.average.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |seen| {
            let seen = f64::from_bits(seen);
            (seen <= 0.0 && -waited_nanos < seen).then_some((-waited_nanos).to_bits())
        });
        false
    }
}

/// The state that [`LeastTime`] keeps about an endpoint: its average time to the first byte, and the time of the last
/// response.
///
/// The average and the time are two separate atomic values. No response is lost. But if two responses arrive at the
/// same moment on two threads, the average may be halved twice for the same time without responses.
#[derive(Debug, Default)]
pub struct LeastTimeState {
    /// The average in nanoseconds, as the bits of an `f64`. Before the first response it is 0, or minus the longest
    /// time that a request has waited before it was given up.
    average: AtomicU64,
    /// The time of the last response.
    stamp: AtomicU64,
}

/// The picker of [`LeastTime`], which picks the endpoint of each request.
pub struct LeastTimePicker {
    contest: Contest,
    memories: Memories<LeastTimeState>,
    settings: LeastTime,
}

impl Picker for LeastTimePicker {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        self.contest.pick(cx, self)
    }
}

impl Gauge for LeastTimePicker {
    #[inline]
    fn read(&self, slot: Slot, now: Timestamp) -> Cost {
        let Some(state) = self.memories.get(slot) else { return Cost::UNIT };
        Cost {
            estimate: f64::from_bits(state.average.load(Ordering::Relaxed)),
            idle: self.settings.halvings(state, now) * std::f64::consts::LN_2,
            penalty: 0.0,
        }
    }
}
