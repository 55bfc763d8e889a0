use std::fmt;

/// A check of the [conformance suite](super::Conformance): one property that a strategy must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Check {
    /// Checks that the strategy picks only usable endpoints. An endpoint is usable if it is up, has a weight above 0,
    /// and is not excluded by the request. The strategy must not panic. It must build a picker without an error for
    /// every set of endpoints and availabilities.
    Usable,
    /// Checks that the strategy picks an endpoint for every request for which at least one endpoint is usable. An
    /// endpoint is usable if it is up, has a weight above 0, and is not excluded by the request.
    Finds,
    /// Checks picks in a pool in which each endpoint has a maximum number of requests in flight. The strategy must pick
    /// endpoints until all endpoints have reached their maximum. No endpoint may exceed its maximum. When requests end,
    /// the strategy must pick the endpoints that are below their maximum again.
    Limits,
    /// Checks that the strategy works as the inner strategy of an outer strategy, such as
    /// [`SlowStart`](crate::SlowStart). The outer strategy lets the inner strategy pick from only a part of the
    /// endpoints. The inner strategy must not pick any other endpoint.
    Composes,
    /// Checks that an explanation of a pick ([`Pool::explain`](crate::Pool::explain)) names the endpoint that the pick
    /// would choose. The explanation must not change the pool or the next pick.
    Explains,
    /// Checks that picks on several threads succeed while endpoints are added and removed and their availability
    /// changes. No pick may hang. When all leases have ended, no request may still be counted as in flight.
    Threads,
    /// Checks that a failing endpoint gets at most its share of the requests. The share is the weight of the endpoint,
    /// divided by the sum of the weights of all endpoints that the strategy uses. Exception: if the key of a request
    /// decides its endpoint (hashing strategies), the failing endpoint may get as many requests as it gets while it
    /// works.
    ///
    /// The check runs with three kinds of failures:
    ///
    /// - Each request fails after 1 ms.
    /// - Each request fails after 500 ms.
    /// - The endpoint never responds, and callers abandon the requests.
    ///
    /// Requests arrive at 1, 2, 10 and 50 per second. The endpoints have no maximum number of requests in flight.
    Failing,
    /// Checks that each endpoint's share of the requests is proportional to its weight. The check sends one request at
    /// a time.
    Weights,
    /// Checks that each endpoint's share of the requests stays proportional to its weight while another endpoint is
    /// added, becomes unavailable, becomes available again and is removed. The shares must also be right after an
    /// update that replaces one endpoint and changes all weights.
    Updates,
    /// Checks that picks do not allocate memory.
    Allocations,
    /// Checks that each endpoint's share of the keys is proportional to its weight.
    SpreadsKeys,
    /// Checks that all requests with the same key go to the same endpoint.
    KeepsKeys,
    /// Checks which keys move to other endpoints if one endpoint goes into maintenance or is excluded: only the keys of
    /// this endpoint may move. When the endpoint is up again, its keys must return to it.
    AvailabilityChanges,
    /// Checks that few keys of the remaining endpoints move if one endpoint is removed. The maximum is the fraction of
    /// all keys that was passed to [`keeps_keys_on_removal`](super::Conformance::keeps_keys_on_removal).
    Removals,
}

impl Check {
    const ALL: [Self; 14] = [
        Self::Usable,
        Self::Finds,
        Self::Limits,
        Self::Composes,
        Self::Explains,
        Self::Threads,
        Self::Failing,
        Self::Weights,
        Self::Updates,
        Self::Allocations,
        Self::SpreadsKeys,
        Self::KeepsKeys,
        Self::AvailabilityChanges,
        Self::Removals,
    ];

    /// Returns the name of the method of [`Conformance`](super::Conformance) that adds this check. `None` if the check
    /// always runs.
    pub const fn requested_by(self) -> Option<&'static str> {
        match self {
            Self::Usable
            | Self::Finds
            | Self::Limits
            | Self::Composes
            | Self::Explains
            | Self::Threads
            | Self::Failing => None,
            Self::Weights | Self::Updates => Some("honours_weights"),
            Self::Allocations => Some("allocations"),
            Self::SpreadsKeys | Self::KeepsKeys => Some("spreads_keys"),
            Self::AvailabilityChanges => Some("keeps_keys_on_availability_change"),
            Self::Removals => Some("keeps_keys_on_removal"),
        }
    }
}

/// The result of a [conformance suite](super::Conformance) that the strategy has passed: all checks that ran succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Conforming {
    /// The checks that ran. The strategy has passed all of them.
    pub done: Vec<Check>,
    /// The checks that did **not** run, because they were not requested.
    pub not_requested: Vec<Check>,
}

impl Conforming {
    pub(super) fn of(done: Vec<Check>) -> Self {
        let not_requested = Check::ALL.into_iter().filter(|check| !done.contains(check)).collect();
        Self { done, not_requested }
    }
}

/// Lists the checks that ran, one per line, and then the checks that did not run.
impl fmt::Display for Conforming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the strategy conforms in:")?;
        self.done.iter().try_for_each(|check| write!(f, "\n  {check:?}"))?;
        if !self.not_requested.is_empty() {
            f.write_str("\nNOT CHECKED, because not requested:")?;
        }
        self.not_requested.iter().try_for_each(|check| {
            write!(f, "\n  {check:?}: request it with `{}`", check.requested_by().unwrap_or_default())
        })
    }
}

/// A case in which the strategy has failed a check of the [conformance suite](super::Conformance), with evidence.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Finding {
    /// The check that failed.
    pub check: Check,
    /// The seed of the random numbers in the failed case.
    pub seed: u64,
    /// A description of the failed case and of what happened in it.
    pub evidence: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} (seed {:#x}): {}", self.check, self.seed, self.evidence)
    }
}

/// The error for a strategy that has failed a check of the [conformance suite](super::Conformance).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NonConforming {
    /// The failed cases: at most the first three of each check.
    pub findings: Vec<Finding>,
}

impl NonConforming {
    /// Returns whether the strategy has failed this check.
    pub fn fails(&self, check: Check) -> bool {
        self.findings.iter().any(|finding| finding.check == check)
    }
}

impl fmt::Display for NonConforming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the strategy does not conform:")?;
        self.findings.iter().try_for_each(|finding| write!(f, "\n  {finding}"))
    }
}

impl std::error::Error for NonConforming {}

/// The maximum number of findings per check. A few show a pattern; more would hide findings of other checks.
const MAX_FINDINGS_PER_CHECK: usize = 3;

#[derive(Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn note(&mut self, check: Check, seed: u64, evidence: impl Into<String>) {
        if self.0.iter().filter(|finding| finding.check == check).count() < MAX_FINDINGS_PER_CHECK {
            self.0.push(Finding { check, seed, evidence: evidence.into() });
        }
    }

    pub(super) fn into_result(self) -> Result<(), NonConforming> {
        if self.0.is_empty() { Ok(()) } else { Err(NonConforming { findings: self.0 }) }
    }
}
