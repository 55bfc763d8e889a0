use std::time::Duration;

/// How a run went over time, warm-up included.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Series {
    /// The time between samples.
    pub period: Duration,
    /// In the order of time.
    pub samples: Vec<Sample>,
}

/// What happened in one period.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Sample {
    /// Its end, from the start of the run.
    pub at: Duration,
    /// By server: how many attempts were sent there.
    pub sent: Vec<u32>,
    /// By server: the part of its allocation that it used.
    pub utilisation: Vec<f32>,
    /// By server: how many requests it had at the end.
    pub in_flight: Vec<u32>,
}

impl Sample {
    pub(crate) fn of(servers: usize) -> Self {
        Self { at: Duration::ZERO, sent: vec![0; servers], utilisation: vec![0.0; servers], in_flight: Vec::new() }
    }

    /// A server's part of the attempts; 0 where there were none.
    pub fn share(&self, server: usize) -> f64 {
        let all: u64 = self.sent.iter().copied().map(u64::from).sum();
        f64::from(self.sent.get(server).copied().unwrap_or_default()) / all.max(1) as f64
    }
}
