//! Hedges and retries.

use std::{error::Error, time::Duration};

use equipoise_sim::{Fault, Report, Scenario, Server, Work};

use super::{compare, finding::Findings, ms, p999, theory};

/// Beyond the hedge delay (3.00 means) both attempts must be slow, so the tail falls twice as fast.
pub(super) fn hedge(found: &mut Findings) -> Result<(), Box<dyn Error>> {
    let second = Duration::from_secs(1);
    let scenario = Scenario::of(100, Server::delay()).rate(1_000.0).work(Work::exponential(second));
    let scenario = scenario.lasting(second * found.pick(500, 3_000));
    let after = theory::quantile(0.95);
    let alone = compare(&scenario, &["random"], found.pick(1, 4))?;
    let hedged = compare(&scenario.hedge(second.mul_f64(after)), &["random"], found.pick(1, 4))?;
    let expected = (theory::quantile(0.999) + after) / 2.0;
    let more = |report: &Report| 100.0 * (report.attempts as f64 / report.ends.total() as f64 - 1.0);
    found.near("p99.9 without", theory::quantile(0.999), alone.spread(0, p999(second)), 0.02);
    found.near("p99.9 with", expected, hedged.spread(0, p999(second)), 0.02);
    found.near("more attempts, %", 5.0, hedged.spread(0, more), 0.02);
    Ok(())
}

/// The settings for retries.
#[derive(Clone, Copy)]
struct Retries {
    max: u32,
    budget: Option<f64>,
}

/// Returns the share of requests that are answered long after all servers stalled for 4 s (if `stall`). Clients time
/// out after 1 s and retry, and servers still finish timed-out requests.
fn answered(found: &Findings, load: f64, again: Retries, stall: bool) -> Result<f64, Box<dyn Error>> {
    let scenario = Scenario::of(5, Server::fifo(1)).load(load).work(Work::constant(ms(10))).without_cancelling();
    let scenario = scenario.timeout(ms(1_000)).max_retries(again.max);
    let scenario = again.budget.map_or(scenario.clone(), |budget| scenario.retry_budget(budget));
    let stalls = (0..if stall { 5 } else { 0 }).map(|server| Fault::stall(server).from(ms(5_000)).lasting(ms(4_000)));
    let scenario = stalls.fold(scenario, Scenario::fault);
    let scenario = scenario.lasting(Duration::from_secs(found.pick(250, 1_000))).warm_up(0.9);
    // Round robin, because with a random strategy a long queue could cause the collapse close to a load of 1.
    Ok(compare(&scenario, &["round-robin"], 1)?.spread(0, |report: &Report| 1.0 - report.error_rate()).mean)
}

pub(super) fn retries(found: &mut Findings) -> Result<(), Box<dyn Error>> {
    let twice = Retries { max: 2, budget: None };
    let fifth = Retries { max: 2, budget: Some(0.2) };
    let tenth = Retries { max: 2, budget: Some(0.1) };
    for (name, again, extra) in [("two retries", twice, 2.0), ("20 % budget", fifth, 0.2), ("10 % budget", tenth, 0.1)]
    {
        let theory = 1.0 / (1.0 + extra);
        let (mut recovers, mut sustains) = (0.9 * theory, 1.1 * theory);
        for _ in 0..found.pick(3, 5) {
            let between = (recovers + sustains) / 2.0;
            let end = if answered(found, between, again, true)? > 0.5 { &mut recovers } else { &mut sustains };
            *end = between;
        }
        let threshold = (recovers + sustains) / 2.0;
        found.near(format!("{name}: collapsed for good from load"), theory, threshold, 0.05);
        let (below, above) = (0.95 * theory, 1.05 * theory);
        found.at_least(format!("{name}: answered at {below:.3}"), 0.99, answered(found, below, again, true)?);
        found.at_most(format!("{name}: answered at {above:.3}"), 0.01, answered(found, above, again, true)?);
        let undisturbed = answered(found, above, again, false)?;
        found.at_least(format!("{name}: at {above:.3} without a stall"), 0.99, undisturbed);
    }
    Ok(())
}
