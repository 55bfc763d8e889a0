/// Distribution of the number of requests at a server, including its queue, over time and all servers.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct InFlight {
    /// Share of the time that a server had exactly `n` requests, by `n`, averaged over servers.
    pub time: Vec<f64>,
    /// Number of requests at the server that has most at each moment, averaged over time.
    pub mean_of_max: f64,
}

impl InFlight {
    /// Returns the mean number of requests at a server.
    pub fn mean(&self) -> f64 {
        self.time.iter().enumerate().map(|(length, time)| length as f64 * time).sum()
    }

    /// Returns the share of the time that a server had at least `length` requests.
    pub fn at_least(&self, length: usize) -> f64 {
        self.time.iter().skip(length).sum()
    }

    /// Returns the number of requests that a server did not exceed for this share of the time: 0.99 for the 99th
    /// percentile.
    pub fn quantile(&self, part: f64) -> usize {
        let mut sum = 0.0;
        let reached = self.time.iter().position(|time| {
            sum += time;
            sum >= part
        });
        reached.unwrap_or(self.max())
    }

    /// Returns the largest number of requests that any server had.
    pub fn max(&self) -> usize {
        self.time.iter().rposition(|&time| time > 0.0).unwrap_or(0)
    }
}
