//! Prequal's testbed: many clients, servers with four shared cores, and antagonists.

use std::{error::Error, time::Duration};

use equipoise_sim::{Antagonists, Comparison, Fault, Report, Scenario};

use super::{compare, finding::Findings, ms, p99, p999};

const NAMES: [&str; 6] = ["log-ewma", "least-connections", "p2c", "round-robin", "random", "least-time"];

/// Servers get exactly their allocation. The names are those of the example `compare`.
fn tight(clients: usize) -> Scenario {
    Scenario::testbed(clients, 100)
}

/// Antagonists leave all servers more than their allocation.
fn calm(clients: usize) -> Scenario {
    tight(clients).antagonists(Antagonists::new(0.0))
}

/// Antagonists limit servers at times.
fn antagonists(clients: usize) -> Scenario {
    tight(clients).antagonists(Antagonists::new(0.15))
}

/// Shows published figures beside those measured here.
fn show(found: &mut Findings, runs: &Comparison, figure: impl Fn(&Report) -> f64, seen: [&str; 6]) {
    for (at, (name, seen)) in NAMES.into_iter().zip(seen).enumerate() {
        found.show(format!("{name}, ms"), seen, runs.spread(at, &figure));
    }
}

/// The published figures of "EWMA" are those of Peak-EWMA. The default strategy, Log-EWMA, must reach them.
pub(super) fn fast_and_slow(found: &mut Findings) -> Result<(), Box<dyn Error>> {
    let scenario = antagonists(100).load(0.9).each(|at, server| if at % 2 == 0 { server.speed(0.5) } else { server });
    let runs = compare(&scenario, &NAMES, 5)?;
    let of = |at| runs.spread(at, p99(ms(1))).mean;
    found.rising("p99", &[("EWMA", of(0)), ("LL", of(1)), ("LL-P2C", of(2)), ("RR", of(3))]);
    found.rising("p99", &[("LL-P2C", of(2)), ("random", of(4))]);
    show(found, &runs, p99(ms(1)), ["490", "2017", "2316", "timeout", "timeout", ""]);
    found.at_most("log-ewma: p99, ms", 490.0, runs.spread(0, p99(ms(1))));
    Ok(())
}

pub(super) fn ramp(found: &mut Findings) -> Result<(), Box<dyn Error>> {
    let runs = compare(&antagonists(100).load(1.41), &NAMES, 5)?;
    let of = |at| runs.spread(at, p999(ms(1))).mean;
    found.rising("p99.9", &[("EWMA", of(0)), ("LL-P2C", of(2)), ("RR", of(3))]);
    found.at_most("log-ewma: p99.9, ms", 1629.0, runs.spread(0, p999(ms(1))));
    show(found, &runs, p999(ms(1)), ["1629", "", "2601", "", "", ""]);
    Ok(())
}

/// The fewer requests a client sends, the less it knows about servers, until its picks are close to random.
pub(super) fn clients(found: &mut Findings) -> Result<(), Box<dyn Error>> {
    let (few, many) =
        (compare(&antagonists(100).load(1.03), &NAMES, 5)?, compare(&antagonists(3_000).load(1.03), &NAMES, 3)?);
    let (few_of, many_of) = (|at| few.spread(at, p99(ms(1))).mean, |at| many.spread(at, p99(ms(1))).mean);
    found.rising("EWMA's p99", &[("100", few_of(0)), ("3000", many_of(0))]);
    found.rising("LL-P2C's p99", &[("100", few_of(2)), ("3000", many_of(2))]);
    found.at_most("log-ewma: p99 with 100 clients, ms", 330.0, few_of(0));
    found.at_most("log-ewma: p99 with 3000 clients, ms", 4719.0, many_of(0));
    show(found, &few, p99(ms(1)), ["330", "", "771", "", "", ""]);
    show(found, &many, p99(ms(1)), ["4719", "", "4137", "", "", ""]);
    Ok(())
}

/// A server that fails fast has few requests in flight. In published measurements least-request strategies send it up
/// to 27 % of the requests; here no strategy gives it more than its share.
pub(super) fn sinkhole(found: &mut Findings) -> Result<(), Box<dyn Error>> {
    let share = |report: &Report| report.share(0);
    for clients in [1, 100] {
        let scenario = tight(clients).fault(Fault::sinkhole(0)).lasting(Duration::from_secs(found.pick(10, 40)));
        let runs = compare(&scenario, &NAMES, found.pick(1, 5))?;
        let of = |name| format!("{name}, {clients} clients");
        // One of a hundred, plus four standard deviations.
        let attempts = runs.spread(2, |report| report.attempts as f64).mean;
        let fair = 0.01 + 4.0 * (0.01 / attempts).sqrt();
        found.at_most(of("log-ewma"), 0.01, runs.spread(0, share));
        for at in [1, 2, 5] {
            found.at_most(of(NAMES[at]), fair, runs.spread(at, share));
        }
    }
    Ok(())
}

/// With spare capacity, a request takes the time of its own work under every strategy. Without, strategies that look at
/// load are alike; the others are only shown. These runs are longer, because figures of 40 s vary by some percent.
pub(super) fn calm_and_alike(found: &mut Findings) -> Result<(), Box<dyn Error>> {
    let runs = compare(&calm(100).load(0.7), &NAMES, 5)?;
    for (at, name) in NAMES.into_iter().enumerate() {
        found.near(format!("{name}: p99 when calm, ms"), 212.5, runs.spread(at, p99(ms(1))), 0.05);
    }
    let names: Vec<&str> = NAMES.into_iter().chain(["edf"]).collect();
    let runs = compare(&tight(100).load(0.7).lasting(Duration::from_secs(200)), &names, 5)?;
    let mean = |at| runs.spread(at, p99(ms(1))).mean;
    let best = (0..names.len()).min_by(|a, b| mean(*a).total_cmp(&mean(*b))).unwrap_or_default();
    for (at, name) in names.into_iter().enumerate() {
        let what = format!("{name}: p99 when tight, of the best");
        let figure = runs.ratio(at, best, p99(ms(1)));
        if ["round-robin", "random", "edf"].contains(&name) {
            found.show(what, "", figure);
        } else {
            found.at_most(what, 1.05, figure.mean);
        }
    }
    Ok(())
}
