//! The results as text: for the terminal, as CSV and as Markdown.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use super::{
    cases::{ACCEPTED, Accepted},
    outcome::{Figures, Outcome},
    verdict::{Against, Verdict, counts},
};
use crate::figures::{NONE, part, time};

const COLUMNS: [&str; 4] = ["p99", "p99.9", "mean", "errors"];

/// The cells of a case: for each figure the default, the best with its name, and the difference.
fn cells(outcome: &Outcome) -> Option<[[String; 3]; 4]> {
    let Verdict { mean, p99, p999, errors, .. } = Verdict::of(outcome)?;
    let latency = |against: &Against| {
        if against.contender == 0 {
            let [ours, none] = [time(against.ours), "no other strategy has as few errors".to_owned()];
            return [ours, none, NONE.to_owned()];
        }
        let best = format!("{} {}", time(against.best), outcome.labels[against.contender]);
        [time(against.ours), best, format!("{:+.0} %", against.worse() * 100.0)]
    };
    let points = (errors.ours - errors.best) * 100.0;
    let best = format!("{} {}", part(errors.best), outcome.labels[errors.contender]);
    let difference = if points == 0.0 { "0".to_owned() } else { format!("{points:+.3} pt") };
    Some([latency(&p99), latency(&p999), latency(&mean), [part(errors.ours), best, difference]])
}

pub(super) fn terminal(outcomes: &[Outcome], in_full: bool, seeds: u64, out: &mut impl Write) -> io::Result<()> {
    let width = outcomes.iter().map(|outcome| outcome.case.full_name().len()).max().unwrap_or(0);
    writeln!(
        out,
        "the default, the best other strategy in that figure, and the difference; means over {seeds} seeds\n"
    )?;
    write!(out, "{:width$}", "scenario")?;
    COLUMNS.iter().try_for_each(|column| write!(out, " | {column:>8} {:>27} {:>10}", "best", ""))?;
    writeln!(out)?;
    for outcome in outcomes {
        write!(out, "{:width$}", outcome.case.full_name())?;
        match cells(outcome) {
            None => write!(out, " | the default has no figures")?,
            Some(cells) => cells
                .iter()
                .try_for_each(|[ours, best, difference]| write!(out, " | {ours:>8} {best:>27} {difference:>10}"))?,
        }
        writeln!(out)?;
    }
    for line in outcomes.iter().filter_map(return_line) {
        writeln!(out, "\n{line}")?;
    }
    if in_full {
        outcomes.iter().try_for_each(|outcome| all(outcome, out))?;
    }
    writeln!(out, "\n{}", counts(outcomes))
}

/// Says how soon the server of a case is used again after its outage. `None` for a case without an outage.
fn return_line(outcome: &Outcome) -> Option<String> {
    let Against { ours, best, contender } = Verdict::of(outcome)?.back?;
    let (name, label) = (outcome.case.full_name(), &outcome.labels[contender]);
    Some(format!("`{name}`: the server is used again after {}, and with `{label}` after {}", time(ours), time(best)))
}

/// Prints the figures of every strategy.
fn all(outcome: &Outcome, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "\n{}: {}\n", outcome.case.full_name(), outcome.case.about)?;
    let width = outcome.labels.iter().map(String::len).max().unwrap_or(0);
    writeln!(out, "{:width$} {:>8} {:>8} {:>8} {:>8} {:>8}", "", "p50", "mean", "p99", "p99.9", "errors")?;
    for (label, figures) in outcome.labels.iter().zip(&outcome.figures) {
        write!(out, "{label:width$}")?;
        match figures {
            None => writeln!(out, " {NONE:>8}")?,
            Some(Figures { p50, mean, p99, p999, errors, .. }) => {
                [p50, mean, p99, p999].into_iter().try_for_each(|figure| write!(out, " {:>8}", time(*figure)))?;
                writeln!(out, " {:>8}", part(*errors))?;
            }
        }
    }
    Ok(())
}

/// Writes a line for each case and strategy. Times are in seconds, errors are a share.
pub(super) fn csv(outcomes: &[Outcome], out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "scenario,strategy,p50,mean,p99,p99.9,errors,return")?;
    for outcome in outcomes {
        for (label, figures) in outcome.labels.iter().zip(&outcome.figures) {
            let Some(Figures { p50, mean, p99, p999, errors, back }) = figures else { continue };
            let back = back.map_or_else(String::new, |back| format!("{back:.3}"));
            let name = outcome.case.full_name();
            writeln!(out, "{name},\"{label}\",{p50:.9},{mean:.9},{p99:.9},{p999:.9},{errors:.9},{back}")?;
        }
    }
    out.flush()
}

/// Returns a list of the times until servers are used again after their outages.
pub(super) fn returns(outcomes: &[Outcome]) -> String {
    let lines = outcomes.iter().filter_map(return_line).map(|line| format!("- {line}."));
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns a list of the accepted losses, each with its figure and its reason.
pub(super) fn losses(outcomes: &[Outcome]) -> String {
    let line = |loss: &Accepted| {
        let outcome = outcomes.iter().find(|outcome| outcome.case.full_name() == loss.case)?;
        let column = COLUMNS.iter().position(|column| *column == loss.figure.name())?;
        let [ours, best, difference] = &cells(outcome)?[column];
        let (case, figure) = (loss.case, loss.figure.name());
        Some(format!("- `{case}`, {figure} {ours} ({difference}; {best}): {}", loss.reason))
    };
    ACCEPTED.iter().filter_map(line).collect::<Vec<_>>().join("\n")
}

/// Returns a table in which each cell has the default's figure and, in brackets, the difference to the best other strategy.
pub(super) fn table(outcomes: &[Outcome]) -> String {
    let mut text = format!("| scenario | {} |\n| --- |{}", COLUMNS.join(" | "), " --- |".repeat(COLUMNS.len()));
    for outcome in outcomes {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n| `{}`: {} |", outcome.case.full_name(), outcome.case.about);
        match cells(outcome) {
            None => text += &format!(" {NONE} |").repeat(COLUMNS.len()),
            Some(cells) => cells.iter().for_each(|[ours, best, difference]| {
                let _ = write!(text, " {ours} ({difference}; {best}) |");
            }),
        }
    }
    text
}
