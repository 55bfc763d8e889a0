use equipoise::sim::Report;
use kuva::{
    plot::{
        BandPlot, LinePlot,
        legend::{LegendEntry, LegendShape},
    },
    render::{figure::Figure as Panels, layout::Layout, plots::Plot, render::Scene},
};

use super::style::{OTHERS, WATCHED, present, title};
use crate::sweep::{Point, Sweep};

/// Width of a row, and the gap between two cells.
const WIDTH: f64 = 1_360.0;
const SPACING: f64 = 8.0;

/// Plots the share of each server over time, relative to an even share: a panel for each strategy, for the first seed.
pub(crate) fn shares(sweep: &Sweep, point: &Point) -> Scene {
    let watched = sweep.scenario.watched;
    let first = |at: usize| point.comparison.reports[at].first().map(|report| Shares::of(report, watched));
    let panels: Vec<(Shares, &String)> =
        present(sweep, point).filter_map(|(at, label)| Some((first(at)?, label))).collect();
    let highest = panels.iter().map(|(shares, _)| shares.highest()).fold(1.0, f64::max);
    let rows = rows(panels.len());
    // Narrow cells, so that rows of different lengths fill the same width.
    let columns = rows.first().map_or(1, |most| most * (most - 1).max(1));
    let (plots, layouts): (Vec<_>, Vec<_>) = panels
        .into_iter()
        .map(|(shares, label)| {
            let plots = shares.plots();
            let layout = Layout::auto_from_plots(&plots)
                .with_title(label.as_str())
                .with_title_size(15)
                .with_x_label("time, s")
                .with_y_label("share of requests (1 = even)")
                .with_y_axis_min(0.0)
                .with_y_axis_max(highest);
            (plots, layout)
        })
        .unzip();
    Panels::new(rows.len().max(1), columns)
        .with_structure(structure(&rows, columns))
        .with_title(format!("Share per server: {}", title(sweep, Some(point.load))))
        .with_plots(plots)
        .with_layouts(layouts)
        .with_spacing(SPACING)
        .with_cell_size((WIDTH + SPACING) / columns as f64 - SPACING, 250.0)
        .with_shared_legend_bottom()
        .with_shared_legend_entries(legend(watched))
        .render()
}

/// Returns the number of panels in each row, as equal as possible, longer rows first.
pub(super) fn rows(panels: usize) -> Vec<usize> {
    let rows = panels.div_ceil(4);
    (0..rows).map(|row| panels / rows + usize::from(row < panels % rows)).collect()
}

/// Returns the cells of each panel.
fn structure(rows: &[usize], columns: usize) -> Vec<Vec<usize>> {
    let cells = |row: usize, panels: usize| {
        let width = columns / panels;
        (0..panels).map(move |panel| (0..width).map(|cell| row * columns + panel * width + cell).collect())
    };
    rows.iter().enumerate().flat_map(|(row, &panels)| cells(row, panels)).collect()
}

fn legend(watched: Option<usize>) -> Vec<LegendEntry> {
    let entry =
        |label: String, color: &str, shape| LegendEntry { label, color: color.to_owned(), shape, dasharray: None };
    let who = if watched.is_some() { "the others" } else { "servers" };
    let others = entry(format!("{who}, from the least to the most"), OTHERS, LegendShape::Rect);
    let one = watched.map(|server| entry(format!("server {server}"), WATCHED, LegendShape::Line));
    one.into_iter().chain([others]).collect()
}

/// Over time.
#[derive(Default)]
struct Shares {
    time: Vec<f64>,
    min: Vec<f64>,
    max: Vec<f64>,
    watched: Vec<(f64, f64)>,
}

impl Shares {
    fn of(report: &Report, watched: Option<usize>) -> Self {
        let servers = report.shares.len();
        let mut shares = Self::default();
        for sample in &report.series.samples {
            let at = sample.at.as_secs_f64();
            let share = |server| sample.share(server) * servers as f64;
            let others = || (0..servers).filter(|&server| Some(server) != watched).map(share);
            shares.time.push(at);
            shares.min.push(others().reduce(f64::min).unwrap_or_default());
            shares.max.push(others().fold(0.0, f64::max));
            shares.watched.extend(watched.map(|server| (at, share(server))));
        }
        shares
    }

    fn highest(&self) -> f64 {
        let watched = self.watched.iter().map(|(_, share)| *share);
        self.max.iter().copied().chain(watched).fold(0.0, f64::max)
    }

    fn plots(self) -> Vec<Plot> {
        let others = BandPlot::new(self.time, self.min, self.max).with_color(OTHERS).with_opacity(0.5);
        let one = LinePlot::new().with_data(self.watched).with_color(WATCHED).with_stroke_width(1.5);
        vec![others.into(), one.into()]
    }
}
