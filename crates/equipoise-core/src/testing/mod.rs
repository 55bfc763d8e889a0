//! Does a strategy keep what strategies promise? A suite to run against one's own.
//!
//! ```
//! use equipoise_core::{RoundRobin, testing::Conformance};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let done = Conformance::new(RoundRobin::new).honours_weights().check()?;
//! println!("{done}"); // also what was NOT checked: here allocations, and all about keys
//! # Ok(())
//! # }
//! ```
//!
//! Some checks hold for every strategy and always run; those that hold for some only are asked for, and **are not made
//! unless they are**. What [`check`](Conformance::check) answers says which those were.
//!
//! | asked for by | check |
//! | --- | --- |
//! | always | [`Usable`](Check::Usable), [`Finds`](Check::Finds), [`Limits`](Check::Limits), [`Composes`](Check::Composes), [`Explains`](Check::Explains), [`Threads`](Check::Threads), [`Failing`](Check::Failing) |
//! | [`honours_weights`](Conformance::honours_weights) | [`Weights`](Check::Weights), [`Updates`](Check::Updates) |
//! | [`allocations`](Conformance::allocations) | [`Allocations`](Check::Allocations) |
//! | [`spreads_keys`](Conformance::spreads_keys) | [`SpreadsKeys`](Check::SpreadsKeys), [`KeepsKeys`](Check::KeepsKeys) |
//! | [`keeps_keys_on_availability_change`](Conformance::keeps_keys_on_availability_change) | [`AvailabilityChanges`](Check::AvailabilityChanges) |
//! | [`keeps_keys_on_removal`](Conformance::keeps_keys_on_removal) | [`Removals`](Check::Removals) |
//!
//! Time stands still unless a check moves it, and chance comes from the [`seed`](Conformance::seed): but for the checks
//! with threads, a failure fails again. What the suite does not see: panics in hooks (the pool swallows them), whether a
//! score is a wise one, and how long a pick takes.

mod allocations;
mod composed;
mod explained;
mod failing;
mod finding;
mod keys;
mod threads;
mod turns;
mod weights;
mod world;

use std::fmt;

pub use self::finding::{Check, Conforming, Finding, NonConforming};
use self::{finding::Findings, turns::Turns};
use crate::strategy::{AnyStrategy, Strategy};

/// Makes a strategy as the suite needs it: a fresh one for each pool.
type Make<'a> = Box<dyn Fn() -> AnyStrategy + 'a>;
/// Runs what it is given and answers how many allocations that took.
type Counter<'a> = Box<dyn Fn(&mut dyn FnMut()) -> u64 + 'a>;

/// The suite, with what is to be checked: see the [module](self).
#[must_use = "nothing is checked before `check`"]
pub struct Conformance<'a> {
    make: Make<'a>,
    seed: u64,
    may_refuse: bool,
    weights: bool,
    allocations: Option<Counter<'a>>,
    spread: Option<f64>,
    flips: bool,
    removal: Option<f64>,
}

impl<'a> Conformance<'a> {
    /// What every strategy has to keep. `make` is called once for each pool that the suite sets up.
    pub fn new<S: Strategy>(make: impl Fn() -> S + 'a) -> Self {
        Self {
            make: Box::new(move || AnyStrategy::new(make())),
            seed: 0x5eed,
            may_refuse: false,
            weights: false,
            allocations: None,
            spread: None,
            flips: false,
            removal: None,
        }
    }

    /// Draws from another seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// While other requests are under way, the strategy may refuse one that excludes endpoints (as one that bounds their
    /// load does), although somebody is usable.
    pub fn may_refuse(mut self) -> Self {
        self.may_refuse = true;
        self
    }

    /// Of requests that come one after the other and are all answered alike, every endpoint gets its weight's share,
    /// also while members and availability change, and after an update that replaces one of them and reweighs all.
    pub fn honours_weights(mut self) -> Self {
        self.weights = true;
        self
    }

    /// Picks allocate nothing. `count` runs what it is given and answers how many allocations that made: this takes a
    /// global allocator that counts, such as that of the crate `allocation-counter`:
    /// `|picks| allocation_counter::measure(picks).count_total`.
    pub fn allocations(mut self, count: impl Fn(&mut dyn FnMut()) -> u64 + 'a) -> Self {
        self.allocations = Some(Box::new(count));
        self
    }

    /// Requests of one key go to one endpoint, and no endpoint's share of the keys is further than `tolerance` (0.1: a
    /// tenth of it) from what its weight says, chance aside; also after an update that replaces one of them and reweighs
    /// all.
    pub fn spreads_keys(mut self, tolerance: f64) -> Self {
        self.spread = Some(tolerance);
        self
    }

    /// An endpoint that closes, or is excluded, moves its own keys only; they come back with it.
    pub fn keeps_keys_on_availability_change(mut self) -> Self {
        self.flips = true;
        self
    }

    /// When one of ten or of forty endpoints leaves, at most this part (0.01: one in a hundred) of the keys of the others moves.
    pub fn keeps_keys_on_removal(mut self, others: f64) -> Self {
        self.removal = Some(others);
        self
    }

    /// Runs the checks, and answers which they were, and which were not asked for.
    ///
    /// # Errors
    ///
    /// When the strategy does not conform: what was found, with evidence.
    pub fn check(&self) -> Result<Conforming, NonConforming> {
        let (make, seed) = (&*self.make, self.seed);
        let mut findings = Findings::default();
        let turns = Turns { as_check: None, wrapped: "" };
        turns.run(&make, seed, &mut findings);
        turns::limits(&make, seed, &mut findings);
        composed::check(make, seed, &mut findings);
        explained::check(make, seed, &mut findings);
        threads::check(make, seed, self.may_refuse, &mut findings);
        failing::check(make, seed, &mut findings);
        let mut done = vec![
            Check::Usable,
            Check::Finds,
            Check::Limits,
            Check::Composes,
            Check::Explains,
            Check::Threads,
            Check::Failing,
        ];
        if self.weights {
            weights::check(make, seed, &mut findings);
            done.extend([Check::Weights, Check::Updates]);
        }
        if let Some(count) = &self.allocations {
            allocations::check(make, count, seed, &mut findings);
            done.push(Check::Allocations);
        }
        if let Some(tolerance) = self.spread {
            keys::spread(make, tolerance, seed, &mut findings);
            done.extend([Check::SpreadsKeys, Check::KeepsKeys]);
        }
        if self.flips {
            keys::flips(make, seed, &mut findings);
            done.push(Check::AvailabilityChanges);
        }
        if let Some(others) = self.removal {
            keys::removal(make, others, seed, &mut findings);
            done.push(Check::Removals);
        }
        findings.into_result().map(|()| Conforming::of(done))
    }

    /// [`check`](Self::check), for a test. Prints what was and what was not checked; the test harness shows it with
    /// `--nocapture`.
    ///
    /// # Panics
    ///
    /// When the strategy does not conform, with all that was found.
    #[track_caller]
    pub fn assert(&self) {
        match self.check() {
            Ok(conforming) => println!("{conforming}"),
            Err(error) => panic!("{error}"),
        }
    }
}

impl fmt::Debug for Conformance<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conformance")
            .field("strategy", &(self.make)())
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}
