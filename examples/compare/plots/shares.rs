use equipoise::sim::Report;
use kuva::{
    plot::{BandPlot, LinePlot},
    render::{figure::Figure as Panels, layout::Layout, plots::Plot, render::Scene},
};

use super::{OTHERS, WATCHED, present, title};
use crate::sweep::{Point, Sweep};

/// What each server gets over time, relative to an even share: a panel for each strategy, of its first seed.
pub(crate) fn shares(sweep: &Sweep, point: &Point) -> Scene {
    let panels: Vec<(Vec<Plot>, &String)> = present(sweep, point)
        .filter_map(|(at, label)| Some((panel(point.comparison.reports[at].first()?, sweep.scenario.watched), label)))
        .collect();
    let columns = panels.len().clamp(1, 3);
    let rows = panels.len().div_ceil(columns).max(1);
    let (plots, labels): (Vec<_>, Vec<_>) = panels.into_iter().unzip();
    let layouts = labels.iter().zip(&plots).map(|(label, plots)| {
        Layout::auto_from_plots(plots)
            .with_title(label.as_str())
            .with_title_size(15)
            .with_x_label("time, s")
            .with_y_label("share, × even")
            .with_y_axis_min(0.0)
    });
    Panels::new(rows, columns)
        .with_title(format!("Share per server: {}", title(sweep, Some(point.load))))
        .with_layouts(layouts.collect())
        .with_plots(plots)
        .with_cell_size(340.0, 230.0)
        .with_shared_legend_bottom()
        .render()
}

fn panel(report: &Report, watched: Option<usize>) -> Vec<Plot> {
    let servers = report.shares.len();
    let (mut time, mut least, mut most, mut one) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for sample in &report.series.samples {
        let at = sample.at.as_secs_f64();
        let of_others = (0..servers).filter(|&server| Some(server) != watched);
        let shares: Vec<f64> = of_others.map(|server| sample.share(server) * servers as f64).collect();
        time.push(at);
        least.push(shares.iter().copied().fold(f64::INFINITY, f64::min).min(1e3));
        most.push(shares.iter().copied().fold(0.0, f64::max));
        one.extend(watched.map(|server| (at, sample.share(server) * servers as f64)));
    }
    let name = if watched.is_some() { "the others, from the least to the most" } else { "from the least to the most" };
    let mut plots =
        vec![Plot::from(BandPlot::new(time, least, most).with_color(OTHERS).with_opacity(0.5).with_legend(name))];
    if let Some(server) = watched {
        let line = LinePlot::new().with_data(one).with_color(WATCHED).with_stroke_width(1.5);
        plots.push(Plot::from(line.with_legend(format!("server {server}"))));
    }
    plots
}
