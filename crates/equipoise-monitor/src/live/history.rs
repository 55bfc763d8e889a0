//! The newest state of a monitor, and the samples of the last seconds.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::SystemTime,
};

use super::sample::Sample;
use crate::report::{EndpointReport, Snapshot};

/// How many samples a monitor keeps, for [`Monitor::spawn_with`](crate::Monitor::spawn_with).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct LiveSettings {
    pub(super) samples: u16,
    pub(super) max_endpoints: usize,
}

impl LiveSettings {
    /// Creates the default settings.
    pub fn new() -> Self {
        Self { samples: 120, max_endpoints: 1_000 }
    }

    /// Sets the number of samples that are kept of each pool and endpoint: one for each second. Default: 120. With 0, no
    /// samples are kept. A sample takes 28 bytes, so the default takes 3.4 KB for each endpoint.
    pub fn samples(mut self, samples: u16) -> Self {
        self.samples = samples;
        self
    }

    /// Sets the maximum number of endpoints of a pool whose endpoints have samples. In a pool with more endpoints, only
    /// the pool as a whole has samples. Default: 1 000, which bounds the samples of a pool to 3.4 MB.
    pub fn max_endpoints(mut self, endpoints: usize) -> Self {
        self.max_endpoints = endpoints;
        self
    }
}

impl Default for LiveSettings {
    fn default() -> Self {
        Self::new()
    }
}

/// The newest snapshot with the history of its pools and endpoints. Returned by
/// [`Monitor::live`](crate::Monitor::live).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Live {
    /// The number of this state. Each later state has a higher number.
    pub tick: u64,
    /// The number of seconds that were sampled so far. Between two states, all histories have moved on by the
    /// difference of their `seconds`.
    pub seconds: u64,
    /// What was read.
    pub snapshot: Arc<Snapshot>,
    /// The history of each pool, in the order of [`Snapshot::pools`].
    pub pools: Vec<Arc<PoolHistory>>,
}

impl Live {
    /// The state before the first snapshot was taken.
    pub(super) fn empty() -> Self {
        let snapshot = Snapshot {
            at: SystemTime::UNIX_EPOCH,
            uptime: std::time::Duration::ZERO,
            build: crate::report::BuildInfo::default(),
            pools: Vec::new(),
            listeners: Vec::new(),
            functions: Vec::new(),
        };
        Self { tick: 0, seconds: 0, snapshot: Arc::new(snapshot), pools: Vec::new() }
    }
}

/// The samples of a pool and of its endpoints.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct PoolHistory {
    /// The samples of the pool, the oldest first.
    pub samples: VecDeque<Sample>,
    /// The samples of each endpoint, the oldest first, in the order of
    /// [`PoolReport::endpoints`](crate::report::PoolReport::endpoints). Without samples if the pool has more endpoints
    /// than [`LiveSettings::max_endpoints`].
    pub endpoints: Vec<VecDeque<Sample>>,
}

impl PoolHistory {
    /// Brings the histories of endpoints, which are in the order of `old`, into the order of `new`. Endpoints are
    /// compared by id. An endpoint that joined has no history, and that of an endpoint that left is dropped.
    pub(super) fn reorder(&mut self, old: &[EndpointReport], new: &[EndpointReport]) {
        let mut known: HashMap<&str, VecDeque<Sample>> =
            old.iter().map(|report| report.status.id.as_str()).zip(self.endpoints.drain(..)).collect();
        let endpoints = new.iter().map(|report| known.remove(report.status.id.as_str()).unwrap_or_default());
        self.endpoints = endpoints.collect();
    }
}

/// Adds a sample, and drops the oldest ones beyond the maximum.
pub(super) fn push(samples: &mut VecDeque<Sample>, sample: Sample, max: u16) {
    let max = usize::from(max);
    while samples.len() >= max {
        if samples.pop_front().is_none() {
            return; // The maximum is 0.
        }
    }
    if samples.len() == samples.capacity() {
        // Growth by doubling would take up to twice the memory.
        samples.reserve_exact(max - samples.len());
    }
    samples.push_back(sample);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_keeps_the_newest_samples_in_a_fixed_amount_of_memory() {
        let mut samples = VecDeque::new();
        for rate in 0..300_u16 {
            push(&mut samples, Sample { rate: rate.into(), ..Sample::default() }, 120);
        }
        let rates: Vec<f32> = samples.iter().map(|sample| sample.rate).collect();
        assert_eq!(rates, (180..300_u16).map(f32::from).collect::<Vec<_>>());
        assert_eq!((samples.len(), samples.capacity()), (120, 120));
        assert_eq!(size_of::<Sample>(), 28);
    }

    #[test]
    fn a_history_of_no_samples_stays_empty() {
        let mut samples = VecDeque::new();
        push(&mut samples, Sample::default(), 0);
        assert!(samples.is_empty());
    }
}
