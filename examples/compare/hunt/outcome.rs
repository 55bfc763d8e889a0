//! The results of one case: the figures of each contender.

use equipoise::sim::{Comparison, Report};

use super::case::Case;
use crate::figures::{self, Figure};

/// The results of one case.
pub(crate) struct Outcome {
    pub(super) case: &'static Case,
    pub(super) labels: Vec<String>,
    /// By contender; `None` for a contender that has no figures. The default is the first contender.
    pub(super) figures: Vec<Option<Figures>>,
}

/// The figures of a contender: means over the seeds, in seconds. Errors are a share of the requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figures {
    pub(super) p50: f64,
    pub(super) mean: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) errors: f64,
    /// The mean time until a server is used again after an outage, in cases with one.
    pub(super) back: Option<f64>,
}

impl Figures {
    pub(super) fn of(case: &Case, comparison: &Comparison, contender: usize) -> Option<Self> {
        let mean = |figure: Figure| comparison.spread(contender, |report: &Report| figure.of(report)).mean;
        let [p50, mean, p99, p999, errors] =
            [Figure::P50, Figure::Mean, Figure::P99, Figure::P999, Figure::Errors].map(mean);
        let back = case.outage.map(|outage| comparison.spread(contender, |report| outage.return_time(report)).mean);
        (!figures::is_missing(comparison, contender)).then_some(Self { p50, mean, p99, p999, errors, back })
    }
}
