//! Measures what a request through a client costs: CPU time of the client's process per request, and the time per
//! request. The server is a process of its own, so its work does not count.
//!
//! `cargo run --release -p equipoise-benches --bin http [ROUNDS [CLIENT]]`
//!
//! With `CLIENT`, only the clients with this text in their name run, with 16 requests at a time on one thread. Use it to
//! profile a client.

mod cpu;
mod lists;
mod server;
mod subject;

use std::{
    env,
    time::{Duration, Instant},
};

use crate::subject::Subject;

/// Default number of rounds. In each round, all subjects run one after the other.
const ROUNDS: usize = 15;

/// Number of requests of a subject in a round.
const REQUESTS: usize = 20_000;

/// What one run has cost, per request.
#[derive(Clone, Copy)]
struct Cost {
    cpu: Duration,
    wall: Duration,
}

fn main() {
    let argument = env::args().nth(1);
    if argument.as_deref() == Some("serve") {
        return server::serve();
    }
    let only = env::args().nth(2);
    let rounds = argument.map_or(ROUNDS, |rounds| rounds.parse().expect("a number of rounds"));
    let server = server::Process::start();
    println!(
        "| threads | requests at a time | body | client | CPU per request | of hyper-util's | requests per second |"
    );
    println!("| ---: | ---: | ---: | --- | ---: | ---: | ---: |");
    if let Some(only) = only {
        return compare(&server.address, &only, rounds, 1, 16, 64);
    }
    for (threads, tasks, bytes) in [(1, 1, 64), (1, 16, 64), (2, 32, 64), (1, 16, 65_536)] {
        compare(&server.address, "", rounds, threads, tasks, bytes);
    }
    println!();
    lists::compare();
}

fn compare(address: &str, only: &str, rounds: usize, threads: usize, tasks: usize, bytes: usize) {
    let runtime = if threads == 1 {
        tokio::runtime::Builder::new_current_thread().enable_all().build()
    } else {
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()
    };
    let runtime = runtime.expect("a runtime");
    let mut subjects = runtime.block_on(async { Subject::all(address, bytes) });
    subjects.retain(|subject| subject.name().contains(only));
    let requests = if bytes > 1_000 { REQUESTS / 4 } else { REQUESTS };
    let mut costs = vec![Vec::new(); subjects.len()];
    for round in 0..=rounds {
        for (subject, costs) in subjects.iter().zip(&mut costs) {
            let cost = runtime.block_on(measure(subject, tasks, requests));
            // The first round opens the connections.
            if round > 0 {
                costs.push(cost);
            }
        }
    }
    for (subject, own) in subjects.iter().zip(&costs) {
        let ratios = own.iter().zip(&costs[0]).map(|(own, base)| own.cpu.as_secs_f64() / base.cpu.as_secs_f64());
        let (cpu, wall) = (median(own.iter().map(|cost| cost.cpu)), median(own.iter().map(|cost| cost.wall)));
        println!(
            "| {threads} | {tasks} | {bytes} | {} | {:.2} µs | {:.2} | {:.0} |",
            subject.name(),
            cpu.as_secs_f64() * 1e6,
            median_of(ratios.collect()),
            1.0 / wall.as_secs_f64(),
        );
    }
}

/// Sends requests in several tasks.
async fn measure(subject: &Subject, tasks: usize, requests: usize) -> Cost {
    let each = requests / tasks;
    let (cpu, begun) = (cpu::used(), Instant::now());
    let tasks: Vec<_> = (0..tasks)
        .map(|_| {
            let subject = subject.clone();
            tokio::spawn(async move {
                for _ in 0..each {
                    subject.request().await;
                }
            })
        })
        .collect();
    let count = u32::try_from(each * tasks.len()).expect("few requests");
    for task in tasks {
        task.await.expect("no panic");
    }
    Cost { cpu: (cpu::used() - cpu) / count, wall: begun.elapsed() / count }
}

fn median(durations: impl Iterator<Item = Duration>) -> Duration {
    Duration::from_secs_f64(median_of(durations.map(|duration| duration.as_secs_f64()).collect()))
}

fn median_of(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
