//! Two alternating subjects, and the table of their times.

use std::fmt;

use allocation_counter::measure;
use equipoise_benches::timing::{Effort, in_turn, median_of, nanos};

/// Calls whose allocations are counted.
const COUNTED: u64 = 1_000;

/// A comparison.
pub(crate) struct Race<'a> {
    pub(crate) peer: &'a str,
    pub(crate) what: &'a str,
    pub(crate) n: usize,
    pub(crate) ours: &'a str,
    /// The target: maximum time of equipoise, in multiples of the time of the peer.
    pub(crate) asked: Option<f64>,
}

/// The table of all comparisons.
#[derive(Default)]
pub(crate) struct Table(Vec<[String; 10]>);

const HEADER: [&str; 10] = [
    "peer",
    "what",
    "N",
    "ns, peer",
    "equipoise",
    "ns, equipoise",
    "equipoise / peer",
    "asked",
    "outcome",
    "allocations, peer : equipoise",
];

impl Table {
    /// Times calls on this thread, and counts their allocations.
    pub(crate) fn picks(&mut self, race: &Race<'_>, peer: impl Fn(), ours: impl Fn()) {
        self.calls(race, Effort::FULL, COUNTED, peer, ours);
    }

    /// Times calls that take milliseconds.
    pub(crate) fn builds(&mut self, race: &Race<'_>, peer: impl Fn(), ours: impl Fn()) {
        self.calls(race, Effort { rounds: 25, calls: 4 }, 1, peer, ours);
    }

    fn calls(&mut self, race: &Race<'_>, effort: Effort, counted: u64, peer: impl Fn(), ours: impl Fn()) {
        let answers = in_turn(effort.rounds, [&|| nanos(effort.calls, &peer), &|| nanos(effort.calls, &ours)]);
        let allocations = |call: &dyn Fn()| measure(|| (0..counted).for_each(|_| call())).count_total as f64;
        let each = [allocations(&peer), allocations(&ours)].map(|all| all / counted as f64);
        let allocations = each.map(|each| format!("{each:.2}").trim_end_matches('0').trim_end_matches('.').to_owned());
        self.row(race, &answers, allocations.join(" : "));
    }

    /// Adds nanoseconds that were measured on several threads.
    pub(crate) fn timed(&mut self, race: &Race<'_>, peer: impl Fn() -> f64, ours: impl Fn() -> f64) {
        self.row(race, &in_turn(Effort::FULL.rounds, [&peer, &ours]), "–".into());
    }

    fn row(&mut self, race: &Race<'_>, answers: &[Vec<f64>; 2], allocations: String) {
        let ratio = median_of(answers, |[peer, ours]| ours / peer);
        let outcome = race.asked.map_or("–", |asked| if ratio <= asked { "kept" } else { "**missed**" });
        self.0.push([
            race.peer.into(),
            race.what.into(),
            race.n.to_string(),
            format!("{:.1}", median_of(answers, |[peer, _]| peer)),
            race.ours.into(),
            format!("{:.1}", median_of(answers, |[_, ours]| ours)),
            format!("{ratio:.2}"),
            race.asked.map_or("–".into(), |asked| format!("≤ {asked}")),
            outcome.into(),
            allocations,
        ]);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = HEADER.map(String::from);
        let widths: [usize; 10] = std::array::from_fn(|at| {
            [&header].into_iter().chain(&self.0).map(|row| row[at].chars().count()).max().unwrap_or_default()
        });
        for (line, row) in [&header].into_iter().chain(&self.0).enumerate() {
            for (cell, width) in row.iter().zip(&widths) {
                write!(f, "| {cell:width$} ")?;
            }
            writeln!(f, "|")?;
            if line == 0 {
                widths.iter().try_for_each(|width| write!(f, "| {:-<width$} ", ""))?;
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}
