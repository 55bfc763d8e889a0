use std::time::Duration;

/// Figures of a run over time, warm-up included.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Series {
    /// Length of the interval that a sample covers ([`Scenario::sample_interval`](crate::Scenario::sample_interval)).
    pub period: Duration,
    /// The samples in the order of time.
    pub samples: Vec<Sample>,
}

/// Figures of one interval.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Sample {
    /// End of the interval, from the start of the run.
    pub at: Duration,
    /// Number of attempts sent in the interval, by server.
    pub sent: Vec<u32>,
    /// Used part of the allocation in the interval, by server.
    pub utilisation: Vec<f32>,
    /// Number of requests at the end of the interval, by server, including its queue.
    pub in_flight: Vec<u32>,
}

impl Sample {
    pub(crate) fn of(servers: usize) -> Self {
        Self { at: Duration::ZERO, sent: vec![0; servers], utilisation: vec![0.0; servers], in_flight: Vec::new() }
    }

    /// Returns a server's share of the attempts in the interval; 0 if there were none.
    pub fn share(&self, server: usize) -> f64 {
        let all: u64 = self.sent.iter().copied().map(u64::from).sum();
        f64::from(self.sent.get(server).copied().unwrap_or_default()) / all.max(1) as f64
    }
}
