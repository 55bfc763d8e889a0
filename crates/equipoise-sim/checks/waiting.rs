//! Ten servers at 90 %: the value of knowing the load of all servers.

use std::{error::Error, time::Duration};

use equipoise_sim::{Comparison, Control, Scenario, Server, Work, named};

use super::{compare, finding::Findings, mean, ms, own::AnyIdle, theory};

const SERVICE: Duration = ms(10);

pub(super) fn order(found: &mut Findings) -> Result<(), Box<dyn Error>> {
    let services = found.pick(200_000, 400_000);
    let seeds = found.pick(1, 4);
    let lasting = |servers: Scenario| servers.load(0.9).work(Work::exponential(SERVICE)).lasting(SERVICE * services);
    let ten = lasting(Scenario::of(10, Server::fifo(1)));

    let shared = compare(&lasting(Scenario::of(1, Server::fifo(10))), &["random"], seeds)?.spread(0, mean(SERVICE));
    let runs = compare(&ten, &["least-connections", "p2c"], seeds)?;
    let (shortest, two) = (runs.spread(0, mean(SERVICE)), runs.spread(1, mean(SERVICE)));
    let idle = named("join idle queue", |_| AnyIdle);
    let idle = Comparison::run(&ten, &[&idle], seeds, &Control::new())?.complete()?.spread(0, mean(SERVICE));

    found.near("M/M/10", theory::mmc(10, 0.9), shared, 0.02);
    let figures = [("M/M/10", shared), ("JSQ", shortest), ("JIQ", idle), ("P2C", two)];
    found.rising("means", &figures.map(|(name, figure)| (name, figure.mean)));
    for ((name, figure), tried) in figures.into_iter().skip(1).zip(["1.92", "2.43", "2.99"]) {
        found.show(name, tried, figure);
    }
    Ok(())
}
