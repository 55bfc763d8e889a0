//! Prequal's testbed: many clients, servers with four shared cores, and others on their machines.

use std::{error::Error, time::Duration};

use equipoise_sim::{Antagonists, Comparison, Fault, Report, Scenario};

use super::{compare, finding::Findings, ms, p99, p999};

const NAMES: [&str; 6] = ["peak-ewma", "least-connections", "p2c", "round-robin", "random", "least-time"];

/// As `compare` names them: servers get what they are allotted, and no more.
fn tight(clients: usize) -> Scenario {
    Scenario::testbed(clients, 100)
}

/// Nobody else wants the machines, so that servers get more.
fn calm(clients: usize) -> Scenario {
    tight(clients).antagonists(Antagonists::new(0.0))
}

/// At times others want them.
fn antagonists(clients: usize) -> Scenario {
    tight(clients).antagonists(Antagonists::new(0.15))
}

/// What others saw beside what is seen here.
fn tell(found: &mut Findings, runs: &Comparison, figure: impl Fn(&Report) -> f64, seen: [&str; 6]) {
    for (at, (name, seen)) in NAMES.into_iter().zip(seen).enumerate() {
        found.tell(format!("{name}, ms"), seen, runs.spread(at, &figure));
    }
}

/// What Peak-EWMA remembers of a server that is idle fades with a time of 2.5 s, so that one that has recovered is back
/// soon. Here each of a hundred clients sends each server a request every 3 s, and so forgets who is slow. The allowance
/// for noise and the trials cost less: without both p99 would be 735 ms, with a fade of a minute besides 433.
pub(super) fn fast_and_slow(found: &mut Findings) -> Result<(), Box<dyn Error>> {
    let scenario = antagonists(100).load(0.9).each(|at, server| if at % 2 == 0 { server.speed(0.5) } else { server });
    let runs = compare(&scenario, &NAMES, 5)?;
    let of = |at| runs.spread(at, p99(ms(1))).mean;
    found.rising("p99", &[("EWMA", of(0)), ("LL", of(1)), ("LL-P2C", of(2)), ("RR", of(3))]);
    found.rising("p99", &[("LL-P2C", of(2)), ("random", of(4))]);
    tell(found, &runs, p99(ms(1)), ["490", "2017", "2316", "time-out", "time-out", ""]);
    let lasting = compare(&scenario, &["peak-ewma(fade=1m)"], 5)?;
    found.near("peak-ewma(fade=1m): p99, ms", 490.0, lasting.spread(0, p99(ms(1))), 0.1);
    found.note(
        "peak-ewma is twice the figure seen elsewhere: by default it forgets in 2.5 s what it knows of an idle server,\n\
         and here each client sends each server a request every 3 s. With a fade of a minute it is what was seen.",
    );
    Ok(())
}

pub(super) fn ramp(found: &mut Findings) -> Result<(), Box<dyn Error>> {
    let runs = compare(&antagonists(100).load(1.41), &NAMES, 5)?;
    let of = |at| runs.spread(at, p999(ms(1))).mean;
    found.rising("p99.9", &[("EWMA", of(0)), ("LL-P2C", of(2)), ("RR", of(3))]);
    tell(found, &runs, p999(ms(1)), ["1629", "", "2601", "", "", ""]);
    Ok(())
}

/// What a client knows of its own requests alone fades as it sends fewer of them, until it picks at random.
pub(super) fn clients(found: &mut Findings) -> Result<(), Box<dyn Error>> {
    let (few, many) =
        (compare(&antagonists(100).load(1.03), &NAMES, 5)?, compare(&antagonists(3_000).load(1.03), &NAMES, 3)?);
    let (few_of, many_of) = (|at| few.spread(at, p99(ms(1))).mean, |at| many.spread(at, p99(ms(1))).mean);
    found.rising("EWMA's p99", &[("100", few_of(0)), ("3000", many_of(0))]);
    found.rising("LL-P2C's p99", &[("100", few_of(2)), ("3000", many_of(2))]);
    tell(found, &few, p99(ms(1)), ["330", "", "771", "", "", ""]);
    tell(found, &many, p99(ms(1)), ["4719", "", "4137", "", "", ""]);
    Ok(())
}

/// A server that fails fast has few requests in flight and gives no answers. Published, least-request strategies send it up
/// to 27 % of the requests; here no strategy gives it more than its share.
pub(super) fn sinkhole(found: &mut Findings) -> Result<(), Box<dyn Error>> {
    let share = |report: &Report| report.share(0);
    for clients in [1, 100] {
        let scenario = tight(clients).fault(Fault::sinkhole(0)).lasting(Duration::from_secs(found.pick(10, 40)));
        let runs = compare(&scenario, &NAMES, found.pick(1, 5))?;
        let of = |name| format!("{name}, {clients} clients");
        // One of a hundred. The rest is chance: four standard deviations.
        let attempts = runs.spread(2, |report| report.attempts as f64).mean;
        let fair = 0.01 + 4.0 * (0.01 / attempts).sqrt();
        found.at_most(of("peak-ewma"), 0.01, runs.spread(0, share));
        for at in [1, 2, 5] {
            found.at_most(of(NAMES[at]), fair, runs.spread(at, share));
        }
    }
    Ok(())
}

/// With room to spare a request takes its own work's time, whoever balances. With none, those that look at load are alike;
/// those that do not are told. There chance decides by some per cent in a run of 40 s, so they are longer.
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
            found.tell(what, "", figure);
        } else {
            found.at_most(what, 1.05, figure.mean);
        }
    }
    Ok(())
}
