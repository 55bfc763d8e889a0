//! Tail latency over real sockets, through this library and through its peers, when one of five backends misbehaves.

mod backend;
mod ideal;
mod load;
mod oddity;
mod subject;
mod timer;

use std::time::{Duration, Instant};

use clap::Parser;
use tokio::runtime::{Builder, Runtime};

use crate::{backend::Backends, load::Outcome, oddity::Oddity, subject::Kind, timer::Timer};

/// Measures tail latency over real sockets: five backends with four slots each, of which the first one misbehaves.
#[derive(Parser)]
struct Options {
    /// What is wrong with the first backend. Default: slow, stall and error.
    #[arg(long, value_delimiter = ',')]
    oddity: Vec<Oddity>,
    /// What the requests go through. Default: nginx, haproxy, tower and equipoise.
    #[arg(long, value_delimiter = ',')]
    subject: Vec<Kind>,
    /// Requests per second as a share of the backends' capacity.
    #[arg(long, default_value_t = 0.85, value_parser = positive)]
    load: f64,
    /// Length of a run in seconds.
    #[arg(long, default_value_t = 15.0, value_parser = positive)]
    seconds: f64,
    /// How often everything is measured, with another seed each time.
    #[arg(long, default_value_t = 1)]
    rounds: u64,
    /// Seed of the times between requests and of the service times.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| (1e-3..=1e6).contains(number));
    number.ok_or_else(|| "use a number from 0.001 to 1000000".to_owned())
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let or_default = |given: &[Oddity]| if given.is_empty() { Oddity::DEFAULT.to_vec() } else { given.to_vec() };
    let subjects = if options.subject.is_empty() { Kind::DEFAULT.to_vec() } else { options.subject.clone() };
    println!(
        "| the odd backend | through | requests | errors | share of the odd one | p50 | p99 | p99.9 | max | late by, p99 | p99.9 |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for oddity in or_default(&options.oddity) {
        for round in 0..options.rounds {
            for &kind in &subjects {
                match measure(&options, oddity, kind, options.seed + round) {
                    Ok((outcome, share)) => println!("{}", row(oddity, kind, &outcome, share)),
                    Err(error) => println!("| {} | {} | skipped: {error:#} |", oddity.name(), kind.name()),
                }
            }
        }
    }
    Ok(())
}

/// Runs one subject under one oddity. Returns its results, and the share of the requests that the odd backend got.
fn measure(options: &Options, oddity: Oddity, kind: Kind, seed: u64) -> anyhow::Result<(Outcome, f64)> {
    let length = Duration::from_secs_f64(options.seconds);
    let rate = options.load * oddity.capacity();
    if kind == Kind::Ideal {
        return Ok(ideal::run(oddity, rate, length, seed));
    }
    let (servers, clients) = (runtime()?, runtime()?);
    let timer = Timer::start();
    let backends = servers.block_on(Backends::start(oddity, &timer))?;
    let subject = {
        let _entered = clients.enter();
        kind.start(&backends.addresses)?
    };
    let epoch = Instant::now();
    backends.begin(epoch);
    let outcome = load::run(&subject, clients.handle(), rate, length, seed, epoch);
    Ok((outcome, backends.share_of_the_first()))
}

/// One thread each for the backends and for the clients.
fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(1).enable_all().build()
}

fn row(oddity: Oddity, kind: Kind, outcome: &Outcome, share: f64) -> String {
    let ms = |microseconds: u64| format!("{:.1}", microseconds as f64 / 1_000.0);
    let at = |quantile| ms(outcome.latency.value_at_quantile(quantile));
    format!(
        "| {} | {} | {} | {} | {:.1} % | {} | {} | {} | {} | {} | {} |",
        oddity.name(),
        kind.name(),
        outcome.requests,
        outcome.errors,
        share * 100.0,
        at(0.5),
        at(0.99),
        at(0.999),
        ms(outcome.latency.max()),
        ms(outcome.lateness.value_at_quantile(0.99)),
        ms(outcome.lateness.value_at_quantile(0.999)),
    )
}
