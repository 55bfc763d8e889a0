//! The figures of a strategy at one load, and their format.

use std::time::Duration;

use equipoise::sim::{Comparison, Report, Spread};

/// Text for a missing figure.
pub(crate) const NONE: &str = "–";

/// A column of the tables.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Figure {
    P50,
    P90,
    P99,
    P999,
    Mean,
    Errors,
}

impl Figure {
    pub(crate) fn named(name: &str) -> Option<Self> {
        let all = [Self::P50, Self::P90, Self::P99, Self::P999, Self::Mean, Self::Errors];
        all.into_iter().find(|figure| figure.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P99 => "p99",
            Self::P999 => "p99.9",
            Self::Mean => "mean",
            Self::Errors => "errors",
        }
    }

    /// Returns seconds, or a share.
    pub(crate) fn of(self, report: &Report) -> f64 {
        let latency = &report.latency;
        match self {
            Self::P50 => latency.p50().as_secs_f64(),
            Self::P90 => latency.p90().as_secs_f64(),
            Self::P99 => latency.p99().as_secs_f64(),
            Self::P999 => latency.p999().as_secs_f64(),
            Self::Mean => latency.mean().as_secs_f64(),
            Self::Errors => report.error_rate(),
        }
    }

    /// Returns the mean over the seeds as text.
    pub(crate) fn show(self, comparison: &Comparison, contender: usize) -> String {
        let mean = comparison.spread(contender, |report| self.of(report)).mean;
        match self {
            _ if is_missing(comparison, contender) => NONE.to_owned(),
            Self::Errors => part(mean),
            _ => time(mean),
        }
    }
}

/// Returns whether the contender failed, or the runs were stopped before it ran.
pub(crate) fn is_missing(comparison: &Comparison, contender: usize) -> bool {
    comparison.reports.get(contender).is_none_or(|reports| reports.iter().all(|report| report.ends.total() == 0))
}

/// Returns the median, the 99th percentile and the maximum of the requests at a server over time.
pub(crate) fn in_flight(comparison: &Comparison, contender: usize) -> [f64; 3] {
    let mean = |figure: &dyn Fn(&Report) -> usize| comparison.spread(contender, |report| figure(report) as f64).mean;
    [
        mean(&|report| report.in_flight.quantile(0.5)),
        mean(&|report| report.in_flight.quantile(0.99)),
        mean(&|report| report.in_flight.max()),
    ]
}

/// Returns the standard deviation of p99 over the seeds, relative to its mean.
pub(crate) fn deviation(comparison: &Comparison, contender: usize) -> f64 {
    let Spread { mean, deviation, .. } = comparison.spread(contender, |report| Figure::P99.of(report));
    deviation / mean.max(f64::MIN_POSITIVE)
}

/// Returns the share of one server, relative to an even share.
pub(crate) fn share(comparison: &Comparison, contender: usize, server: usize) -> f64 {
    comparison.spread(contender, |report| report.share(server) * report.shares.len() as f64).mean
}

/// Returns the share of repeated keys that moved unnecessarily.
pub(crate) fn moved(comparison: &Comparison, contender: usize) -> f64 {
    comparison.spread(contender, |report| report.keys.map_or(0.0, |keys| keys.avoidable())).mean
}

/// Seconds, to three digits.
pub(crate) fn time(seconds: f64) -> String {
    match seconds * 1e3 {
        ms if ms < 10.0 => format!("{ms:.2} ms"),
        ms if ms < 100.0 => format!("{ms:.1} ms"),
        ms if ms < 1_000.0 => format!("{ms:.0} ms"),
        _ => format!("{seconds:.2} s"),
    }
}

pub(crate) fn part(part: f64) -> String {
    match part * 100.0 {
        0.0 => "0".to_owned(),
        percent if percent < 0.01 => "< 0.01 %".to_owned(),
        percent if percent < 9.995 => format!("{percent:.2} %"),
        percent => format!("{percent:.1} %"),
    }
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_a_unit() {
        let times = [0.000_5, 0.009_87, 0.0987, 0.987, 1.234, 12.3].map(time);
        assert_eq!(times, ["0.50 ms", "9.87 ms", "98.7 ms", "987 ms", "1.23 s", "12.30 s"]);
        assert_eq!([0.0, 0.000_01, 0.012_3, 0.5].map(part), ["0", "< 0.01 %", "1.23 %", "50.0 %"]);
    }
}
