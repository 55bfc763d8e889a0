//! The options. Invalid options end the program with exit code 2.

use std::path::PathBuf;

use clap::Parser;

use crate::{
    contenders::{self, Entrant},
    scenarios::{ALL, Known},
};

/// Runs strategies through a simulated scenario, all under the same requests.
///
///     cargo run --release --example compare -- --list
///     cargo run --release --example compare -- --scenario slow-one
///     cargo run --release --example compare -- --scenario fast-slow --load 0.5..0.9 \
///         --strategy peak-ewma --strategy "peak-ewma(decay=2s)" --strategy p2c --out plots
///     cargo run --release --example compare -- --hunt
///     cargo run --release --example compare -- --hunt streams work/pareto-1.2-fifo
///
/// Ctrl-C ends the run early and prints the results so far. A second Ctrl-C ends the program at once.
#[derive(Parser)]
#[command(name = "compare", verbatim_doc_comment)]
pub(crate) struct Args {
    /// The scenario: a name from --list
    #[arg(long, value_name = "NAME", default_value = "antagonists", value_parser = scenario)]
    pub(crate) scenario: &'static Known,

    /// A strategy from --list, with settings in brackets, such as "p2c(choices=3)"; repeat for each [default: all
    /// suitable strategies of the library]
    #[arg(long = "strategy", value_name = "STRATEGY", value_parser = contenders::named_so)]
    pub(crate) strategies: Vec<Entrant>,

    /// One load, several (0.7,0.9), or a range in steps of 0.1 (0.5..1.7); 1.0 is the capacity of the servers
    /// [default: the loads of the scenario]
    #[arg(long, value_name = "LOAD", value_parser = loads)]
    pub(crate) load: Option<Loads>,

    /// Number of runs of each strategy with different seeds; figures are means
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) seeds: u64,

    /// Directory for plots, as SVG and PNG
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,

    /// Run the hunt: many small scenarios, each with the default against the best of all strategies with local signals,
    /// the worst losses first. Names are families or single scenarios; a single one is printed in full. Each --strategy
    /// is an additional rival
    #[arg(long, value_name = "NAME", num_args = 0.., conflicts_with_all = ["scenario", "load", "out"])]
    pub(crate) hunt: Option<Vec<String>>,

    /// Write the figures of all strategies in the hunt into this file, as comma-separated values
    #[arg(long, value_name = "FILE", requires = "hunt")]
    pub(crate) csv: Option<PathBuf>,

    /// Fail if a loss of the default is new or larger than accepted: p99 or p99.9 more than 5 % worse than the best, or
    /// 0.1 points more errors, or more than the limit in examples/compare/hunt/cases/accepted.rs
    #[arg(long, requires = "hunt")]
    pub(crate) check: bool,

    /// List all scenarios and strategies, and exit
    #[arg(long)]
    pub(crate) list: bool,

    /// Write strategies.md and its plots into this directory: every scenario with all its strategies, for five seeds,
    /// and the hunt, for three
    #[arg(long, value_name = "DIR", conflicts_with_all = ["scenario", "strategies", "load", "seeds", "out", "list", "hunt"])]
    pub(crate) write: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Loads(pub(crate) Vec<f64>);

fn scenario(name: &str) -> Result<&'static Known, String> {
    let names = || ALL.iter().map(|known| known.name).collect::<Vec<_>>().join(", ");
    Known::named(name).ok_or_else(|| format!("unknown scenario; the scenarios are {}", names()))
}

fn loads(text: &str) -> Result<Loads, String> {
    let load = |text: &str| match text.trim().parse::<f64>() {
        Ok(load) if load > 0.0 && load <= 100.0 => Ok(load),
        _ => Err(format!("invalid load {text:?}: use a number above 0 and at most 100, such as 0.9")),
    };
    let Some((from, to)) = text.split_once("..") else {
        return text.split(',').map(load).collect::<Result<_, _>>().map(Loads);
    };
    let (from, to) = (load(from)?, load(to)?);
    if from >= to {
        return Err(format!("use an ascending range: {to}..{from}"));
    }
    let steps = ((to - from) * 10.0 - 1e-9).ceil().max(1.0);
    let between = (1..steps as usize).map(|step| round(from + (to - from) * step as f64 / steps));
    Ok(Loads([from].into_iter().chain(between).chain([to]).collect()))
}

/// Rounds to thousandths, so that loads are printed as they were given.
fn round(load: f64) -> f64 {
    (load * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_are_one_or_several_or_a_range_with_both_ends() {
        assert_eq!(loads("0.9"), Ok(Loads(vec![0.9])));
        assert_eq!(loads("0.7, 0.9"), Ok(Loads(vec![0.7, 0.9])));
        assert_eq!(loads("0.5..0.8"), Ok(Loads(vec![0.5, 0.6, 0.7, 0.8])));
        for (near, ends) in [("0.5..0.55", [0.5, 0.55]), ("0.0001..0.0002", [0.0001, 0.0002])] {
            assert_eq!(loads(near), Ok(Loads(ends.to_vec())));
        }
        assert_eq!(loads("1..1.0000000000001"), Ok(Loads(vec![1.0, 1.0000000000001])));
        for nonsense in ["", "0", "-1", "x", "inf", "NaN", "1..0.5", "0.5..0.5", "0.5..", "1e9"] {
            assert!(loads(nonsense).is_err(), "{nonsense}");
        }
    }
}
