/// Distribution of the number of requests at a server (in service or in its queue). It covers all servers and the
/// measured window of the run, without the warm-up.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct InFlight {
    /// Share of the time during which a server had exactly `n` requests (in service or in its queue), as the mean over
    /// all servers. The index of the vector is `n`. The shares add up to 1.
    pub time: Vec<f64>,
    /// Mean over time of the number of requests at the busiest server. The busiest server is the one with the most
    /// requests at a moment, so it changes over time.
    pub mean_of_max: f64,
}

impl InFlight {
    /// Returns the mean number of requests at a server, over time and servers.
    pub fn mean(&self) -> f64 {
        self.time.iter().enumerate().map(|(length, time)| length as f64 * time).sum()
    }

    /// Returns the share of the time during which a server had `length` or more requests, as the mean over all servers.
    /// From 0 to 1.
    pub fn at_least(&self, length: usize) -> f64 {
        self.time.iter().skip(length).sum()
    }

    /// Returns the number of requests that a server did not exceed during the share `part` of the time. For the 99th
    /// percentile, `part` is 0.99. Range of `part`: 0 to 1.
    pub fn quantile(&self, part: f64) -> usize {
        let mut sum = 0.0;
        let reached = self.time.iter().position(|time| {
            sum += time;
            sum >= part
        });
        reached.unwrap_or(self.max())
    }

    /// Returns the largest number of requests that any server had at any time.
    pub fn max(&self) -> usize {
        self.time.iter().rposition(|&time| time > 0.0).unwrap_or(0)
    }
}
