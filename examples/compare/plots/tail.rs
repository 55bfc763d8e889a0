use kuva::{
    plot::LinePlot,
    render::{figure::Figure as Panels, layout::Layout, plots::Plot, render::Scene},
};

use super::style::{line, time_ticks, title};
use crate::{
    figures::{self, Figure},
    sweep::Sweep,
};

/// Plots p99 and p99.9 by load.
pub(crate) fn tail(sweep: &Sweep) -> Scene {
    let figures = [Figure::P99, Figure::P999];
    let plots: Vec<Vec<Plot>> = figures.map(|figure| lines(sweep, figure)).into();
    let both: Vec<Plot> = figures.into_iter().flat_map(|figure| lines(sweep, figure)).collect();
    let (least, most) = (extreme(sweep, f64::min, f64::INFINITY), extreme(sweep, f64::max, 0.0));
    let layouts = figures.map(|figure| {
        Layout::auto_from_plots(&both)
            .with_title(format!("{}: {}", title(sweep, None), figure.name()))
            .with_x_label("load (1 = capacity)")
            .with_y_label("latency, timeouts included")
            .with_log_y()
            .with_y_axis_min(least * 0.9)
            .with_y_axis_max(most * 1.1)
            .with_y_tick_format(time_ticks())
            // The default margin is too narrow for these labels.
            .with_force_margins(125.0, 15.0)
            .with_y_label_offset(-18.0, 0.0)
    });
    Panels::new(1, 2).with_plots(plots).with_layouts(layouts.into()).with_shared_legend().render()
}

fn lines(sweep: &Sweep, figure: Figure) -> Vec<Plot> {
    let drawn = |at: usize| sweep.points.iter().any(|point| !figures::is_missing(&point.comparison, at));
    let labels = sweep.labels.iter().enumerate().filter(|(at, _)| drawn(*at));
    labels.map(|(at, label)| Plot::from(of(sweep, at, label, figure))).collect()
}

fn of(sweep: &Sweep, contender: usize, label: &str, figure: Figure) -> LinePlot {
    let points = sweep.points.iter().filter(|point| !figures::is_missing(&point.comparison, contender));
    let ms = |point: &crate::sweep::Point| point.comparison.spread(contender, |report| figure.of(report)).mean * 1e3;
    let mut points: Vec<(f64, f64)> = points.map(|point| (point.load, ms(point).max(1e-3))).collect();
    if let [(load, ms)] = points[..] {
        // A strategy with figures at one load only: a line of one point is invisible.
        points = vec![(load - 0.01, ms), (load + 0.01, ms)];
    }
    line(label, points)
}

/// Returns the range of all drawn values in milliseconds.
fn extreme(sweep: &Sweep, pick: fn(f64, f64) -> f64, start: f64) -> f64 {
    let reports = sweep.points.iter().flat_map(|point| point.comparison.reports.iter().flatten());
    let times = reports.flat_map(|report| [Figure::P99, Figure::P999].map(|figure| figure.of(report) * 1e3));
    times.filter(|&ms| ms > 0.0).fold(start, pick)
}
