use std::time::Duration;

/// Figures of a run over time. The run, including its warm-up, is divided into intervals of equal length, and each
/// interval has one [`Sample`].
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Series {
    /// Length of the interval of a sample, as set by [`Scenario::sample_interval`](crate::Scenario::sample_interval).
    pub period: Duration,
    /// The samples in the order of time.
    pub samples: Vec<Sample>,
}

/// Figures of one interval of a run. Each vector has one element for each server, in the order of the servers in the
/// scenario.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Sample {
    /// Simulated time at the end of the interval, from the start of the run.
    pub at: Duration,
    /// Number of attempts that were sent to each server in the interval.
    pub sent: Vec<u32>,
    /// For each server, the mean number of cores that it used in the interval, divided by the number of cores allocated
    /// to it. 1.0 means that all allocated cores were used.
    pub utilisation: Vec<f32>,
    /// Number of requests at each server (in service or in its queue) at the end of the interval.
    pub in_flight: Vec<u32>,
}

impl Sample {
    pub(crate) fn of(servers: usize) -> Self {
        Self { at: Duration::ZERO, sent: vec![0; servers], utilisation: vec![0.0; servers], in_flight: Vec::new() }
    }

    /// Returns the share (0 to 1) of the attempts in the interval that were sent to one server. `server` is the index
    /// of the server, counted from 0. Returns 0 if there were no attempts or there is no such server.
    pub fn share(&self, server: usize) -> f64 {
        let all: u64 = self.sent.iter().copied().map(u64::from).sum();
        f64::from(self.sent.get(server).copied().unwrap_or_default()) / all.max(1) as f64
    }
}
