//! Queues with known theory.

use std::{error::Error, time::Duration};

use equipoise_sim::{Report, Scenario, Server, Work};

use super::{compare, finding::Findings, mean, ms, p99, theory};

const SERVICE: Duration = ms(10);
const LOAD: f64 = 0.9;

/// Servers that work on one request at a time.
fn servers(count: usize, load: f64, services: u32) -> Scenario {
    Scenario::of(count, Server::fifo(1)).load(load).work(Work::exponential(SERVICE)).lasting(SERVICE * services)
}

/// With random picks every server is an M/M/1 queue, so a hundred queues are measured at once.
///
/// The number in an M/M/1 averaged over t service times has a variance of 2ρ(1 + ρ) / (1 − ρ)⁴ / t (Whitt 1989): for a
/// standard deviation of 0.5 % it takes 17 million requests, for 2 % a million: a third of the tolerance.
pub(super) fn mm1(found: &mut Findings) -> Result<(), Box<dyn Error>> {
    let scenario = servers(100, LOAD, found.pick(50_000, 60_000));
    let runs = compare(&scenario, &["random"], found.pick(1, 4))?;
    found.near("mean", 1.0 / (1.0 - LOAD), runs.spread(0, mean(SERVICE)), 0.03);
    found.near("p99", theory::quantile(0.99) / (1.0 - LOAD), runs.spread(0, p99(SERVICE)), 0.03);
    Ok(())
}

pub(super) fn dm1(found: &mut Findings) -> Result<(), Box<dyn Error>> {
    let scenario = servers(1_000, LOAD, found.pick(4_000, 6_000));
    let runs = compare(&scenario, &["round-robin"], found.pick(1, 4))?;
    let sigma = theory::dm1(LOAD);
    found.near("mean", 1.0 / (1.0 - sigma), runs.spread(0, mean(SERVICE)), 0.02);
    found.near("p99", theory::quantile(0.99) / (1.0 - sigma), runs.spread(0, p99(SERVICE)), 0.02);
    Ok(())
}

pub(super) fn p2c(found: &mut Findings) -> Result<(), Box<dyn Error>> {
    for load in [0.7, 0.9, 0.95] {
        let scenario = servers(1_000, load, found.pick(1_200, 4_000));
        let runs = compare(&scenario, &["p2c"], found.pick(1, 4))?;
        found.near(format!("mean at {load}"), theory::best_of(load, 2), runs.spread(0, mean(SERVICE)), 0.03);
    }
    Ok(())
}

pub(super) fn p2c_levels(found: &mut Findings) -> Result<(), Box<dyn Error>> {
    let scenario = servers(1_000, LOAD, found.pick(2_500, 4_000));
    let runs = compare(&scenario, &["p2c", "p2c(choices=3)"], found.pick(1, 4))?;
    for length in 1..=5 {
        let seen = runs.spread(0, |report: &Report| report.in_flight.at_least(length as usize));
        found.within(format!("s{length}"), theory::level(LOAD, 2, length), seen, 0.01);
    }
    found.near("mean with 3 choices", theory::best_of(LOAD, 3), runs.spread(1, mean(SERVICE)), 0.02);
    Ok(())
}

/// In the limit servers are independent, so the longest queue is the longest of a thousand draws. JSQ has no queue
/// longer than one, because a hundred of a thousand servers are idle.
pub(super) fn longest(found: &mut Findings) -> Result<(), Box<dyn Error>> {
    let names = ["p2c", "p2c(choices=3)", "least-connections", "round-robin", "random"];
    let sigma = theory::dm1(LOAD);
    let expected = [
        theory::longest(1_000, |length| theory::level(LOAD, 2, length)),
        theory::longest(1_000, |length| theory::level(LOAD, 3, length)),
        1.0,
        theory::longest(1_000, |length| LOAD * sigma.powi(length - 1)),
        theory::longest(1_000, |length| LOAD.powi(length)),
    ];
    // The last two take thousands of service times to reach the steady state.
    let names = &names[..found.pick(3, 5)];
    let runs = compare(&servers(1_000, LOAD, found.pick(600, 6_000)), names, found.pick(1, 2))?;
    for (at, (name, expected)) in names.iter().zip(expected).enumerate() {
        found.near(*name, expected, runs.spread(at, |report| report.in_flight.mean_of_max), 0.15);
    }
    Ok(())
}

/// Under processor sharing with at most one core per job, the mean does not depend on the distribution of work.
pub(super) fn sharing(found: &mut Findings) -> Result<(), Box<dyn Error>> {
    let mean_work = ms(80);
    let shapes = [("normal", Work::normal(mean_work, 1.0)), ("Pareto", Work::pareto(mean_work, 1.5, 100.0))];
    for load in [0.7, 0.9] {
        for (shape, work) in &shapes[..found.pick(1, 2)] {
            let scenario = Scenario::of(100, Server::sharing(4.0)).load(load).work(*work);
            let scenario = scenario.lasting(mean_work * found.pick(3_000, 30_000));
            let runs = compare(&scenario, &["random"], found.pick(1, 4))?;
            let expected = theory::mmc(4, load) * 80.0;
            found.near(format!("mean at {load}, {shape} work, ms"), expected, runs.spread(0, mean(ms(1))), 0.01);
        }
    }
    Ok(())
}
