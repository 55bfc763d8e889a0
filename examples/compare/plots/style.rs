//! What the plots have in common: colours, lines, ticks and titles.

use equipoise::strategy::by_name;
use kuva::{
    plot::{LinePlot, LineStyle},
    render::layout::TickFormat,
};

use crate::{
    figures,
    sweep::{Point, Sweep},
};

/// Okabe and Ito's colours, which most people with a colour blindness can tell apart, without their yellow, which is
/// hard to see on white.
const COLOURS: [&str; 9] =
    ["#E69F00", "#7F5B00", "#999999", "#56B4E9", "#0072B2", "#009E73", "#D55E00", "#CC79A7", "#000000"];

/// The colours of the highlighted line and of the others.
pub(super) const WATCHED: &str = "#D55E00";
pub(super) const OTHERS: &str = "#56B4E9";

/// The line of a strategy, with its label. Colour and dashes depend on its name, so that they are the same in every
/// plot. If two lines overlap, the lower one is visible beside the upper one and in its gaps.
pub(super) fn line(label: &str, points: Vec<(f64, f64)>) -> LinePlot {
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
pub(super) fn time_ticks() -> TickFormat {
    TickFormat::Custom(std::sync::Arc::new(|ms| match ms {
        ms if ms >= 1_000.0 => format!("{} s", short(ms / 1e3)),
        ms => format!("{} ms", short(ms)),
    }))
}

/// For axes of shares.
pub(super) fn percent_ticks() -> TickFormat {
    TickFormat::Custom(std::sync::Arc::new(|part| format!("{} %", short(part * 100.0))))
}

fn short(number: f64) -> String {
    let text = format!("{number:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

pub(super) fn title(sweep: &Sweep, load: Option<f64>) -> String {
    match load {
        Some(load) => format!("{}, load {load}", sweep.scenario.name),
        None => sweep.scenario.name.to_owned(),
    }
}

/// Returns the contenders with figures, and their indices.
pub(super) fn present<'a>(sweep: &'a Sweep, point: &'a Point) -> impl Iterator<Item = (usize, &'a String)> {
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
}
