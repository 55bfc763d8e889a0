//! Numbers and times as people read them.

use std::fmt::Write;

use crate::wire::Sample;

/// The maximum width of a column of a plain table. A longer cell has its full length, and its line is not aligned.
const MAX_WIDTH: usize = 200;

/// Returns a number with at most four digits and a unit: `0`, `950`, `12.3k`.
pub(crate) fn count(value: f64) -> String {
    for (factor, unit) in [(1e9, "G"), (1e6, "M"), (1e4, "k")] {
        if value >= factor {
            let scaled = if unit == "k" { value / 1e3 } else { value / factor };
            return if scaled < 100.0 { format!("{scaled:.1}{unit}") } else { format!("{scaled:.0}{unit}") };
        }
    }
    if value > 0.0 && value < 10.0 && value.fract() > 0.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// Returns milliseconds with a unit, or a dash.
pub(crate) fn milliseconds(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(ms) if ms < 10.0 => format!("{ms:.1}ms"),
        Some(ms) if ms < 1_000.0 => format!("{ms:.0}ms"),
        Some(ms) => format!("{:.1}s", ms / 1_000.0),
    }
}

/// Returns a time span in its two largest units: `42s`, `3m 20s`, `5d 4h`.
pub(crate) fn span(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

/// Draws values as bars of a height of one character. The highest one has the full height, and 0 has none.
pub(crate) fn sparkline<'s>(samples: impl Iterator<Item = &'s Sample>, value: impl Fn(&Sample) -> f64) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let values: Vec<_> = samples.map(value).collect();
    let highest = values.iter().copied().fold(0.0, f64::max);
    let bar = |value: &f64| match *value > 0.0 {
        true => BARS.get(((value / highest * 8.0).ceil() as usize).clamp(1, 8) - 1).copied().unwrap_or('█'),
        false => ' ',
    };
    values.iter().map(bar).collect()
}

/// Aligns columns for a plain table. The first line is the head.
pub(crate) fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or_default();
    let cell = |line: &Vec<String>, at: usize| line.get(at).map_or(0, |cell| cell.chars().count());
    let widths: Vec<_> = (0..columns)
        .map(|at| lines.iter().map(|line| cell(line, at)).max().unwrap_or_default().min(MAX_WIDTH))
        .collect();
    let mut text = String::new();
    for line in lines {
        let mut row = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            // Writing to a string does not fail.
            let _ = write!(row, "{cell:width$}  ");
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_have_units() {
        for (value, text) in [(0.0, "0"), (0.04, "0.0"), (2.5, "2.5"), (9_999.0, "9999"), (12_345.0, "12.3k")] {
            assert_eq!(count(value), text);
        }
        assert_eq!((count(2.5e6), count(123e9)), ("2.5M".to_owned(), "123G".to_owned()));
        assert_eq!([None, Some(0.25), Some(12.4), Some(2_500.0)].map(milliseconds), ["–", "0.2ms", "12ms", "2.5s"]);
        assert_eq!([-1.0, 59.9, 200.0, 7_260.0, 90_000.0].map(span), ["0s", "59s", "3m 20s", "2h 1m", "1d 1h"]);
    }

    #[test]
    fn a_long_cell_is_whole_and_makes_no_column_wider_than_the_maximum() {
        let long = "x".repeat(70_000);
        let lines = [[&*long, "a"], ["b", "c"]].map(|line| line.map(str::to_owned).to_vec());
        assert_eq!(aligned(&lines), format!("{long}  a\nb{}c\n", " ".repeat(MAX_WIDTH + 1)));
    }

    #[test]
    fn the_highest_value_has_the_full_height_and_zero_has_none() {
        let samples = [0.0, 0.1, 4.0, 8.0].map(|rate| Sample { rate, ..Sample::default() });
        assert_eq!(sparkline(samples.iter(), |sample| sample.rate), " ▁▄█");
    }
}
