//! How soon a server gets requests again after an outage.

use std::time::Duration;

use equipoise::sim::Report;

/// A recurring outage of a server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outage {
    pub(super) server: usize,
    /// End of the first outage, from the start of the run.
    pub(super) until: Duration,
    /// Time from the end of an outage to the end of the next.
    pub(super) every: Duration,
}

/// Number of requests after which a server counts as back.
const REQUESTS: u32 = 3;

impl Outage {
    /// Returns the mean time in seconds from the end of an outage until the server has had [`REQUESTS`] requests, to the
    /// accuracy of the report's samples. A server that does not return before the next outage ends counts with the whole
    /// period. NaN if the run is shorter than the first outage and a period.
    pub(super) fn return_time(&self, report: &Report) -> f64 {
        let samples = &report.series.samples;
        let end = samples.last().map_or(Duration::ZERO, |sample| sample.at);
        let ends = (0..).map(|number| self.until + self.every * number).take_while(|until| *until + self.every <= end);
        let times: Vec<f64> = ends
            .map(|until| {
                let next = until + self.every;
                let after = samples[samples.partition_point(|sample| sample.at <= until)..].iter();
                let mut sent = 0;
                let back = after.take_while(|sample| sample.at <= next).find(|sample| {
                    sent += sample.sent[self.server];
                    sent >= REQUESTS
                });
                (back.map_or(next, |sample| sample.at) - until).as_secs_f64()
            })
            .collect();
        times.iter().sum::<f64>() / times.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use equipoise::{
        StrategySpec,
        sim::{Fault, Scenario, Server, Trace},
    };

    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_server_is_back_with_its_third_request_after_each_outage() {
        // Two requests a second, and each server gets every second one.
        let trace = Trace::new((0..200).map(|at| (Duration::from_millis(500 * at + 250), Duration::from_millis(1))));
        let away = Fault::removed(0).from(secs(10)).lasting(secs(10)).every(secs(20));
        let scenario = Scenario::of(2, Server::fifo(1)).trace(trace).fault(away).lasting(secs(100));
        let scenario = scenario.sample_interval(Duration::from_millis(500));
        let report = scenario.run(&"round-robin".parse::<StrategySpec>().expect("a name")).expect("a report");
        let outage = Outage { server: 0, until: secs(20), every: secs(20) };
        let time = outage.return_time(&report);
        assert!((2.5..=3.0).contains(&time), "{time}");
        assert!(Outage { until: secs(90), ..outage }.return_time(&report).is_nan());
    }

    #[test]
    fn a_server_that_does_not_return_counts_with_the_period() {
        let scenario = Scenario::of(2, Server::fifo(1)).fault(Fault::removed(0)).lasting(secs(40)).rate(1.0);
        let report = scenario.run(&"p2c".parse::<StrategySpec>().expect("a name")).expect("a report");
        let outage = Outage { server: 0, until: secs(10), every: secs(10) };
        assert_eq!(outage.return_time(&report), 10.0);
    }
}
