//! Who got how much, and what moves when one of them is gone.

use std::{
    collections::{HashMap, HashSet},
    io::{self, Write},
};

use equipoise::{EndpointId, EndpointSpec, PickRequest, Pool, Strategy, StrategySpec, UpdateError};

use crate::pools::Absence;

pub(crate) struct Summary {
    rows: Vec<Row>,
    by_id: HashMap<EndpointId, usize>,
    requests: u64,
    keyed: u64,
}

struct Row {
    id: EndpointId,
    weight: u32,
    /// The weight if it can be picked, else 0.
    due: u32,
    served: u64,
    /// Of those, with a key.
    keys: u64,
    /// `None` if keys do not matter to the strategy, or nobody would be left.
    absence: Option<Absence>,
    left: Moves,
    down: Moves,
}

/// Keys that another endpoint gets while one is gone.
#[derive(Default)]
struct Moves {
    /// Of all keys.
    all: u64,
    /// Of those that were not its own.
    others: u64,
}

impl Summary {
    /// `pool` makes one that is like the pool that is asked.
    pub(crate) fn new(
        strategy: &StrategySpec,
        endpoints: &[EndpointSpec],
        weights: &HashMap<EndpointId, u32>,
        down: &HashSet<EndpointId>,
        pool: impl Fn() -> Result<Pool<()>, UpdateError>,
    ) -> Result<Self, UpdateError> {
        let by_key = strategy.build().needs().places_by_key();
        let mut rows = Vec::new();
        for id in endpoints.iter().map(EndpointSpec::id) {
            let weight = weights.get(id).copied().unwrap_or(1);
            let is_down = down.contains(id);
            rows.push(Row {
                id: id.clone(),
                weight,
                due: if is_down { 0 } else { weight },
                served: 0,
                keys: 0,
                absence: if by_key { Some(Absence::of(id, &pool)?) } else { None },
                left: Moves::default(),
                down: Moves::default(),
            });
        }
        let by_id = rows.iter().enumerate().map(|(at, row)| (row.id.clone(), at)).collect();
        Ok(Self { rows, by_id, requests: 0, keyed: 0 })
    }

    /// `request` went to the endpoint `to`.
    pub(crate) fn count(&mut self, request: &PickRequest<'_>, is_keyed: bool, to: &EndpointId) {
        let Some(&owner) = self.by_id.get(to) else { return };
        self.requests += 1;
        self.rows[owner].served += 1;
        if !is_keyed {
            return;
        }
        self.keyed += 1;
        self.rows[owner].keys += 1;
        for (at, row) in self.rows.iter_mut().enumerate() {
            let Some(absence) = &row.absence else { continue };
            for (pool, moves) in [(&absence.left, &mut row.left), (&absence.down, &mut row.down)] {
                // Nobody left to move to: not a move.
                let moved = pool.pick(request).is_ok_and(|lease| lease.endpoint().id() != to);
                moves.all += u64::from(moved);
                moves.others += u64::from(moved && at != owner);
            }
        }
    }

    pub(crate) fn print(&self, strategy: &StrategySpec, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "strategy  {strategy}")?;
        writeln!(out, "requests  {}, {} without a key", self.requests, self.requests - self.keyed)?;
        let due: u64 = self.rows.iter().map(|row| u64::from(row.due)).sum();
        let to_due = |row: &Row| row.served as f64 / self.requests as f64 * due as f64 / f64::from(row.due);
        let most = self.rows.iter().filter(|row| row.due > 0).map(to_due).fold(0.0, f64::max);
        if self.requests > 0 {
            writeln!(out, "max/mean  {most:.4}, by weight, of those that can be picked")?;
        }
        let width = self.rows.iter().map(|row| row.id.as_str().chars().count()).max().unwrap_or(0).max(8);
        let by_key = self.rows.iter().any(|row| row.absence.is_some()) && self.keyed > 0;
        write!(out, "\n{:width$}  {:>7}  {:>10}  {:>8}  {:>8}", "endpoint", "weight", "requests", "share", "of mean")?;
        writeln!(out, "{}", if by_key { "  | it leaves: moved  others'  | it goes down: moved  others'" } else { "" })?;
        for row in &self.rows {
            let share = percent(row.served, self.requests);
            let of_mean = if row.due == 0 || self.requests == 0 { "-".into() } else { format!("{:.4}", to_due(row)) };
            write!(out, "{:width$}  {:>7}  {:>10}  {share:>8}  {of_mean:>8}", row.id, row.weight, row.served)?;
            if by_key {
                let cells =
                    [&row.left, &row.down].map(|moves| [moves.all, moves.others].map(|n| percent(n, self.keyed)));
                let [[left, left_others], [down, down_others]] = cells;
                write!(out, "  | {left:>16}  {left_others:>7}  | {down:>19}  {down_others:>7}")?;
            }
            writeln!(out, "{}", if row.due == 0 && row.weight > 0 { "  (down)" } else { "" })?;
        }
        if by_key {
            writeln!(
                out,
                "\nmoved: keys that go elsewhere, of all keys; others': those of them that were not the endpoint's own"
            )?;
        } else {
            writeln!(out, "\nnothing is placed by key, so no keys move when an endpoint leaves or goes down")?;
        }
        Ok(())
    }
}

fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "-".to_owned() } else { format!("{:.2} %", part as f64 * 100.0 / whole as f64) }
}
