use equipoise::sim::Report;
use kuva::render::{
    layout::Layout,
    plots::Plot,
    render::{Scene, render_multiple},
};

use super::style::{line, percent_ticks, present, title};
use crate::sweep::{Point, Sweep};

/// Shares of the time below this are not drawn.
const LEAST: f64 = 1e-4;

/// Plots the share of the time that a server has at least a number of requests.
pub(crate) fn in_flight(sweep: &Sweep, point: &Point) -> Scene {
    let lines = present(sweep, point).map(|(at, label)| {
        let points = at_least(&point.comparison.reports[at]);
        Plot::from(line(label, points))
    });
    let plots: Vec<Plot> = lines.collect();
    let layout = Layout::auto_from_plots(&plots)
        .with_title(format!("In flight: {}", title(sweep, Some(point.load))))
        .with_x_label("requests at a server, queue included")
        .with_y_label("share of the time with at least n")
        .with_log_x()
        .with_log_y()
        .with_y_tick_format(percent_ticks());
    render_multiple(plots, layout)
}

fn at_least(reports: &[Report]) -> Vec<(f64, f64)> {
    let mean = |length| {
        reports.iter().map(|report| report.in_flight.at_least(length)).sum::<f64>() / reports.len().max(1) as f64
    };
    let lengths = std::iter::successors(Some(1usize), |&length| Some(length + length.div_ceil(12)));
    lengths.map(|length| (length as f64, mean(length))).take_while(|&(_, part)| part >= LEAST).collect()
}
