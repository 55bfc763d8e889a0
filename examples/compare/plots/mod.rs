//! Pictures of a sweep.

mod in_flight;
mod latency;
mod shares;
mod tail;

use std::{fs, path::Path};

use anyhow::{Context, anyhow};
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

/// Those of them that a plot is to draw the eye to, and to keep it off.
const WATCHED: &str = "#D55E00";
const OTHERS: &str = "#56B4E9";

/// Writes every picture that fits the sweep, as SVG and as PNG.
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

/// The line of a contender: its colour and its dashes are those of its place, so that they are the same in every plot of
/// the same strategies, and two lines upon each other both show.
fn line(contender: usize, points: Vec<(f64, f64)>) -> LinePlot {
    let style = match contender % 3 {
        0 => LineStyle::Solid,
        1 => LineStyle::Custom("14 7".to_owned()),
        _ => LineStyle::Custom("4 7".to_owned()),
    };
    LinePlot::new()
        .with_data(points)
        .with_color(COLOURS[contender % COLOURS.len()])
        .with_stroke_width(2.0)
        .with_line_style(style)
}

/// For axes in milliseconds.
fn time_ticks() -> TickFormat {
    TickFormat::Custom(std::sync::Arc::new(|ms| match ms {
        ms if ms >= 1_000.0 => format!("{} s", short(ms / 1e3)),
        ms => format!("{} ms", short(ms)),
    }))
}

/// For axes of parts.
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

/// The contenders that have something to show, and their numbers.
fn present<'a>(sweep: &'a Sweep, point: &'a crate::sweep::Point) -> impl Iterator<Item = (usize, &'a String)> {
    sweep.labels.iter().enumerate().filter(|(at, _)| !figures::is_missing(&point.comparison, *at))
}
