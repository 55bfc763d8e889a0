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
    Flips,
    /// An endpoint that leaves moves few keys of others.
    Removals,
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
