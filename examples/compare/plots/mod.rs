//! Plots of a sweep.

mod in_flight;
mod latency;
mod shares;
mod tail;

use std::{fs, path::Path};

use anyhow::{Context, anyhow};
use equipoise::strategy::by_name;
use kuva::{
    backend::{png::PngBackend, svg::SvgBackend},
    plot::{LinePlot, LineStyle},
    render::{layout::TickFormat, render::Scene},
};

pub(crate) use self::{in_flight::in_flight, latency::latency, shares::shares, tail::tail};
use crate::{figures, sweep::Sweep};

/// Okabe and Ito's colours, which most people with a colour blindness can tell apart, without their yellow, which is
/// hard to see on white.
const COLOURS: [&str; 9] =
    ["#E69F00", "#7F5B00", "#999999", "#56B4E9", "#0072B2", "#009E73", "#D55E00", "#CC79A7", "#000000"];

/// The colours of the highlighted line and of the others.
const WATCHED: &str = "#D55E00";
const OTHERS: &str = "#56B4E9";

/// Writes all plots of the sweep, as SVG and PNG.
pub(crate) fn write_all(sweep: &Sweep, into: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(into).with_context(|| into.display().to_string())?;
    let name = sweep.scenario.name;
    if sweep.points.len() > 1 && sweep.has_figures() {
        write_both(&tail(sweep), into, &format!("{name}-tail"))?;
    }
    for point in sweep.points.iter().filter(|point| point.has_figures()) {
        let load = point.load;
        write_both(&latency(sweep, point), into, &format!("{name}-{load}-latency"))?;
        write_both(&in_flight(sweep, point), into, &format!("{name}-{load}-in-flight"))?;
        write_both(&shares(sweep, point), into, &format!("{name}-{load}-shares"))?;
    }
    Ok(())
}

fn write_both(scene: &Scene, into: &Path, name: &str) -> anyhow::Result<()> {
    write_svg(scene, &into.join(format!("{name}.svg")))?;
    let path = into.join(format!("{name}.png"));
    let png = PngBackend::new().render_scene(scene).map_err(|error| anyhow!("{}: {error}", path.display()))?;
    fs::write(&path, png).with_context(|| path.display().to_string())
}

pub(crate) fn write_svg(scene: &Scene, path: &Path) -> anyhow::Result<()> {
    fs::write(path, SvgBackend.render_scene(scene)).with_context(|| path.display().to_string())
}

/// The line of a strategy, with its label. Colour and dashes depend on its name, so that they are the same in every
/// plot. If two lines overlap, the lower one is visible beside the upper one and in its gaps.
fn line(label: &str, points: Vec<(f64, f64)>) -> LinePlot {
    let (colour, dashes) = look(label);
    let (style, width) = match dashes {
        0 => (LineStyle::Solid, 3.0),
        1 => (LineStyle::Custom("12 10".to_owned()), 2.0),
        _ => (LineStyle::Custom("4 8".to_owned()), 2.0),
    };
    LinePlot::new()
        .with_data(points)
        .with_color(COLOURS[colour])
        .with_stroke_width(width)
        .with_line_style(style)
        .with_legend(label)
}

/// Returns colour and dashes of a strategy. All strategies without settings differ. Two with the same name and
/// different settings differ in most cases.
fn look(label: &str) -> (usize, usize) {
    let place = |name: &str| by_name::all().iter().position(|known| known.name() == name);
    let sum = |text: &str| text.bytes().map(usize::from).sum::<usize>();
    let (name, settings) = label.split_once('(').unwrap_or((label, ""));
    let place = place(name).unwrap_or_else(|| sum(name));
    ((place + sum(settings)) % COLOURS.len(), (place + place / COLOURS.len() + sum(settings)) % 3)
}

/// For axes in milliseconds.
fn time_ticks() -> TickFormat {
    TickFormat::Custom(std::sync::Arc::new(|ms| match ms {
        ms if ms >= 1_000.0 => format!("{} s", short(ms / 1e3)),
        ms => format!("{} ms", short(ms)),
    }))
}

/// For axes of shares.
fn percent_ticks() -> TickFormat {
    TickFormat::Custom(std::sync::Arc::new(|part| format!("{} %", short(part * 100.0))))
}

fn short(number: f64) -> String {
    let text = format!("{number:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn title(sweep: &Sweep, load: Option<f64>) -> String {
    match load {
        Some(load) => format!("{}, load {load}", sweep.scenario.name),
        None => sweep.scenario.name.to_owned(),
    }
}

/// Returns the contenders with figures, and their indices.
fn present<'a>(sweep: &'a Sweep, point: &'a crate::sweep::Point) -> impl Iterator<Item = (usize, &'a String)> {
    sweep.labels.iter().enumerate().filter(|(at, _)| !figures::is_missing(&point.comparison, *at))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::scenarios::ALL;

    #[test]
    fn no_two_lines_of_a_plot_look_the_same() {
        for scenario in ALL {
            let strategies = scenario.strategies().expect("they exist");
            let looks: BTreeSet<_> = strategies.iter().map(|strategy| look(&strategy.to_string())).collect();
            assert_eq!(looks.len(), strategies.len(), "{}", scenario.name);
        }
    }

    #[test]
    fn rows_are_full() {
        assert_eq!(shares::rows(7), [4, 3]);
        assert_eq!(shares::rows(9), [3, 3, 3]);
        for panels in 1..30 {
            let rows = shares::rows(panels);
            assert_eq!(rows.iter().sum::<usize>(), panels);
            assert!(rows.iter().all(|row| (1..=4).contains(row)));
        }
    }
}
