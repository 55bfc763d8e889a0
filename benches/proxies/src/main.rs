//! Compares proxies for HTTP, TLS, TCP and UDP as processes, over real sockets: CPU time, latency and memory of equipoise,
//! nginx, HAProxy, pingora and bare proxies over hyper and tokio.

mod backend;
mod build;
mod certificate;
mod configuration;
mod function;
mod idle;
mod load;
mod process;
mod setup;
mod subject;
mod table;
mod workload;

use anyhow::Context;
use clap::Parser;

use crate::{
    load::Load,
    setup::Setup,
    subject::Subject,
    table::{Row, Table},
    workload::Workload,
};

/// Compares proxies as processes, over real sockets.
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
    /// Number of idle connections in the workloads `idle` and `tls-idle`.
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let (workloads, subjects) = (all_unless_given(&options.workload), all_unless_given(&options.subject));
    for subject in &subjects {
        workloads
            .iter()
            .filter(|workload| subject.serves(**workload))
            .try_for_each(|workload| subject.build(*workload))?;
    }
    let setup = Setup::start()?;
    for workload in workloads {
        let mut subjects = subjects.clone();
        subjects.retain(|subject| subject.serves(workload));
        match workload.load() {
            Some(load) => compare(workload, load, &subjects, &setup, &options)?,
            None => idle::compare(workload, &subjects, &setup, options.connections)?,
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
    setup: &Setup,
    options: &Options,
) -> anyhow::Result<()> {
    let mut table = Table::new(workload, subjects);
    for _ in 0..options.rounds {
        for (at, subject) in subjects.iter().enumerate() {
            let row = measure(*subject, workload, load, setup, options.seconds);
            table.add(at, row.with_context(|| format!("{} with {}", subject.name(workload), workload.title()))?);
        }
    }
    table.print();
    Ok(())
}

/// Measures one subject in a process of its own.
fn measure(subject: Subject, workload: Workload, load: Load, setup: &Setup, seconds: u32) -> anyhow::Result<Row> {
    let proxy = subject.start(workload, setup)?;
    load.run(proxy.address(), &setup.certificate, 1)?;
    let before = proxy.cpu()?;
    let outcome = load.run(proxy.address(), &setup.certificate, seconds)?;
    let cpu = proxy.cpu()? - before;
    Ok(Row::new(workload.unit(), cpu, &outcome, proxy.memory()?))
}
