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

/// Least time: the endpoint with the lowest average time to the first byte × (requests in flight + 1), as `least_time`
/// in nginx.
///
/// Each response moves the average by 5 % of the difference, regardless of the time since the last one. Choose it if
/// latencies differ steadily and single slow responses mean nothing. [`PeakEwma`](super::PeakEwma) is the better choice
/// in most other cases: this average needs dozens of responses to follow a change.
///
/// Failures are not sampled. An endpoint that fails looks idle, and its average halves while no responses come, so it
/// is [capped](super::Needs::caps_failing) at its share by weight. To send it less, add ejection. A request that is
/// given up counts as a response after the time that it waited, if this raises the average.
///
/// nginx compares all endpoints, which sends requests that come one at a time to the fastest one. This strategy
/// compares [two](Self::with_choices), with weights as in [`P2c`](super::P2c): in small pools with unequal weights it
/// compares all, and idle shares follow weight and speed.
///
/// - **Without responses, an average halves** once per [period](Self::period), so that no endpoint is avoided for ever.
///   In comparisons this applies while nothing is in flight, and not below half of the lowest compared average, to
///   prevent a burst before the first response. The next response makes it permanent.
/// - **A new endpoint** starts with the lowest average that it is compared with.
///
/// Build O(n), pick O(1), two clock readings per request. Source: nginx `least_time` (0.05 × new + 0.95 × old).
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
    /// Compares two endpoints, with a period of 10 s, which is the default `fail_timeout` of nginx.
    pub const fn new() -> Self {
        Self { choices: Choices::TWO, period: Duration::from_secs(10) }
    }

    /// Compares `choices` endpoints per pick: 2 to 10. More are closer to nginx, which compares all.
    ///
    /// # Errors
    ///
    /// [`InvalidChoices`] if `choices` is not 2 to 10.
    pub const fn with_choices(choices: usize) -> Result<Self, InvalidChoices> {
        match Choices::new(choices) {
            Ok(choices) => Ok(Self { choices, ..Self::new() }),
            Err(invalid) => Err(invalid),
        }
    }

    /// Sets the time without a response after which an average halves: at least 1 µs. The default is 10 s. With
    /// `Duration::MAX` it never halves.
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

    /// How often the average of an endpoint has halved since its last answer.
    fn halvings(&self, state: &LeastTimeState, now: Timestamp) -> f64 {
        let last = Timestamp::from_nanos(state.stamp.load(Ordering::Relaxed));
        let idle = saturating_nanos(now.since(last));
        // Beyond that nothing is left of it.
        (idle / saturating_nanos(self.period).max(1)).min(64) as f64
    }

    /// Raises the average for a request that was given up after `waited` nanoseconds. Never lowers it.
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
            // The average stays, as if it had halved only so often that it is not above the time waited.
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
        // `Err` never comes: there is always something to be changed.
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
        // No answer yet: all that is known is the longest time without one.
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

/// The state that [`LeastTime`] keeps of an endpoint.
///
/// Its two words are not updated together. No response is lost, but two at the same moment on two threads may both
/// apply the halvings since the last response.
#[derive(Debug, Default)]
pub struct LeastTimeState {
    /// Nanoseconds, as the bits of an `f64`. Before the first answer it is 0, or below that the longest time that a
    /// request waited in vain.
    average: AtomicU64,
    /// When the last answer came.
    stamp: AtomicU64,
}

/// The picker of [`LeastTime`].
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
