//! Measures what clients notice when a server fails: behind equipoise with and without health, and behind nginx and
//! HAProxy if they are installed. Servers and balancers are separate processes, so `kill -9` and `kill -STOP` have
//! their real effect.

mod args;
mod backend;
mod faults;
mod load;
mod ours;
mod process;
mod proxies;
mod run;
mod table;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Role};

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.role {
        Some(Role::Backend { port }) => backend::serve(*port).await,
        Some(Role::Proxy(terms)) => ours::serve(terms).await,
        None => tokio::select! {
            done = compare(&args) => done,
            // Returns, so that all started processes are ended.
            () = interrupted() => Err(anyhow::anyhow!("interrupted")),
        },
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("faults: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn interrupted() {
    #[cfg(unix)]
    if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = terminate.recv() => return,
            _ = tokio::signal::ctrl_c() => return,
        }
    }
    // An error means that Ctrl-C cannot be received.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn compare(args: &Args) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for fault in args.faults() {
        println!("{}", fault.about);
        let mut cells = Vec::new();
        for proxy in args.proxies() {
            let figures = match proxy.is_installed() {
                false => None,
                true => Some(run::run(fault, proxy, args).await?),
            };
            match &figures {
                None => println!("  {:28} not installed: skipped", proxy.name()),
                Some(figures) => println!("  {:28} {figures:#}", proxy.name()),
            }
            cells.push(figures);
        }
        rows.push((fault, cells));
    }
    let table = table::of(&args.proxies(), &rows);
    println!("\n{table}");
    if args.write { table::write(&table) } else { Ok(()) }
}
