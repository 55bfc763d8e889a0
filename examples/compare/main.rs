//! Compares strategies in the simulator.
//!
//! ```text
//! cargo run --release --example compare -- --scenario slow-one --out plots
//! cargo run --release --example compare -- --list
//! cargo run --release --example compare -- --hunt
//! cargo run --release --example compare -- --write docs
//! ```
//!
//! To add a custom strategy, add one line to [`yours`](contenders::yours).

mod args;
mod contenders;
#[path = "../custom_strategy.rs"]
#[allow(dead_code, reason = "the file is also a program")]
mod custom_strategy;
mod document;
mod figures;
mod hunt;
mod plots;
mod scenarios;
mod sweep;
mod table;

use std::{
    io::{self, ErrorKind, Write},
    process::ExitCode,
};

use anyhow::bail;
use clap::Parser;
use equipoise::{sim::Contender, strategy::by_name};

use crate::{
    args::{Args, Loads},
    contenders::yours,
    sweep::{Sweep, Watch},
};

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.write {
        Some(docs) => document::write(docs),
        None if args.hunt.is_some() => hunt(&args),
        None if args.list => list(&mut io::stdout().lock()).map_err(anyhow::Error::from),
        None => compare(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has closed the pipe, for example `head`.
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == ErrorKind::BrokenPipe) => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("compare: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn list(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "Scenarios:\n")?;
    for scenario in scenarios::ALL {
        let loads: Vec<String> = scenario.loads.iter().map(f64::to_string).collect();
        writeln!(out, "{}\n    {}; load {}", scenario.name, scenario.about, loads.join(", "))?;
    }
    writeln!(out, "\nScenarios of --hunt:\n")?;
    hunt::list(out)?;
    writeln!(out, "\nStrategies:\n")?;
    by_name::all().iter().try_for_each(|strategy| writeln!(out, "{strategy}\n    {}", strategy.about()))?;
    writeln!(out, "\nCustom strategies in examples/compare/contenders.rs:\n")?;
    yours().iter().try_for_each(|entrant| writeln!(out, "{}", entrant.label()))
}

fn hunt(args: &Args) -> anyhow::Result<()> {
    let names = args.hunt.as_deref().unwrap_or_default();
    hunt::hunt(names, &args.strategies, args.seeds, args.csv.as_deref(), args.check)
}

fn compare(args: &Args) -> anyhow::Result<()> {
    let scenario = args.scenario;
    let usual = if args.strategies.is_empty() { scenario.strategies()? } else { Vec::new() };
    let usual = usual.iter().map(|strategy| strategy as &dyn Contender);
    let contenders: Vec<&dyn Contender> =
        usual.chain(args.strategies.iter().map(|entrant| &**entrant as &dyn Contender)).collect();
    let loads = args.load.as_ref().map_or(scenario.loads, |Loads(loads)| loads);
    let watch = Watch::over(loads.len())?;
    let sweep = Sweep::run(scenario, &contenders, loads, args.seeds, &watch);
    watch.end();
    let sweep = sweep?;
    table::print(&sweep, &mut io::stdout().lock())?;
    if !sweep.has_figures() && sweep.errors().next().is_some() {
        bail!("no strategy has figures");
    }
    if let Some(out) = &args.out {
        plots::write_all(&sweep, out)?;
        eprintln!("plots are in {}", out.display());
    }
    Ok(())
}
