//! Compares reverse proxies as processes, over real sockets: CPU time, latency and memory of equipoise, nginx, HAProxy,
//! pingora and a bare hyper proxy.

mod build;
mod configuration;
mod idle;
mod load;
mod process;
mod subject;
mod table;
mod workload;

use anyhow::Context;
use clap::Parser;

use crate::{
    load::Load,
    process::Backends,
    subject::Subject,
    table::{Row, Table},
    workload::Workload,
};

/// Compares reverse proxies as processes, over real sockets.
#[derive(Parser)]
struct Options {
    /// What is measured. Default: everything.
    #[arg(long, value_delimiter = ',')]
    workload: Vec<Workload>,
    /// The proxies. Ratios relate to the first one that can serve the workload. Default: all.
    #[arg(long, value_delimiter = ',')]
    subject: Vec<Subject>,
    /// Length of each measurement in seconds.
    #[arg(long, default_value_t = 3)]
    seconds: u32,
    /// Number of rounds. In each round, all proxies are measured one after the other.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Number of idle connections in the workload `idle`.
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let subjects = all_unless_given(&options.subject);
    subjects.iter().try_for_each(|subject| subject.build())?;
    let backends = Backends::start()?;
    for workload in all_unless_given(&options.workload) {
        let mut subjects = subjects.clone();
        subjects.retain(|subject| subject.serves(workload));
        match workload.load() {
            Some(load) => compare(workload, load, &subjects, &backends, &options)?,
            None => idle::compare(workload, &subjects, &backends, options.connections)?,
        }
    }
    Ok(())
}

fn all_unless_given<T: clap::ValueEnum>(given: &[T]) -> Vec<T> {
    if given.is_empty() { T::value_variants().to_vec() } else { given.to_vec() }
}

/// Measures the subjects in turns, and prints their table.
fn compare(
    workload: Workload,
    load: Load,
    subjects: &[Subject],
    backends: &Backends,
    options: &Options,
) -> anyhow::Result<()> {
    let mut table = Table::new(subjects);
    for _ in 0..options.rounds {
        for (at, subject) in subjects.iter().enumerate() {
            let row = measure(*subject, workload, load, backends, options.seconds);
            table.add(at, row.with_context(|| format!("{} with {}", subject.name(), workload.title()))?);
        }
    }
    table.print(workload.title());
    Ok(())
}

/// Measures one subject in a process of its own.
fn measure(subject: Subject, workload: Workload, load: Load, backends: &Backends, seconds: u32) -> anyhow::Result<Row> {
    let proxy = subject.start(workload, backends)?;
    load.run(proxy.address(), 1)?;
    let before = proxy.cpu()?;
    let outcome = load.run(proxy.address(), seconds)?;
    let cpu = proxy.cpu()? - before;
    Ok(Row::new(cpu, &outcome, proxy.memory()?))
}
