/// How many requests servers had, those waiting in line included, over time and all servers.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct InFlight {
    /// By number of requests: the part of the time, averaged over servers, that a server had exactly so many.
    pub time: Vec<f64>,
    /// The number at the server that has most, averaged over time.
    pub longest: f64,
}

impl InFlight {
    /// The mean.
    pub fn mean(&self) -> f64 {
        self.time.iter().enumerate().map(|(length, time)| length as f64 * time).sum()
    }

    /// The part of the time that a server had at least so many.
    pub fn at_least(&self, length: usize) -> f64 {
        self.time.iter().skip(length).sum()
    }

    /// The number that a server did not exceed for this part of the time.
    pub fn quantile(&self, part: f64) -> usize {
        let mut sum = 0.0;
        let reached = self.time.iter().position(|time| {
            sum += time;
            sum >= part
        });
        reached.unwrap_or(self.max())
    }

    /// The most that any server had.
    pub fn max(&self) -> usize {
        self.time.iter().rposition(|&time| time > 0.0).unwrap_or(0)
    }
}
