//! A conformance suite for strategies. The suite checks whether your strategy has the properties that a pool and its
//! users rely on.
//!
//! ```
//! use equipoise_core::{RoundRobin, testing::Conformance};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let done = Conformance::new(RoundRobin::new).honours_weights().check()?;
//! println!("{done}"); // also lists what was not checked: here allocations and keys
//! # Ok(())
//! # }
//! ```
//!
//! Some checks apply to every strategy and always run. The others run **only if they are requested**. The result of
//! [`check`](Conformance::check) lists which checks ran and which did not.
//!
//! | requested by | check |
//! | --- | --- |
//! | always | [`Usable`](Check::Usable), [`Finds`](Check::Finds), [`Limits`](Check::Limits), [`Composes`](Check::Composes), [`Explains`](Check::Explains), [`Threads`](Check::Threads), [`Failing`](Check::Failing) |
//! | [`honours_weights`](Conformance::honours_weights) | [`Weights`](Check::Weights), [`Updates`](Check::Updates) |
//! | [`allocations`](Conformance::allocations) | [`Allocations`](Check::Allocations) |
//! | [`spreads_keys`](Conformance::spreads_keys) | [`SpreadsKeys`](Check::SpreadsKeys), [`KeepsKeys`](Check::KeepsKeys) |
//! | [`keeps_keys_on_availability_change`](Conformance::keeps_keys_on_availability_change) | [`AvailabilityChanges`](Check::AvailabilityChanges) |
//! | [`keeps_keys_on_removal`](Conformance::keeps_keys_on_removal) | [`Removals`](Check::Removals) |
//!
//! The clock of the pools changes only when a check changes it, and random numbers come from the
//! [`seed`](Conformance::seed). Failures can therefore be reproduced, except the failures of the check
//! [`Threads`](Check::Threads). The suite does not detect panics in the strategy's hooks, because the pool ignores
//! these panics. The suite does not measure how good the picks are or how long they take.

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
use self::{allocations::Counter, finding::Findings, turns::Turns};
use crate::strategy::{AnyStrategy, Strategy};

/// Creates a new strategy for each pool of the suite.
type Make<'a> = Box<dyn Fn() -> AnyStrategy + 'a>;

/// A conformance suite: it checks whether a strategy has the properties that a pool relies on. Some checks always run.
/// Other checks run only if they are requested with a method of this type. The [module](self) has an example.
#[must_use = "nothing is checked before `check`"]
pub struct Conformance<'a> {
    make: Make<'a>,
    seed: u64,
    may_refuse: bool,
    weights: bool,
    allocations: Option<Counter<'a>>,
    spread: Option<f64>,
    availability_changes: bool,
    removal: Option<f64>,
}

impl<'a> Conformance<'a> {
    /// Creates a suite with the checks that apply to every strategy. The checks use several pools. For each pool, the
    /// suite calls `make` to create a strategy.
    pub fn new<S: Strategy>(make: impl Fn() -> S + 'a) -> Self {
        Self {
            make: Box::new(move || AnyStrategy::new(make())),
            seed: 0x5eed,
            may_refuse: false,
            weights: false,
            allocations: None,
            spread: None,
            availability_changes: false,
            removal: None,
        }
    }

    /// Sets the seed of all random numbers of the suite. Default: 0x5eed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Allows the strategy to refuse requests: while other requests are in flight, it may pick no endpoint although an
    /// endpoint is usable. Default: not allowed. Strategies that limit the load of each endpoint need this setting.
    pub fn may_refuse(mut self) -> Self {
        self.may_refuse = true;
        self
    }

    /// Adds the checks [`Check::Weights`] and [`Check::Updates`]: each endpoint's share of the requests must be
    /// proportional to its weight. The shares must stay proportional while another endpoint is added, removed or
    /// unavailable, and after an update that replaces one endpoint and changes all weights. The suite sends one request
    /// at a time, and all counted requests succeed.
    pub fn honours_weights(mut self) -> Self {
        self.weights = true;
        self
    }

    /// Adds the check [`Check::Allocations`]: picks must not allocate memory.
    ///
    /// `count` must call the closure that is passed to it, and return the number of memory allocations during this
    /// call. This needs a global allocator that counts allocations, such as the allocator of the crate
    /// `allocation-counter`: `|picks| allocation_counter::measure(picks).count_total`.
    pub fn allocations(mut self, count: impl Fn(&mut dyn FnMut()) -> u64 + 'a) -> Self {
        self.allocations = Some(Box::new(count));
        self
    }

    /// Adds the checks [`Check::KeepsKeys`] and [`Check::SpreadsKeys`]: all requests of one key must go to the same
    /// endpoint, and each endpoint's share of the keys must be proportional to its weight. Both must also be true after
    /// an update that replaces one endpoint and changes all weights.
    ///
    /// Each endpoint's share of the keys may differ from its exact value by random variation. In addition, it may
    /// differ by `tolerance`, a fraction of the exact value: 0.1 means 10 %.
    pub fn spreads_keys(mut self, tolerance: f64) -> Self {
        self.spread = Some(tolerance);
        self
    }

    /// Adds the check [`Check::AvailabilityChanges`]: if an endpoint goes into maintenance or is excluded, only the
    /// keys of this endpoint may move to other endpoints. When the endpoint is up again, its keys must return to it.
    pub fn keeps_keys_on_availability_change(mut self) -> Self {
        self.availability_changes = true;
        self
    }

    /// Adds the check [`Check::Removals`]: if an endpoint is removed, few keys of the remaining endpoints may move.
    /// `others` is the maximum number of keys that move between the remaining endpoints, as a fraction of all keys:
    /// 0.01 means 1 %. The check removes single endpoints from pools of 10 and of 40 endpoints.
    pub fn keeps_keys_on_removal(mut self, others: f64) -> Self {
        self.removal = Some(others);
        self
    }

    /// Runs the requested checks and the checks that always run. Returns which checks ran, and which checks did not run
    /// because they were not requested.
    ///
    /// # Errors
    ///
    /// Returns [`NonConforming`] with the findings if the strategy fails a check.
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
        if self.availability_changes {
            keys::availability_changes(make, seed, &mut findings);
            done.push(Check::AvailabilityChanges);
        }
        if let Some(others) = self.removal {
            keys::removal(make, others, seed, &mut findings);
            done.push(Check::Removals);
        }
        findings.into_result().map(|()| Conforming::of(done))
    }

    /// Runs [`check`](Self::check) in a test. Prints which checks ran and which did not. `cargo test` shows this output
    /// with `-- --nocapture`.
    ///
    /// # Panics
    ///
    /// Panics if the strategy fails a check. The message lists the findings.
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
