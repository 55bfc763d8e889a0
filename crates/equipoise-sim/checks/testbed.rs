//! Prequal's testbed: many clients, servers with four shared cores, and others on their machines.

use std::{error::Error, time::Duration};

use equipoise_core::Edf;
use equipoise_sim::{Antagonists, Comparison, Control, Fault, Network, Report, Scenario, Server, Work, named};

use super::{
    compare,
    finding::Findings,
    ms,
    own::{Among, ByChance},
    p99, p999,
};

const NAMES: [&str; 6] = ["peak-ewma", "least-connections", "p2c", "round-robin", "random", "least-time"];

fn calm(clients: usize) -> Scenario {
    Scenario::of(100, Server::sharing(4.0))
        .clients(clients)
        .work(Work::normal(ms(80), 1.0))
        .network(Network::local())
        .timeout(ms(5_000))
}

/// Nobody else wants the machines, so that servers get more than their allocation.
fn roomy(clients: usize) -> Scenario {
    calm(clients).antagonists(Antagonists::new(0.0))
}

fn crowded(clients: usize) -> Scenario {
    calm(clients).antagonists(Antagonists::new(0.15))
}

/// What others saw beside what is seen here.
fn tell(found: &mut Findings, runs: &Comparison, figure: impl Fn(&Report) -> f64, seen: [&str; 6]) {
    for (at, (name, seen)) in NAMES.into_iter().zip(seen).enumerate() {
        found.tell(format!("{name}, ms"), seen, runs.spread(at, &figure));
    }
}

pub(super) fn fast_and_slow(found: &mut Findings) -> Result<(), Box<dyn Error>> {
    let scenario = crowded(100).load(0.9).each(|at, server| if at % 2 == 0 { server.speed(0.5) } else { server });
    let runs = compare(&scenario, &NAMES, 5)?;
    let of = |at| runs.spread(at, p99(ms(1))).mean;
    found.rising("p99", &[("EWMA", of(0)), ("LL", of(1)), ("LL-P2C", of(2)), ("RR", of(3))]);
    found.rising("p99", &[("LL-P2C", of(2)), ("random", of(4))]);
    tell(found, &runs, p99(ms(1)), ["490", "2017", "2316", "time-out", "time-out", ""]);
    let fewest = named("LL, any of the fewest", |_| ByChance(Among::Fewest));
    let fewest = Comparison::run(&scenario, &[&fewest], 5, &Control::new())?.complete()?;
    found.tell("LL that picks any of the fewest, ms", "2017", fewest.spread(0, p99(ms(1))));
    Ok(())
}

pub(super) fn ramp(found: &mut Findings) -> Result<(), Box<dyn Error>> {
    let runs = compare(&crowded(100).load(1.41), &NAMES, 5)?;
    let of = |at| runs.spread(at, p999(ms(1))).mean;
    found.rising("p99.9", &[("EWMA", of(0)), ("LL-P2C", of(2)), ("RR", of(3))]);
    tell(found, &runs, p999(ms(1)), ["1629", "", "2601", "", "", ""]);
    Ok(())
}

/// What a client knows of its own requests alone fades as it sends fewer of them, until it picks at random.
pub(super) fn clients(found: &mut Findings) -> Result<(), Box<dyn Error>> {
    let (few, many) = (compare(&crowded(100).load(1.03), &NAMES, 5)?, compare(&crowded(3_000).load(1.03), &NAMES, 3)?);
    let (few_of, many_of) = (|at| few.spread(at, p99(ms(1))).mean, |at| many.spread(at, p99(ms(1))).mean);
    found.rising("EWMA's p99", &[("100", few_of(0)), ("3000", many_of(0))]);
    found.rising("LL-P2C's p99", &[("100", few_of(2)), ("3000", many_of(2))]);
    tell(found, &few, p99(ms(1)), ["330", "", "771", "", "", ""]);
    tell(found, &many, p99(ms(1)), ["4719", "", "4137", "", "", ""]);
    Ok(())
}

/// Who fails fast has few in flight, so that least-request strategies love it.
pub(super) fn sinkhole(found: &mut Findings) -> Result<(), Box<dyn Error>> {
    let share = |report: &Report| report.share(0);
    for (clients, elsewhere) in [(1, "0.27"), (100, "")] {
        let scenario = calm(clients).fault(Fault::sinkhole(0)).lasting(Duration::from_secs(found.pick(10, 40)));
        let runs = compare(&scenario, &NAMES, found.pick(1, 5))?;
        let of = |name| format!("{name}, {clients} clients");
        // It is drawn with probability 2/n and cannot get more. The rest is chance: four standard deviations.
        let attempts = runs.spread(2, |report| report.attempts as f64).mean;
        found.at_most(of("p2c"), 0.02 + 4.0 * (0.02 / attempts).sqrt(), runs.spread(2, share));
        found.at_most(of("peak-ewma"), 0.01, runs.spread(0, share));
        found.tell(of("least-connections"), elsewhere, runs.spread(1, share));
        found.tell(of("least-time"), "", runs.spread(5, share));
    }
    Ok(())
}

/// With room to spare a request takes its own work's time, whoever balances. With none, those that look at load are alike;
/// those that do not are told.
pub(super) fn calm_and_alike(found: &mut Findings) -> Result<(), Box<dyn Error>> {
    let runs = compare(&roomy(100).load(0.7), &NAMES, 5)?;
    for (at, name) in NAMES.into_iter().enumerate() {
        found.near(format!("{name}: p99 with room, ms"), 212.5, runs.spread(at, p99(ms(1))), 0.05);
    }
    let scenario = calm(100).load(0.7);
    let runs = compare(&scenario, &NAMES, 5)?;
    let best = (0..NAMES.len()).map(|at| runs.spread(at, p99(ms(1))).mean).fold(f64::MAX, f64::min);
    for (at, name) in NAMES.into_iter().enumerate() {
        let what = format!("{name}: p99 without, of the best");
        let figure = runs.spread(at, p99(ms(1))).mean / best;
        if ["round-robin", "random"].contains(&name) {
            found.tell(what, "", figure);
        } else {
            found.at_most(what, 1.05, figure);
        }
    }
    let apart = named("turns, each client from a start of its own", |client| Edf::seeded(client as u64));
    let fewest = named("any of the fewest", |_| ByChance(Among::Fewest));
    let runs = Comparison::run(&scenario, &[&apart, &fewest], 5, &Control::new())?.complete()?;
    found.tell("turns from starts of their own, of the best", "", runs.spread(0, p99(ms(1))).mean / best);
    found.tell("LL that picks any of the fewest, of the best", "", runs.spread(1, p99(ms(1))).mean / best);
    Ok(())
}
