//! Counts the share of keys of each endpoint, and how many keys move when one endpoint is absent.

use std::{
    collections::HashMap,
    io::{self, Write},
};

use equipoise::{Availability, EndpointId, EndpointStatus, Pool, Strategy, StrategySpec, UpdateError};

use crate::{
    absence::{Absence, Moves},
    sample::Sample,
};

pub(crate) struct Summary<'a> {
    strategy: &'a StrategySpec,
    rows: Vec<Row>,
    by_id: HashMap<EndpointId, usize>,
    requests: u64,
    keyed: u64,
    /// `None` if the strategy does not use keys.
    sample: Option<Sample>,
}

struct Row {
    id: EndpointId,
    weight: u32,
    down: bool,
    served: u64,
}

impl Row {
    /// The weight if the endpoint can be picked, otherwise 0.
    fn due(&self) -> u32 {
        if self.down { 0 } else { self.weight }
    }
}

/// Maximum number of lookups in pools without an endpoint, for all endpoints together.
const LOOK_UPS: usize = 10_000_000;

impl<'a> Summary<'a> {
    pub(crate) fn new(strategy: &'a StrategySpec, endpoints: Vec<EndpointStatus>, seed: Option<u64>) -> Self {
        let room = (LOOK_UPS / endpoints.len().max(1)).clamp(1_000, 1_000_000);
        let by_key = strategy.build().needs().places_by_key();
        let row = |it: EndpointStatus| Row {
            down: it.availability == Availability::Maintenance,
            id: it.id,
            weight: it.weight,
            served: 0,
        };
        let rows: Vec<Row> = endpoints.into_iter().map(row).collect();
        Self {
            strategy,
            by_id: rows.iter().enumerate().map(|(at, row)| (row.id.clone(), at)).collect(),
            rows,
            requests: 0,
            keyed: 0,
            sample: by_key.then(|| Sample::new(room, seed.unwrap_or(0))),
        }
    }

    /// Counts a request that went to the endpoint `to`. An empty key means no key.
    pub(crate) fn count(&mut self, key: &[u8], to: &EndpointId) {
        let Some(&owner) = self.by_id.get(to) else { return };
        self.requests += 1;
        self.rows[owner].served += 1;
        if !key.is_empty() {
            self.keyed += 1;
            if let Some(sample) = &mut self.sample {
                sample.offer(key, to);
            }
        }
    }

    /// Writes the summary. `pool` builds a copy of the pool.
    pub(crate) fn print(
        &self,
        pool: impl Fn() -> Result<Pool<()>, UpdateError>,
        out: &mut impl Write,
    ) -> io::Result<()> {
        writeln!(out, "strategy  {}", self.strategy)?;
        writeln!(out, "requests  {}, {} without a key", self.requests, self.requests - self.keyed)?;
        let due: u64 = self.rows.iter().map(|row| u64::from(row.due())).sum();
        let to_due = |row: &Row| row.served as f64 / self.requests as f64 * due as f64 / f64::from(row.due());
        let most = self.rows.iter().filter(|row| row.due() > 0).map(to_due).fold(0.0, f64::max);
        if self.requests > 0 {
            writeln!(out, "max/mean  {most:.4}, relative to weights, of endpoints that are up")?;
        }
        let sample = self.sample.as_ref().filter(|sample| sample.len() > 0);
        let width = self.rows.iter().map(|row| row.id.as_str().chars().count()).max().unwrap_or(0).max(8);
        write!(out, "\n{:width$}  {:>7}  {:>10}  {:>8}  {:>8}", "endpoint", "weight", "requests", "share", "of mean")?;
        let moved = "  | it leaves: moved  others'  | it goes down: moved  others'";
        writeln!(out, "{}", if sample.is_some() { moved } else { "" })?;
        for row in &self.rows {
            let share = percent(row.served, self.requests);
            let of_mean = if row.due() == 0 || self.requests == 0 { "-".into() } else { format!("{:.4}", to_due(row)) };
            write!(out, "{:width$}  {:>7}  {:>10}  {share:>8}  {of_mean:>8}", row.id, row.weight, row.served)?;
            if let Some(sample) = sample {
                let absence = pool().map_or_else(|_| Absence::default(), |pool| Absence::of(&row.id, &pool, sample));
                let [left, left_others] = cells(absence.left, sample);
                let [down, down_others] = cells(absence.down, sample);
                write!(out, "  | {left:>16}  {left_others:>7}  | {down:>19}  {down_others:>7}")?;
            }
            writeln!(out, "{}", if row.down { "  (down)" } else { "" })?;
        }
        writeln!(out)?;
        self.print_notes(sample, out)
    }

    fn print_notes(&self, sample: Option<&Sample>, out: &mut impl Write) -> io::Result<()> {
        let about = match (sample, &self.sample) {
            (Some(_), _) => "moved: keys that move, of all keys; others': moved keys that were at other endpoints",
            (None, Some(_)) => "no request had a key, so none can move when an endpoint leaves or goes down",
            (None, None) => "the strategy does not hash keys, so no key moves when an endpoint leaves or goes down",
        };
        writeln!(out, "{about}")?;
        if let Some(sample) = sample.filter(|sample| !sample.is_all()) {
            writeln!(out, "moved and others' are for a random sample of {} keys", sample.len())?;
        }
        // As the strategy itself or inside another.
        if self.strategy.to_string().contains("bounded-load") {
            writeln!(
                out,
                "bounded-load: shares depend on the requests in flight; here it is one, so no endpoint is full"
            )?;
        }
        if self.rows.iter().any(|row| row.down) {
            writeln!(out, "(down): gets no requests and is not in max/mean; its keys are at other endpoints already")?;
        }
        Ok(())
    }
}

fn cells(moves: Option<Moves>, sample: &Sample) -> [String; 2] {
    let percent = |n| percent(n, sample.len() as u64);
    moves.map_or_else(|| ["-", "-"].map(String::from), |moves| [moves.all, moves.others].map(percent))
}

fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "-".to_owned() } else { format!("{:.2} %", part as f64 * 100.0 / whole as f64) }
}
