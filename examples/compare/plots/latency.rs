use equipoise::sim::{Latency, Report};
use kuva::render::{
    layout::Layout,
    plots::Plot,
    render::{Scene, render_multiple},
};

use super::style::{line, percent_ticks, present, time_ticks, title};
use crate::{
    figures::milliseconds,
    sweep::{Point, Sweep},
};

/// Number of points per decade.
const FINE: i32 = 15;

/// Plots the share of requests above each latency, from the median on.
pub(crate) fn latency(sweep: &Sweep, point: &Point) -> Scene {
    let mut least = f64::INFINITY;
    let lines = present(sweep, point).filter_map(|(at, label)| {
        let latency = pooled(&point.comparison.reports[at])?;
        let points = slower(&latency);
        least = points.first().map_or(least, |(median, _)| least.min(*median));
        Some(Plot::from(line(label, points)))
    });
    let plots: Vec<Plot> = lines.collect();
    let layout = Layout::auto_from_plots(&plots)
        .with_title(format!("Latency: {}", title(sweep, Some(point.load))))
        .with_x_label("latency, timeouts included")
        .with_y_label("requests that take longer")
        .with_log_x()
        .with_log_y()
        .with_x_axis_min(if least.is_finite() { least * 0.8 } else { 1.0 })
        .with_x_tick_format(time_ticks())
        .with_y_tick_format(percent_ticks());
    render_multiple(plots, layout)
}

fn pooled(reports: &[Report]) -> Option<Latency> {
    let (first, others) = reports.split_first()?;
    let mut latency = first.latency.clone();
    others.iter().for_each(|report| latency.add(&report.latency));
    Some(latency)
}

/// Ends where about ten requests are slower; figures beyond are random.
fn slower(latency: &Latency) -> Vec<(f64, f64)> {
    let parts = (0..).map(|step| 0.5 * 10f64.powf(-f64::from(step) / f64::from(FINE)));
    let known = parts.take_while(|part| part * latency.count() as f64 >= 10.0);
    known.map(|part| (milliseconds(latency.quantile(1.0 - part)).max(1e-3), part)).collect()
}
