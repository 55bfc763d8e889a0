use equipoise_core::Timestamp;

use super::event::Counts;
use crate::settings::Outliers;

/// What its requests make of an endpoint.
#[derive(Debug, Default)]
pub(super) struct RequestState {
    pub(super) phase: Phase,
    /// Ejections in a row.
    pub(super) times: u32,
    /// Whether a pause began on trial, which then goes on after it.
    pub(super) probation: bool,
    pub(super) reason: String,
    /// When the ejection or the pause ends.
    pub(super) until: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Serving,
    Ejected,
    /// It asked for it.
    Paused,
    /// One request decides.
    OnTrial,
}

/// Who stands out in a window, and why. The worst first, since not all may be ejected.
pub(super) fn outliers(counts: &[(u64, Counts)], rules: &Outliers) -> Vec<(u64, String)> {
    let mut found: Vec<(u64, f64, String)> = Vec::new();
    let rate = |counts: &Counts| 100.0 * counts.successes as f64 / (counts.successes + counts.failures) as f64;
    let of_volume =
        |volume: u64| move |(_, counts): &&(u64, Counts)| counts.successes + counts.failures >= volume.max(1);
    if let Some(rule) = rules.success_rate {
        let rates: Vec<(u64, f64)> =
            counts.iter().filter(of_volume(rule.volume)).map(|(record, counts)| (*record, rate(counts))).collect();
        if rates.len() >= rule.hosts.max(1) {
            let n = rates.len() as f64;
            let mean = rates.iter().map(|(_, rate)| rate).sum::<f64>() / n;
            let deviation = (rates.iter().map(|(_, rate)| (rate - mean).powi(2)).sum::<f64>() / n).sqrt();
            let least = mean - rule.deviations * deviation;
            for (record, rate) in rates.into_iter().filter(|(_, rate)| *rate < least) {
                found.push((record, rate, format!("success rate {rate:.1} %, below {least:.1} %")));
            }
        }
    }
    if let Some(rule) = rules.failure_percentage {
        let hosts: Vec<&(u64, Counts)> = counts.iter().filter(of_volume(rule.volume)).collect();
        if hosts.len() >= rule.hosts.max(1) {
            for (record, counts) in hosts {
                let failed = 100.0 - rate(counts);
                if failed >= f64::from(rule.percent) {
                    found.push((*record, 100.0 - failed, format!("{failed:.1} % of its requests failed")));
                }
            }
        }
    }
    if let Some(rule) = rules.latency {
        let slow = |(record, counts): &(u64, Counts)| (*record, counts.latency.as_secs_f64() / counts.samples as f64);
        let enough = |(_, counts): &&(u64, Counts)| counts.samples >= rule.volume.max(1);
        let means: Vec<(u64, f64)> = counts.iter().filter(enough).map(slow).collect();
        if means.len() >= rule.hosts.max(1) {
            let mut sorted: Vec<f64> = means.iter().map(|(_, mean)| *mean).collect();
            sorted.sort_by(f64::total_cmp);
            let median = sorted[sorted.len() / 2];
            for (record, mean) in means.into_iter().filter(|(_, mean)| *mean >= rule.factor * median && median > 0.0) {
                let times = mean / median;
                found.push((record, 100.0 / times, format!("{times:.1} times as slow as the median")));
            }
        }
    }
    found.sort_by(|(_, one, _), (_, other, _)| one.total_cmp(other));
    let mut seen = std::collections::BTreeSet::new();
    found.into_iter().filter(|(record, ..)| seen.insert(*record)).map(|(record, _, reason)| (record, reason)).collect()
}
