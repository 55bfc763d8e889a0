//! The table on the terminal.

use std::io::{self, Write};

use crate::{
    figures::{self, Figure},
    sweep::{Point, Sweep},
};

const TIMES: [Figure; 5] = [Figure::P50, Figure::P90, Figure::P99, Figure::P999, Figure::Mean];

pub(crate) fn print(sweep: &Sweep, out: &mut impl Write) -> io::Result<()> {
    let scenario = sweep.scenario;
    writeln!(out, "{}: {}; means over {} seeds", scenario.name, scenario.about, sweep.seeds)?;
    let width = sweep.labels.iter().map(String::len).max().unwrap_or(0).max(8);
    for point in &sweep.points {
        write!(out, "\n{:width$}", format!("load {}", point.load))?;
        for figure in TIMES {
            write!(out, " {:>8}", figure.name())?;
        }
        write!(out, " {:>8} | {:>24} | {:>10}", "errors", "in flight p50  p99   max", "p99 seeds")?;
        write!(out, "{}", if scenario.watched.is_some() { " | its share" } else { "" })?;
        writeln!(out, "{}", if scenario.keyed { " | keys moved" } else { "" })?;
        for (at, label) in sweep.labels.iter().enumerate() {
            write!(out, "{label:width$}")?;
            row(sweep, point, at, out)?;
        }
    }
    if let Some(server) = scenario.watched {
        writeln!(out, "\nits share: the share of server {server}, relative to an even share")?;
    }
    if scenario.keyed {
        writeln!(
            out,
            "\nkeys moved: share of repeated keys that moved to another server although they could have stayed"
        )?;
    }
    Ok(())
}

fn row(sweep: &Sweep, point: &Point, at: usize, out: &mut impl Write) -> io::Result<()> {
    let comparison = &point.comparison;
    if let Some(error) = &comparison.errors[at] {
        return writeln!(out, " failed: {error}");
    }
    if figures::is_missing(comparison, at) {
        return writeln!(out, " (interrupted)");
    }
    for figure in TIMES {
        write!(out, " {:>8}", figure.show(comparison, at))?;
    }
    let [half, most, max] = figures::in_flight(comparison, at);
    let deviation = format!("± {:.1} %", figures::deviation(comparison, at) * 100.0);
    write!(out, " {:>8} | {half:>13.0} {most:>4.0} {max:>5.0} | {deviation:>10}", Figure::Errors.show(comparison, at))?;
    if let Some(server) = sweep.scenario.watched {
        write!(out, " | {:>9.2}", figures::share(comparison, at, server))?;
    }
    if sweep.scenario.keyed {
        write!(out, " | {:>10}", figures::part(figures::moved(comparison, at)))?;
    }
    let reports = &comparison.reports[at];
    let cut = reports.len() < sweep.seeds as usize || reports.iter().any(|report| report.interrupted);
    writeln!(out, "{}", if cut { " (interrupted)" } else { "" })
}
