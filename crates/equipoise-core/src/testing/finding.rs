use std::fmt;

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Check {
    /// Whoever is picked may be: a member that is open, of a weight above 0 and not excluded; whatever has changed
    /// before. Nor does the strategy panic or refuse its members.
    Usable,
    /// Somebody is picked if anybody may be, also if it is the only one left.
    Finds,
    /// All places of endpoints with limits are given out, none beyond, and those that come back are given out again.
    Limits,
    /// Within a wrapping strategy that hands on a part of the view, and filters, it keeps to what it is shown.
    Composes,
    /// An explanation names whom the pick takes, and takes nothing itself.
    Explains,
    /// Picks on several threads go on while members and availability change, nobody starves, and nothing is left of it.
    Threads,
    /// An endpoint that fails (after 1 ms, after 500 ms, or without an answer until requests are given up) gets no more
    /// requests than its weight's share among the endpoints that the strategy uses; where requests are placed by key, no
    /// more than that or than it gets while it works. At 1, 2, 10 and 50 requests a second, without limits.
    Failing,
    /// Idle shares are the weights.
    Weights,
    /// And remain so while others come, go, close and open, and when another takes an endpoint's place and all weights
    /// change.
    Updates,
    /// Picks allocate nothing.
    Allocations,
    /// Endpoints' shares of the keys are the weights.
    SpreadsKeys,
    /// One key, one endpoint.
    KeepsKeys,
    /// An endpoint that closes or is excluded moves its own keys only.
    AvailabilityChanges,
    /// An endpoint that leaves moves few keys of others.
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

    /// The method of [`Conformance`](super::Conformance) that asks for it; `None` if it is always made.
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

/// The strategy conforms, as far as it was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Conforming {
    /// The checks that were made.
    pub done: Vec<Check>,
    /// Those that were **not** made, because nobody asked for them: of these nothing is known.
    pub not_asked_for: Vec<Check>,
}

impl Conforming {
    pub(super) fn of(done: Vec<Check>) -> Self {
        let not_asked_for = Check::ALL.into_iter().filter(|check| !done.contains(check)).collect();
        Self { done, not_asked_for }
    }
}

/// What was checked, a line each, and what was not.
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

/// One thing that is not as it should be.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Finding {
    /// What was checked.
    pub check: Check,
    /// What the case was drawn from.
    pub seed: u64,
    /// The case, and what happened.
    pub evidence: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} (seed {:#x}): {}", self.check, self.seed, self.evidence)
    }
}

/// The strategy does not conform.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NonConforming {
    /// In what: the first few cases for each check.
    pub findings: Vec<Finding>,
}

impl NonConforming {
    /// Whether this check was failed.
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

/// One case shows a fault, a few show a pattern, more hide the other faults.
const MOST_OF_A_KIND: usize = 3;

#[derive(Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn note(&mut self, check: Check, seed: u64, evidence: impl Into<String>) {
        if self.0.iter().filter(|finding| finding.check == check).count() < MOST_OF_A_KIND {
            self.0.push(Finding { check, seed, evidence: evidence.into() });
        }
    }

    pub(super) fn into_result(self) -> Result<(), NonConforming> {
        if self.0.is_empty() { Ok(()) } else { Err(NonConforming { findings: self.0 }) }
    }
}
