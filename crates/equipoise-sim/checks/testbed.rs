//! Prequal's testbed: many clients, servers with four shared cores, and others on their machines.

use std::{error::Error, time::Duration};

use equipoise_sim::{Antagonists, Comparison, Fault, Network, Report, Scenario, Server, Work};

use super::{compare, finding::Findings, ms, p99, p999};

const NAMES: [&str; 6] = ["peak-ewma", "least-connections", "p2c", "round-robin", "random", "least-time"];

fn calm(clients: usize) -> Scenario {
    Scenario::of(100, Server::sharing(4.0))
        .clients(clients)
        .work(Work::normal(ms(80), 1.0))
        .network(Network::local())
        .timeout(ms(5_000))
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

pub(super) fn calm_and_alike(found: &mut Findings) -> Result<(), Box<dyn Error>> {
    let runs = compare(&calm(100).load(0.7), &NAMES, 5)?;
    let best = NAMES.iter().enumerate().map(|(at, _)| runs.spread(at, p99(ms(1))).mean).fold(f64::MAX, f64::min);
    for (at, name) in NAMES.into_iter().enumerate() {
        let figure = runs.spread(at, p99(ms(1)));
        found.at_most(format!("{name}: p99, of the best"), 1.05, figure.mean / best);
        found.tell(format!("{name}: p99, ms"), "210–215", figure);
    }
    Ok(())
}
