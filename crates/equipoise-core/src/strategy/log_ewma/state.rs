use std::time::Duration;

use super::{estimate::Estimate, memory::Memory, penalty::Penalty, trials::Trials};
use crate::{time::Timestamp, verdict::Verdict};

/// The state that [`LogEwma`](crate::LogEwma) keeps of an endpoint: its estimated latency, its trials and its penalty.
/// (A trial is a request that measures a slow endpoint again.)
#[derive(Debug, Default)]
#[repr(align(64))] // A cache line of its own, so that writes do not slow down reads of its neighbours.
pub struct LogEwmaState {
    pub(super) estimate: Estimate,
    pub(super) trials: Trials,
    pub(super) penalty: Penalty,
}

impl LogEwmaState {
    /// Samples the latency of a response.
    pub(super) fn sample(&self, latency: Duration, now: Timestamp, memory: Memory) {
        self.estimate.sample(latency, now, memory, &self.trials);
    }

    /// Counts the verdict of a request: a success reduces the penalty, and a failure adds to it.
    pub(super) fn count(&self, verdict: Verdict, now: Timestamp, memory: Memory) {
        let long_memory = || memory.after(self.estimate.interval());
        let retry_after = match verdict {
            Verdict::Success => return self.penalty.succeed(now, long_memory),
            Verdict::Failure(_) => None,
            Verdict::Overloaded { retry_after } | Verdict::Unavailable { retry_after } => retry_after,
            Verdict::Neutral => return,
        };
        self.penalty.add(now, long_memory(), retry_after);
    }
}
