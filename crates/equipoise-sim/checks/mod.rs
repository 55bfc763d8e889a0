//! Checks of the simulator and the strategies against theory and published figures.
//!
//! The binary `checks` runs all of them at full length. `cargo test` runs the quick ones with shorter runs.

mod cures;
mod finding;
mod hashing;
mod linkerd;
mod own;
mod placed;
mod queues;
mod stale;
mod testbed;
mod theory;
mod waiting;

use std::{
    error::Error,
    fmt,
    time::{Duration, Instant},
};

use equipoise_core::StrategySpec;
use equipoise_sim::{Comparison, Contender, Control, Report, Scenario};

use self::finding::{Finding, Findings};

/// Length of the runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Seconds, for tests. Runs are as long as the tolerances require.
    Quick,
    /// Minutes, for the binary.
    Full,
}

/// A known result that the simulator must reproduce.
pub(crate) struct Check {
    /// Number in the table of checks.
    pub(crate) number: &'static str,
    name: &'static str,
    /// Whether a quick run is possible.
    pub(crate) is_quick: bool,
    run: fn(&mut Findings) -> Result<(), Box<dyn Error>>,
}

/// The result of a check.
pub(crate) struct Outcome {
    number: &'static str,
    name: &'static str,
    findings: Vec<Finding>,
    notes: Vec<&'static str>,
    took: Duration,
}

/// All checks in the order of their numbers. Numbers 14 and 15 are reserved for Prequal.
pub(crate) const ALL: &[Check] = &[
    quick("1", "one M/M/1 at 90 %", queues::mm1),
    quick("2", "one round-robin dispatcher makes D/M/1", queues::dm1),
    quick("3", "P2C: the mean-field limit", queues::p2c),
    quick("3b", "P2C: distribution of requests over servers", queues::p2c_levels),
    quick("4", "the longest of 1000 queues at 90 %", queues::longest),
    quick("5", "ten servers: M/M/10 ≤ JSQ < JIQ < P2C", waiting::order),
    quick("6", "processor sharing with 4 cores is M/M/4, whatever the work", queues::sharing),
    quick("7", "old load snapshots: P2C and JSQ", stale::snapshots),
    quick("8", "ring: shares of 100", hashing::ring),
    quick("9", "Maglev: one endpoint leaves", hashing::maglev),
    quick("10", "jump: one endpoint joins 100", hashing::jump),
    quick("11", "bounded loads: Zipf keys on 50, 1000 in flight", placed::bounded),
    long("12", "half of the servers half as fast, at 90 %", testbed::fast_and_slow),
    long("13", "overload, 1.41 times", testbed::ramp),
    long("16", "100 and 3000 clients, at 1.03 times", testbed::clients),
    quick("17", "a sinkhole's share of 100", testbed::sinkhole),
    long("18", "equal servers without antagonists at 70 %: all strategies are alike", testbed::calm_and_alike),
    quick("19", "a hedge at p95", cures::hedge),
    quick("20", "retries: a collapse sustains itself", cures::retries),
    quick("21", "linkerd's scenario: one of 11 at 2 s for half of the time", linkerd::success),
];

const fn quick(
    number: &'static str,
    name: &'static str,
    run: fn(&mut Findings) -> Result<(), Box<dyn Error>>,
) -> Check {
    Check { number, name, is_quick: true, run }
}

const fn long(number: &'static str, name: &'static str, run: fn(&mut Findings) -> Result<(), Box<dyn Error>>) -> Check {
    Check { number, name, is_quick: false, run }
}

impl Check {
    /// Runs the check.
    pub(crate) fn run(&self, effort: Effort) -> Result<Outcome, Box<dyn Error>> {
        let begun = Instant::now();
        let mut findings = Findings::new(effort);
        (self.run)(&mut findings)?;
        let Findings { all, notes, .. } = findings;
        Ok(Outcome { number: self.number, name: self.name, findings: all, notes, took: begun.elapsed() })
    }
}

impl Outcome {
    /// Returns whether all findings are as expected.
    pub(crate) fn holds(&self) -> bool {
        self.findings.iter().all(Finding::holds)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<3} {} ({:.1} s)", self.number, self.name, self.took.as_secs_f64())?;
        self.findings.iter().try_for_each(|finding| writeln!(f, "{finding}"))?;
        self.notes.iter().flat_map(|note| note.lines()).try_for_each(|line| writeln!(f, "    {line}"))
    }
}

/// Runs strategies by name, for this number of seeds.
fn compare(scenario: &Scenario, names: &[&str], seeds: u64) -> Result<Comparison, Box<dyn Error>> {
    let specs = names.iter().map(|name| name.parse()).collect::<Result<Vec<StrategySpec>, _>>()?;
    let contenders: Vec<&dyn Contender> = specs.iter().map(|spec| spec as &dyn Contender).collect();
    Ok(Comparison::run(scenario, &contenders, seeds, &Control::new())?.complete()?)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Returns a figure of a report in multiples of `unit`.
fn mean(unit: Duration) -> impl Fn(&Report) -> f64 {
    move |report| report.latency.mean().div_duration_f64(unit)
}

fn p99(unit: Duration) -> impl Fn(&Report) -> f64 {
    move |report| report.latency.p99().div_duration_f64(unit)
}

fn p999(unit: Duration) -> impl Fn(&Report) -> f64 {
    move |report| report.latency.p999().div_duration_f64(unit)
}
