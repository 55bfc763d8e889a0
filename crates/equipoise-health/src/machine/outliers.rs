use std::collections::BTreeSet;

use equipoise_core::Timestamp;

use super::IntervalCounts;
use crate::settings::{FailurePercentage, LatencyOutlier, Outliers, SuccessRate};

/// What outlier detection stores for one endpoint.
#[derive(Debug, Default)]
pub(super) struct RequestState {
    pub(super) phase: Phase,
    /// The number of past ejections, which decreases while the endpoint is up.
    pub(super) ejections: u32,
    /// Whether the endpoint was on probation when its present pause began. The probation continues after the pause.
    pub(super) paused_on_probation: bool,
    pub(super) reason: String,
    /// The time at which the present phase ends. `None` if the phase has no end.
    pub(super) until: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Up,
    /// The endpoint is ejected because of the results of its requests.
    Ejected,
    /// The endpoint is paused because it sent `Retry-After`.
    Paused,
    /// The result of one request decides whether the endpoint is up again.
    Probation,
}

/// The record number of an outlier, its score, and the reason for its ejection. The lowest score is the worst.
type Outlier = (u64, f64, String);

/// Returns the endpoints that must be ejected at the end of an interval, with the reasons. The worst ones come first,
/// because the maximum number of ejected endpoints may be reached before the last ones.
pub(super) fn find_outliers(counts: &[(u64, IntervalCounts)], rules: &Outliers) -> Vec<(u64, String)> {
    let mut found: Vec<Outlier> = Vec::new();
    found.extend(rules.success_rate.into_iter().flat_map(|rule| by_success_rate(counts, rule)));
    found.extend(rules.failure_percentage.into_iter().flat_map(|rule| by_failure_percentage(counts, rule)));
    found.extend(rules.latency.into_iter().flat_map(|rule| by_latency(counts, rule)));
    found.sort_by(|(_, one, _), (_, other, _)| one.total_cmp(other));
    let mut seen = BTreeSet::new();
    found.into_iter().filter(|(record, ..)| seen.insert(*record)).map(|(record, _, reason)| (record, reason)).collect()
}

/// Returns the success rates, in percent, of the endpoints that had at least `min_requests` requests. Returns an empty
/// list if there are fewer than `min_hosts` such endpoints.
fn success_rates(counts: &[(u64, IntervalCounts)], min_requests: u64, min_hosts: usize) -> Vec<(u64, f64)> {
    let requests = |counts: &IntervalCounts| counts.successes + counts.failures;
    let enough = counts.iter().filter(|(_, counts)| requests(counts) >= min_requests.max(1));
    let rates: Vec<(u64, f64)> =
        enough.map(|(record, counts)| (*record, 100.0 * counts.successes as f64 / requests(counts) as f64)).collect();
    if rates.len() >= min_hosts.max(1) { rates } else { Vec::new() }
}

fn by_success_rate(counts: &[(u64, IntervalCounts)], rule: SuccessRate) -> Vec<Outlier> {
    let rates = success_rates(counts, rule.min_requests, rule.min_hosts);
    let n = rates.len() as f64;
    let mean = rates.iter().map(|(_, rate)| rate).sum::<f64>() / n;
    let deviation = (rates.iter().map(|(_, rate)| (rate - mean).powi(2)).sum::<f64>() / n).sqrt();
    let min = mean - rule.deviations * deviation;
    let outliers = rates.into_iter().filter(|(_, rate)| *rate < min);
    outliers.map(|(record, rate)| (record, rate, format!("success rate {rate:.1} %, below {min:.1} %"))).collect()
}

fn by_failure_percentage(counts: &[(u64, IntervalCounts)], rule: FailurePercentage) -> Vec<Outlier> {
    let rates = success_rates(counts, rule.min_requests, rule.min_hosts).into_iter();
    let failed = rates.map(|(record, rate)| (record, 100.0 - rate));
    let outliers = failed.filter(|(_, failed)| *failed >= f64::from(rule.percent));
    outliers.map(|(record, failed)| (record, 100.0 - failed, format!("{failed:.1} % of its requests failed"))).collect()
}

fn by_latency(counts: &[(u64, IntervalCounts)], rule: LatencyOutlier) -> Vec<Outlier> {
    let enough = counts.iter().filter(|(_, counts)| counts.latency_samples >= rule.min_requests.max(1));
    let means: Vec<(u64, f64)> = enough
        .map(|(record, counts)| (*record, counts.latency_sum.as_secs_f64() / counts.latency_samples as f64))
        .collect();
    if means.len() < rule.min_hosts.max(1) {
        return Vec::new();
    }
    let mut sorted: Vec<f64> = means.iter().map(|(_, mean)| *mean).collect();
    sorted.sort_by(f64::total_cmp);
    let median = sorted[sorted.len() / 2];
    let outliers = means.into_iter().filter(|(_, mean)| *mean >= rule.factor * median && median > 0.0);
    let factors = outliers.map(|(record, mean)| (record, mean / median));
    factors.map(|(record, times)| (record, 100.0 / times, format!("{times:.1} times as slow as the median"))).collect()
}
