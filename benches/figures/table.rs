//! Tables for the terminal, in Markdown.

use std::fmt;

/// The result of a figure.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Kept,
    Missed,
    /// The machine was not able to measure it.
    NotMeasured,
    /// There is no target.
    NotAsked,
}

impl Outcome {
    pub(crate) fn of(kept: bool) -> Self {
        if kept { Self::Kept } else { Self::Missed }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kept => "kept",
            Self::Missed => "**missed**",
            Self::NotMeasured => "not measured",
            Self::NotAsked => "–",
        })
    }
}

/// Counts of the results.
#[derive(Default)]
pub(crate) struct Tally(Vec<Outcome>);

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |outcome| self.0.iter().filter(|&&other| other == outcome).count();
        let [kept, missed, not] = [Outcome::Kept, Outcome::Missed, Outcome::NotMeasured].map(count);
        write!(f, "{kept} figures kept, {missed} missed, {not} not measured.")
    }
}

/// The figures of one section.
pub(crate) struct Table {
    title: &'static str,
    header: Vec<String>,
    rows: Vec<(Vec<String>, Outcome)>,
}

impl Table {
    pub(crate) fn new<const N: usize>(title: &'static str, header: [&str; N]) -> Self {
        Self { title, header: header.map(String::from).into(), rows: Vec::new() }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N], outcome: Outcome) {
        self.rows.push((cells.into(), outcome));
    }

    pub(crate) fn print(self, tally: &mut Tally) {
        print!("\n{self}");
        tally.0.extend(self.rows.iter().map(|&(_, outcome)| outcome));
    }

    /// Returns all cells, first those of the header; with a column for the outcome if the section has targets.
    fn cells(&self) -> Vec<Vec<String>> {
        let asked = self.rows.iter().any(|&(_, outcome)| outcome != Outcome::NotAsked);
        let with = |cells: &[String], last: String| cells.iter().cloned().chain(asked.then_some(last)).collect();
        let rows = self.rows.iter().map(|(cells, outcome)| with(cells, outcome.to_string()));
        [with(&self.header, "outcome".into())].into_iter().chain(rows).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### {}\n", self.title)?;
        let rows = self.cells();
        let width =
            |at: usize| rows.iter().filter_map(|row| Some(row.get(at)?.chars().count())).max().unwrap_or_default();
        let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
        for (at, row) in rows.iter().enumerate() {
            for (cell, width) in row.iter().zip(&widths) {
                write!(f, "| {cell:width$} ")?;
            }
            writeln!(f, "|")?;
            if at == 0 {
                widths.iter().try_for_each(|width| write!(f, "| {:-<width$} ", ""))?;
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}
