//! Medians and paired ratios.

use std::time::Duration;

use crate::{load::Outcome, subject::Subject};

/// The results of one measurement, in the order of the columns.
pub(crate) struct Row([f64; COLUMNS.len()]);

/// The columns with the number of their decimals.
const COLUMNS: [(&str, usize); 5] =
    [("CPU s / 100 000 requests", 2), ("p50, µs", 0), ("p99, µs", 0), ("requests/s", 0), ("memory, MiB", 1)];

impl Row {
    pub(crate) fn new(cpu: Duration, outcome: &Outcome, memory: u64) -> Self {
        let cpu = cpu.as_secs_f64() * 1e5 / outcome.requests as f64;
        let rate = outcome.requests as f64 / outcome.seconds;
        Self([cpu, outcome.p50, outcome.p99, rate, memory as f64 / f64::from(1 << 20)])
    }
}

/// The rows of all rounds.
pub(crate) struct Table {
    rows: Vec<(Subject, Vec<Row>)>,
}

impl Table {
    pub(crate) fn new(subjects: &[Subject]) -> Self {
        Self { rows: subjects.iter().map(|subject| (*subject, Vec::new())).collect() }
    }

    /// Adds the row of a subject in the present round.
    pub(crate) fn add(&mut self, at: usize, row: Row) {
        self.rows[at].1.push(row);
    }

    /// Prints the medians and, in parentheses, the medians of the ratios to the first subject's values of the same
    /// round. For the CPU time, also the least and the greatest ratio.
    pub(crate) fn print(&self, title: &str) {
        let Some((base, base_rows)) = self.rows.first() else { return };
        println!("\n### {title}\n");
        print!("| proxy |");
        for (name, _) in COLUMNS {
            print!(" {name} |");
        }
        println!("\n| --- |{}", " ---: |".repeat(COLUMNS.len()));
        for (subject, rows) in &self.rows {
            print!("| {} |", subject.name());
            for (column, (_, decimals)) in COLUMNS.iter().enumerate() {
                let own = sorted(rows.iter().map(|row| row.0[column]));
                print!(" {:.decimals$}", median(&own));
                if subject != base {
                    let ratios = rows.iter().zip(base_rows).map(|(own, base)| own.0[column] / base.0[column]);
                    let ratios = sorted(ratios);
                    print!(" ({:.2}", median(&ratios));
                    if column == 0 {
                        print!("; {:.2}–{:.2}", ratios[0], ratios[ratios.len() - 1]);
                    }
                    print!(")");
                }
                print!(" |");
            }
            println!();
        }
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}
