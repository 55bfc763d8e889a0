//! Tables as Markdown.

use std::fmt::Write;

use crate::{
    figures::{self, Figure},
    sweep::{Point, Sweep},
};

/// Formats a sweep. With one load: one table with a column for each figure. With several: a table for each figure, with
/// a column for each load.
pub(super) fn of(sweep: &Sweep) -> String {
    let mut parts = match &sweep.points[..] {
        [point] => vec![of_one(sweep, point)],
        points => {
            let shown = [Figure::P50, Figure::P99, Figure::P999, Figure::Errors];
            shown.iter().filter(|figure| has(points, **figure)).map(|figure| over_loads(sweep, *figure)).collect()
        }
    };
    parts.extend(sweep.errors().map(|(load, error)| format!("No figures at load {load}: {error}.")));
    parts.join("\n\n")
}

/// Returns whether any figure is not zero.
fn has(points: &[Point], figure: Figure) -> bool {
    points.iter().flat_map(|point| point.comparison.reports.iter().flatten()).any(|report| figure.of(report) > 0.0)
}

fn of_one(sweep: &Sweep, point: &Point) -> String {
    let shown = [Figure::P50, Figure::Mean, Figure::P99, Figure::P999, Figure::Errors];
    let mut columns: Vec<String> = shown.iter().map(|figure| figure.name().to_owned()).collect();
    columns.push("in flight, p99".to_owned());
    columns.extend(sweep.scenario.watched.map(|_| "its share".to_owned()));
    columns.extend(sweep.scenario.keyed.then(|| "keys moved".to_owned()));
    table(sweep, &columns, |at| {
        let comparison = &point.comparison;
        if figures::is_missing(comparison, at) {
            return vec![figures::NONE.to_owned(); columns.len()];
        }
        let mut cells: Vec<String> = shown.iter().map(|figure| figure.show(comparison, at)).collect();
        cells.push(format!("{:.0}", figures::in_flight(comparison, at)[1]));
        let watched = sweep.scenario.watched;
        cells.extend(watched.map(|server| format!("{:.2}", figures::share(comparison, at, server))));
        cells.extend(sweep.scenario.keyed.then(|| figures::part(figures::moved(comparison, at))));
        cells
    })
}

fn over_loads(sweep: &Sweep, figure: Figure) -> String {
    let columns: Vec<String> =
        sweep.points.iter().map(|point| format!("{} at {}", figure.name(), point.load)).collect();
    table(sweep, &columns, |at| sweep.points.iter().map(|point| figure.show(&point.comparison, at)).collect())
}

/// Formats one figure of several scenarios, each with one load and the same strategies.
pub(super) fn across(figure: Figure, sweeps: &[&Sweep]) -> Option<String> {
    let (first, points) = (
        sweeps.first()?,
        sweeps.iter().map(|sweep| match &sweep.points[..] {
            [point] => Some(point),
            _ => None,
        }),
    );
    let points: Vec<&Point> = points.collect::<Option<_>>()?;
    let columns: Vec<String> =
        sweeps.iter().map(|sweep| format!("{}: {}", sweep.scenario.name, figure.name())).collect();
    Some(table(first, &columns, |at| points.iter().map(|point| figure.show(&point.comparison, at)).collect()))
}

/// Formats a table with a row for each strategy.
fn table(sweep: &Sweep, columns: &[String], cells: impl Fn(usize) -> Vec<String>) -> String {
    let mut text = format!("| strategy | {} |\n| --- |{}", columns.join(" | "), " ---: |".repeat(columns.len()));
    for (at, label) in sweep.labels.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n| {label} | {} |", cells(at).join(" | "));
    }
    text
}
