use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use equipoise_core::MissReason;

use crate::outcome::{Outcome, Unbound};

/// What has become of requests so far.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    kept: AtomicU64,
    keyed: AtomicU64,
    new: AtomicU64,
    refused: AtomicU64,
    limited: AtomicU64,
    failed: AtomicU64,
    unbound: [AtomicU64; Unbound::LABELS.len()],
    moved: [AtomicU64; MissReason::ALL.len()],
    away: [AtomicU64; MissReason::ALL.len()],
}

fn one_more(counter: Option<&AtomicU64>) {
    if let Some(counter) = counter {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Counters {
    /// A request found no binding.
    pub(crate) fn unbound(&self, why: Unbound) {
        one_more(self.unbound.get(why.index()));
    }

    /// A request was not let in.
    pub(crate) fn refused(&self) {
        one_more(Some(&self.refused));
    }

    /// A session was not remembered because its source had begun as many as it may.
    pub(crate) fn limited(&self) {
        one_more(Some(&self.limited));
    }

    /// A request ended in an error.
    pub(crate) fn failed(&self) {
        one_more(Some(&self.failed));
    }

    /// A request was answered.
    pub(crate) fn answered(&self, outcome: &Outcome) {
        let of = |counters: &'_ [AtomicU64; MissReason::ALL.len()], why| {
            one_more(MissReason::ALL.iter().position(|missed| *missed == why).and_then(|at| counters.get(at)));
        };
        match outcome {
            Outcome::Unbound(_) => {}
            Outcome::Kept => one_more(Some(&self.kept)),
            Outcome::Keyed => one_more(Some(&self.keyed)),
            Outcome::New(_) => one_more(Some(&self.new)),
            Outcome::Moved { why, .. } => of(&self.moved, *why),
            Outcome::Away { why, .. } => of(&self.away, *why),
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let unbound = Unbound::LABELS.iter().zip(&self.unbound).map(|(label, counter)| (*label, read(counter)));
        let missed = |counters: &[AtomicU64; MissReason::ALL.len()]| {
            MissReason::ALL
                .iter()
                .zip(counters)
                .map(|(why, counter)| (*why, read(counter)))
                .filter(|(_, n)| *n > 0)
                .collect()
        };
        Stats {
            kept: read(&self.kept),
            keyed: read(&self.keyed),
            new: read(&self.new),
            refused: read(&self.refused),
            limited: read(&self.limited),
            failed: read(&self.failed),
            unbound: unbound.filter(|(_, n)| *n > 0).collect(),
            moved: missed(&self.moved),
            away: missed(&self.away),
        }
    }
}

/// How many requests were bound how: see [`Affinity::stats`](crate::Affinity::stats). Prints as one line a number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Answered by the endpoint that they belong to: the hits.
    pub kept: u64,
    /// Placed by the strategy, by their key.
    pub keyed: u64,
    /// Bound for the first time.
    pub new: u64,
    /// Not let in, because they had no binding ([`Fallback::Refuse`](crate::Fallback::Refuse)).
    pub refused: u64,
    /// Sessions that were not remembered because their source had begun as many as its
    /// [limit](crate::Affinity::session_limit) allows.
    pub limited: u64,
    /// Ended in an error: their endpoint could not have them and nobody else was to
    /// ([`Fallback`](crate::Fallback)), or whoever had them failed.
    pub failed: u64,
    /// Came without a binding, by [reason](Unbound::as_str): the misses. Reasons that never occurred are left out.
    pub unbound: Vec<(&'static str, u64)>,
    /// Moved to another endpoint for good, by reason.
    pub moved: Vec<(MissReason, u64)>,
    /// Answered elsewhere this once, by reason.
    pub away: Vec<(MissReason, u64)>,
}

impl Stats {
    /// The requests that came without a binding, for whatever reason.
    pub fn misses(&self) -> u64 {
        self.unbound.iter().map(|(_, n)| n).sum()
    }

    /// How many came without a binding for this [reason](Unbound::as_str).
    pub fn unbound_for(&self, reason: &str) -> u64 {
        self.unbound.iter().filter(|(label, _)| *label == reason).map(|(_, n)| n).sum()
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "kept {}\nkeyed {}\nnew {}\nrefused {}\nlimited {}\nfailed {}",
            self.kept, self.keyed, self.new, self.refused, self.limited, self.failed
        )?;
        for (why, n) in &self.unbound {
            write!(f, "\nunbound ({why}) {n}")?;
        }
        for (why, n) in &self.moved {
            write!(f, "\nmoved ({why}) {n}")?;
        }
        for (why, n) in &self.away {
            write!(f, "\naway ({why}) {n}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_counter_of_its_own() {
        let reasons = [
            Unbound::Off,
            Unbound::Absent,
            Unbound::Oversized,
            Unbound::Unknown,
            Unbound::Expired,
            Unbound::StoreAway,
            Unbound::StoreGarbage,
            Unbound::Token(crate::token::Refused::Malformed),
            Unbound::Token(crate::token::Refused::UnknownKey { kid: 1 }),
            Unbound::Token(crate::token::Refused::Forged),
            Unbound::Token(crate::token::Refused::KeyExpired { kid: 1 }),
            Unbound::Token(crate::token::Refused::Stale),
        ];
        let counters = Counters::default();
        for why in reasons {
            counters.unbound(why);
            assert_eq!(counters.stats().unbound_for(why.as_str()), 1, "{why}");
        }
        for why in MissReason::ALL {
            counters.answered(&Outcome::Moved { from: "a".into(), why });
        }
        assert_eq!(counters.stats().moved, MissReason::ALL.map(|why| (why, 1)));
    }
}
