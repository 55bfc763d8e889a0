/// The distribution of the number of requests at a server (in service or in its queue) over time. Covers all servers
/// and the measured window of the run, without the warm-up.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct InFlight {
    /// `time[n]` is the share of the time during which a server had exactly `n` requests (in service or in its queue),
    /// as the mean over all servers. The shares add up to 1.
    pub time: Vec<f64>,
    /// The number of requests at the busiest server, as the mean over time. The busiest server at a moment is the
    /// server with the most requests at that moment.
    pub mean_of_max: f64,
}

impl InFlight {
    /// Returns the mean number of requests at a server (in service or in its queue), averaged over time and over all
    /// servers.
    pub fn mean(&self) -> f64 {
        self.time.iter().enumerate().map(|(length, time)| length as f64 * time).sum()
    }

    /// Returns the share of the time during which a server had `length` or more requests, as the mean over all servers.
    /// From 0 to 1. With `length` 0, the share is 1.
    pub fn at_least(&self, length: usize) -> f64 {
        self.time.iter().skip(length).sum()
    }

    /// Returns the number of requests that a server did not exceed during the share `part` of the time: 0.5 gives the
    /// median, 0.99 the 99th percentile. The times of all servers are taken together. Range of `part`: 0 to 1.
    pub fn quantile(&self, part: f64) -> usize {
        let mut sum = 0.0;
        let reached = self.time.iter().position(|time| {
            sum += time;
            sum >= part
        });
        reached.unwrap_or(self.max())
    }

    /// Returns the largest number of requests that any server had at any time in the measured window.
    pub fn max(&self) -> usize {
        self.time.iter().rposition(|&time| time > 0.0).unwrap_or(0)
    }
}
