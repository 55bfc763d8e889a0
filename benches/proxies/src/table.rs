//! Medians and paired ratios.

use std::time::Duration;

use crate::{
    load::Outcome,
    subject::Subject,
    workload::{Unit, Workload},
};

/// The results of one measurement, in the order of the columns.
pub(crate) struct Row(Vec<f64>);

struct Column {
    name: String,
    decimals: usize,
    /// Whether the table shows ratios to the first subject.
    ratio: bool,
}

impl Row {
    /// The memory is in bytes.
    pub(crate) fn new(unit: Unit, cpu: Duration, outcome: &Outcome, memory: u64) -> Self {
        let (count, mebibyte) = (outcome.count as f64, f64::from(1 << 20));
        let mut values = vec![cpu.as_secs_f64() * unit.cpu_per / count];
        values.extend(outcome.latency.iter().flat_map(|latency| [latency.p50, latency.p99]));
        values.extend([count / unit.rate_per / outcome.seconds, memory as f64 / mebibyte]);
        values.extend(outcome.repeats.map(|repeats| repeats as f64));
        Self(values)
    }
}

/// Returns the columns of the rows of a workload.
fn columns(workload: Workload) -> Vec<Column> {
    let unit = workload.unit();
    let column = |name: String, decimals| Column { name, decimals, ratio: true };
    let mut columns = vec![column(format!("CPU s / {}", unit.cpu), unit.cpu_decimals)];
    if workload != Workload::TcpBulk {
        columns.extend(["p50, µs", "p99, µs"].map(|name| column(name.to_owned(), 0)));
    }
    columns.extend([column(unit.rate.to_owned(), 0), column("memory, MiB".to_owned(), 1)]);
    if workload == Workload::Udp {
        columns.push(Column { name: "sent again".to_owned(), decimals: 0, ratio: false });
    }
    columns
}

/// The rows of all rounds.
pub(crate) struct Table {
    workload: Workload,
    rows: Vec<(Subject, Vec<Row>)>,
}

impl Table {
    pub(crate) fn new(workload: Workload, subjects: &[Subject]) -> Self {
        Self { workload, rows: subjects.iter().map(|subject| (*subject, Vec::new())).collect() }
    }

    /// Adds the row of a subject in the present round.
    pub(crate) fn add(&mut self, at: usize, row: Row) {
        self.rows[at].1.push(row);
    }

    /// Prints the medians and, in parentheses, the medians of the ratios to the first subject's values of the same
    /// round. For the CPU time, also the least and the greatest ratio.
    pub(crate) fn print(&self) {
        let Some((base, base_rows)) = self.rows.first() else { return };
        let columns = columns(self.workload);
        println!("\n### {}\n", self.workload.title());
        print!("| proxy |");
        for column in &columns {
            print!(" {} |", column.name);
        }
        println!("\n| --- |{}", " ---: |".repeat(columns.len()));
        for (subject, rows) in &self.rows {
            print!("| {} |", subject.name(self.workload));
            for (at, Column { decimals, ratio, .. }) in columns.iter().enumerate() {
                let own = sorted(rows.iter().map(|row| row.0[at]));
                print!(" {:.decimals$}", median(&own));
                if *ratio && subject != base {
                    let ratios = rows.iter().zip(base_rows).map(|(own, base)| own.0[at] / base.0[at]);
                    let ratios = sorted(ratios);
                    print!(" ({:.2}", median(&ratios));
                    if at == 0 {
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
