//! Comparison of measured figures with expected ones.

use std::fmt;

use equipoise_sim::Spread;

use super::Effort;

/// The findings of a check so far.
pub(super) struct Findings {
    pub(super) effort: Effort,
    pub(super) all: Vec<Finding>,
    pub(super) notes: Vec<&'static str>,
}

/// One measured figure with its expected value.
pub(super) struct Finding {
    what: String,
    expected: String,
    got: String,
    tolerance: String,
    verdict: Verdict,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Holds,
    Deviates,
    /// The figure is only shown.
    Shown,
}

/// A figure and its range over the seeds.
pub(super) struct Figure {
    value: f64,
    range: Option<(f64, f64)>,
}

impl From<f64> for Figure {
    fn from(value: f64) -> Self {
        Self { value, range: None }
    }
}

impl From<Spread> for Figure {
    fn from(spread: Spread) -> Self {
        Self { value: spread.mean, range: (spread.min < spread.max).then_some((spread.min, spread.max)) }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&digits(self.value))?;
        self.range.map_or(Ok(()), |(least, most)| write!(f, " ({}–{})", digits(least), digits(most)))
    }
}

impl Findings {
    pub(super) fn new(effort: Effort) -> Self {
        Self { effort, all: Vec::new(), notes: Vec::new() }
    }

    pub(super) fn is_quick(&self) -> bool {
        self.effort == Effort::Quick
    }

    /// Returns the setting for the effort.
    pub(super) fn pick<T>(&self, quick: T, full: T) -> T {
        if self.is_quick() { quick } else { full }
    }

    /// Expects a relative deviation of at most `tolerance`.
    pub(super) fn near(&mut self, what: impl Into<String>, expected: f64, got: impl Into<Figure>, tolerance: f64) {
        let got = got.into();
        let holds = (got.value / expected - 1.0).abs() <= tolerance;
        self.add(what, digits(expected), got.to_string(), format!("{} %", digits(tolerance * 100.0)), holds);
    }

    /// Expects an absolute deviation of at most `tolerance`.
    pub(super) fn within(&mut self, what: impl Into<String>, expected: f64, got: impl Into<Figure>, tolerance: f64) {
        let got = got.into();
        let holds = (got.value - expected).abs() <= tolerance;
        self.add(what, digits(expected), got.to_string(), format!("± {}", digits(tolerance)), holds);
    }

    /// Expects at most `bound` for every seed.
    pub(super) fn at_most(&mut self, what: impl Into<String>, bound: f64, got: impl Into<Figure>) {
        let got = got.into();
        let holds = got.range.map_or(got.value, |(_, most)| most) <= bound;
        self.add(what, format!("≤ {}", digits(bound)), got.to_string(), String::new(), holds);
    }

    /// Expects at least `bound` for every seed.
    pub(super) fn at_least(&mut self, what: impl Into<String>, bound: f64, got: impl Into<Figure>) {
        let got = got.into();
        let holds = got.range.map_or(got.value, |(least, _)| least) >= bound;
        self.add(what, format!("≥ {}", digits(bound)), got.to_string(), String::new(), holds);
    }

    /// Expects each figure to be less than the next.
    pub(super) fn rising(&mut self, what: impl Into<String>, figures: &[(&str, f64)]) {
        let names: Vec<&str> = figures.iter().map(|(name, _)| *name).collect();
        let got: Vec<String> = figures.iter().map(|(_, figure)| digits(*figure)).collect();
        let holds = figures.windows(2).all(|pair| pair[0].1 < pair[1].1);
        self.add(what, names.join(" < "), got.join(", "), "order".into(), holds);
    }

    /// Shows a figure beside a published one, without expecting anything.
    pub(super) fn show(&mut self, what: impl Into<String>, seen_elsewhere: impl Into<String>, got: impl Into<Figure>) {
        self.add(what, seen_elsewhere.into(), got.into().to_string(), String::new(), true);
        if let Some(last) = self.all.last_mut() {
            last.verdict = Verdict::Shown;
        }
    }

    /// Explains a difference to a published figure.
    pub(super) fn note(&mut self, text: &'static str) {
        self.notes.push(text);
    }

    fn add(&mut self, what: impl Into<String>, expected: String, got: String, tolerance: String, holds: bool) {
        let verdict = if holds { Verdict::Holds } else { Verdict::Deviates };
        self.all.push(Finding { what: what.into(), expected, got, tolerance, verdict });
    }
}

impl Finding {
    pub(super) fn holds(&self) -> bool {
        self.verdict != Verdict::Deviates
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Holds => "ok",
            Verdict::Deviates => "DEVIATES",
            Verdict::Shown => "(shown)",
        };
        let Self { what, expected, got, tolerance, .. } = self;
        write!(f, "    {what:<44} {expected:>14}  {got:<28} {tolerance:<9} {verdict}")
    }
}

/// Formats a figure with four significant digits.
fn digits(value: f64) -> String {
    let before = if value == 0.0 { 1.0 } else { value.abs().log10().floor() + 1.0 };
    format!("{value:.*}", (4.0 - before).clamp(0.0, 6.0) as usize)
}
