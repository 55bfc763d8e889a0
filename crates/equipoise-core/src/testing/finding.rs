use std::fmt;

/// A property of strategies that the [suite](super::Conformance) checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Check {
    /// Only usable endpoints are picked: members that are up, have a weight above 0 and are not excluded. The strategy
    /// does not panic and does not refuse its members.
    Usable,
    /// A pick finds an endpoint if any is usable, also if only one is.
    Finds,
    /// Endpoints with limits are filled up to their limits and never above, and places that become free are used again.
    Limits,
    /// Inside a wrapping strategy that narrows the view and filters endpoints, only endpoints that are shown are
    /// picked.
    Composes,
    /// An explanation names the endpoint that the pick would choose, and changes nothing.
    Explains,
    /// Picks on several threads succeed while members and availability change, none runs forever, and no lease remains
    /// counted.
    Threads,
    /// An endpoint that fails (after 1 ms, after 500 ms, or without an answer until requests are given up) gets no more
    /// requests than its weight's share among the endpoints that the strategy uses; where requests are placed by key, no
    /// more than that or than it gets while it works. At 1, 2, 10 and 50 requests a second, without limits.
    Failing,
    /// Shares follow the weights while no other requests are in flight.
    Weights,
    /// Shares follow the weights also while members and availability change, and after an update that replaces a member
    /// and changes all weights.
    Updates,
    /// Picks do not allocate.
    Allocations,
    /// The endpoints' shares of the keys follow the weights.
    SpreadsKeys,
    /// All requests of one key go to one endpoint.
    KeepsKeys,
    /// An endpoint that goes into maintenance or is excluded moves only its own keys.
    AvailabilityChanges,
    /// An endpoint that is removed moves few keys of other endpoints.
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

    /// The method of [`Conformance`](super::Conformance) that requests the check; `None` if it always runs.
    pub const fn asked_for_by(self) -> Option<&'static str> {
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

/// The result for a strategy that conforms in all checks that ran.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Conforming {
    /// The checks that ran.
    pub done: Vec<Check>,
    /// The checks that did **not** run, because they were not requested.
    pub not_asked_for: Vec<Check>,
}

impl Conforming {
    pub(super) fn of(done: Vec<Check>) -> Self {
        let not_asked_for = Check::ALL.into_iter().filter(|check| !done.contains(check)).collect();
        Self { done, not_asked_for }
    }
}

/// The checks that ran, one per line, and those that did not.
impl fmt::Display for Conforming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the strategy conforms in:")?;
        self.done.iter().try_for_each(|check| write!(f, "\n  {check:?}"))?;
        if !self.not_asked_for.is_empty() {
            f.write_str("\nNOT CHECKED, because not asked for:")?;
        }
        self.not_asked_for.iter().try_for_each(|check| {
            write!(f, "\n  {check:?}, asked for by `{}`", check.asked_for_by().unwrap_or_default())
        })
    }
}

/// A property that the strategy does not have, with evidence.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Finding {
    /// The check that failed.
    pub check: Check,
    /// The seed of the failed case.
    pub seed: u64,
    /// The failed case, and what happened.
    pub evidence: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} (seed {:#x}): {}", self.check, self.seed, self.evidence)
    }
}

/// The error for a strategy that does not conform.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NonConforming {
    /// The first few failed cases of each check: at most three.
    pub findings: Vec<Finding>,
}

impl NonConforming {
    /// Whether the strategy failed this check.
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
