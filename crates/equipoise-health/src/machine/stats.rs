use equipoise_core::Availability;

use super::{AvailabilityChange, Source};
use crate::settings::CheckPolicy;

/// What a [`Machine`](super::Machine) has counted since it was created, over all endpoints, those that have left
/// included. For metrics: the numbers never decrease.
///
/// With the feature `serde`, a `HealthStats` can be serialized. Availabilities are serialized as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct HealthStats {
    /// The numbers of changes of endpoints' availability, by the source of the change and by the new availability.
    /// Combinations that have not occurred are left out, so the list has at most 20 items.
    pub changes: Vec<ChangeCount>,
    /// The number of ejections by outlier detection. If an endpoint that is ejected already is ejected anew, because its
    /// request on probation has failed, the number grows too.
    pub ejections: u64,
    /// The number of ejections and pauses that were not carried out, because outlier detection kept out the maximum
    /// number of endpoints ([`max_ejection_percent`](crate::Outliers::max_ejection_percent)). A number that grows means
    /// that more endpoints fail than outlier detection may keep out.
    pub prevented: u64,
    /// The number of pauses: endpoints that got no requests for a time, because they had sent `Retry-After`.
    pub pauses: u64,
    /// The numbers of probes that have ended, one item for each name of a check, in the order of the checks. If a check
    /// is [replaced](super::Machine::replace_checks) by one of the same name, its numbers go on. The numbers of a check
    /// that is gone are dropped.
    pub probes: Vec<ProbeCounts>,
}

/// How many changes of endpoints' availability had one source and led to one availability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ChangeCount {
    /// The source of the changes: see [`AvailabilityChange::source`].
    pub source: Source,
    /// The availability after the changes.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::format::display"))]
    pub to: Availability,
    /// The number of these changes.
    pub count: u64,
}

/// How many probes of one check have ended, by result. Probes that were cancelled because their endpoint has left, or
/// because their check was replaced, are not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ProbeCounts {
    /// The name of the check.
    pub check: String,
    /// The number of probes that have passed. If the check asks an agent: the number of its replies, whatever state they
    /// report.
    pub passed: u64,
    /// The number of probes that have failed, those without an answer in time included.
    pub failed: u64,
    /// The number of probes that say nothing about the endpoint, for example because the operating system forbids them,
    /// or because an agent did not answer.
    pub inconclusive: u64,
}

/// How a probe has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProbeResult {
    Passed,
    Failed,
    Inconclusive,
}

impl HealthStats {
    /// Counts the probes of these checks from now on. Checks with the name of an earlier one keep its numbers.
    pub(super) fn set_checks(&mut self, checks: &[CheckPolicy]) {
        let mut old = std::mem::take(&mut self.probes);
        for CheckPolicy { name, .. } in checks {
            // Several checks may have the same name.
            if self.probes.iter().any(|counts| counts.check == *name) {
                continue;
            }
            let counts = old.iter_mut().find(|counts| counts.check == *name).map(std::mem::take);
            self.probes.push(counts.unwrap_or_else(|| ProbeCounts { check: name.clone(), ..ProbeCounts::default() }));
        }
    }

    pub(super) fn probe_ended(&mut self, check: &str, result: ProbeResult) {
        let Some(counts) = self.probes.iter_mut().find(|counts| counts.check == check) else { return };
        match result {
            ProbeResult::Passed => counts.passed += 1,
            ProbeResult::Failed => counts.failed += 1,
            ProbeResult::Inconclusive => counts.inconclusive += 1,
        }
    }

    pub(super) fn changed(&mut self, change: &AvailabilityChange) {
        let is_same = |counted: &&mut ChangeCount| counted.source == change.source && counted.to == change.to;
        match self.changes.iter_mut().find(is_same) {
            Some(counted) => counted.count += 1,
            None => self.changes.push(ChangeCount { source: change.source, to: change.to, count: 1 }),
        }
    }
}
