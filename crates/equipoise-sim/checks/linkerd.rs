//! "Beyond round robin: load balancing for latency", linkerd's blog, 2016.

use std::{error::Error, time::Duration};

use equipoise_sim::{Fault, Report, Scenario, Server, Work};

use super::{compare, finding::Findings, ms};

pub(super) fn success(found: &mut Findings) -> Result<(), Box<dyn Error>> {
    let slow = Fault::slow(0, 2_000.0 / 167.0).from(Duration::from_secs(15)).lasting(Duration::from_secs(30));
    let scenario = Scenario::of(11, Server::delay())
        .rate(1_000.0)
        .work(Work::normal(ms(167), 5.0 / 167.0))
        .fault(slow)
        .lasting(Duration::from_secs(60))
        .warm_up(0.0);
    let names = ["round-robin", "least-connections", "log-ewma", "p2c", "least-time", "random"];
    let runs = compare(&scenario, &names, found.pick(1, 5))?;
    let success = |report: &Report| 100.0 * report.answered_within(ms(1_000));
    // Round robin sends an eleventh to the slow backend, for half of the time.
    let turns = 100.0 - 100.0 / 22.0;
    // Least-connections keeps as many in flight at the slow backend as at each other; requests that must wait there are
    // too late.
    let in_flight = 1_000.0 / (10.0 / 0.167 + 1.0 / 2.0);
    let least = 100.0 - 100.0 * (in_flight / 2.0) / 1_000.0 / 2.0;
    // linkerd published 95, 99 and 99.9 %. The first two have closed forms.
    for (at, expected, tolerance) in [(0, turns, 1.0), (1, least, 0.5), (2, 99.9, 0.3)] {
        found.within(format!("{}: within 1 s, %", names[at]), expected, runs.spread(at, success), tolerance);
    }
    found.note(
        "linkerd published the rounded figures 95, 99 and 99.9 %. Least-loaded is compared with the closed form of its\n\
         scenario instead of 99: it keeps as many requests in flight at the slow backend as at each other. The slow backend\n\
         thus gets 8 of 1000 requests a second for half of the time, and those that must wait there are too late.",
    );
    for (at, name) in names.into_iter().enumerate().skip(3) {
        found.show(format!("{name}: within 1 s, %"), "", runs.spread(at, success));
    }
    Ok(())
}
