//! Counts of requests, and the checks of the lab.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use http::StatusCode;

use crate::load::Sample;

/// A table with a column for each phase.
pub(crate) struct Report {
    columns: Vec<Column>,
    servers: Vec<String>,
    /// Number of requests by error, or by the first line of a response with a status from 500.
    complaints: BTreeMap<String, usize>,
}

#[derive(Default)]
struct Column {
    title: &'static str,
    total: usize,
    served: BTreeMap<String, usize>,
    statuses: BTreeMap<StatusCode, usize>,
    failovers: usize,
    latencies: Vec<Duration>,
}

impl Report {
    pub(crate) fn new(servers: Vec<String>, phases: &[&'static str]) -> Self {
        let columns = phases.iter().map(|&title| Column { title, ..Column::default() }).collect();
        Self { columns, servers, complaints: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, phase: usize, sample: Sample) {
        let column = &mut self.columns[phase];
        column.total += 1;
        match sample.outcome {
            Ok(answer) => {
                if let Some(server) = answer.served_by {
                    *column.served.entry(server).or_default() += 1;
                }
                *column.statuses.entry(answer.status).or_default() += 1;
                column.failovers += usize::from(answer.tries > 1);
                column.latencies.push(sample.latency);
                if let (true, Some(reason)) = (answer.status.is_server_error(), answer.body.lines().next()) {
                    *self.complaints.entry(format!("{}: {reason}", answer.status)).or_default() += 1;
                }
            }
            Err(reason) => *self.complaints.entry(reason).or_default() += 1,
        }
    }

    /// Returns the number of requests of this phase.
    pub(crate) fn total(&self, phase: usize) -> usize {
        self.columns[phase].total
    }

    /// Returns the number of requests of this phase that a server answered.
    pub(crate) fn served(&self, phase: usize, server: &str) -> usize {
        self.columns[phase].served.get(server).copied().unwrap_or(0)
    }

    /// Returns the number of all requests, and of those with such a status.
    pub(crate) fn answered(&self, such: impl Fn(StatusCode) -> bool) -> (usize, usize) {
        let of_such = self.columns.iter().flat_map(|column| &column.statuses).filter(|(status, _)| such(**status));
        let answered = of_such.map(|(_, times)| times).sum();
        (self.columns.iter().map(|column| column.total).sum(), answered)
    }

    fn row(&self, f: &mut fmt::Formatter<'_>, name: &str, cell: impl Fn(&Column) -> String) -> fmt::Result {
        let width = self.servers.iter().map(String::len).max().unwrap_or(0).max(22);
        write!(f, "  {name:<width$}")?;
        for column in &self.columns {
            write!(f, "  {:>11}", cell(column))?;
        }
        writeln!(f)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.row(f, "", |column| column.title.to_owned())?;
        for server in &self.servers {
            self.row(f, server, |column| column.served.get(server).copied().unwrap_or(0).to_string())?;
        }
        writeln!(f)?;
        let statuses: BTreeSet<StatusCode> =
            self.columns.iter().flat_map(|column| column.statuses.keys()).copied().collect();
        for status in statuses {
            let name = status.to_string();
            self.row(f, &name, |column| column.statuses.get(&status).copied().unwrap_or(0).to_string())?;
        }
        if self.columns.iter().any(|column| column.total > column.latencies.len()) {
            self.row(f, "no answer", |column| (column.total - column.latencies.len()).to_string())?;
        }
        self.row(f, "failed over", |column| column.failovers.to_string())?;
        self.row(f, "latency p50", |column| percentile(&column.latencies, 50))?;
        self.row(f, "latency p99", |column| percentile(&column.latencies, 99))?;
        if !self.complaints.is_empty() {
            writeln!(f)?;
        }
        for (complaint, times) in &self.complaints {
            writeln!(f, "  {times} x {complaint}")?;
        }
        Ok(())
    }
}

fn percentile(latencies: &[Duration], percent: usize) -> String {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).map_or_else(|| "-".to_owned(), |latency| millis(*latency))
}

/// Formats a time in milliseconds, such as `1.2 ms`.
pub(crate) fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// Conditions that the lab checks.
#[derive(Default)]
pub(crate) struct Checks(Vec<(String, bool)>);

impl Checks {
    pub(crate) fn demand(&mut self, what: impl Into<String>, held: bool) {
        self.0.push((what.into(), held));
    }

    pub(crate) fn all_hold(&self) -> bool {
        self.0.iter().all(|(_, held)| *held)
    }
}

impl fmt::Display for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, held) in &self.0 {
            writeln!(f, "  {:<6}  {what}", if *held { "ok" } else { "FAILED" })?;
        }
        Ok(())
    }
}
