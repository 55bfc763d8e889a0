use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use equipoise_core::{EndpointId, PoolStats};
use serde::{
    Serialize,
    ser::{SerializeMap, Serializer},
};

use super::{
    endpoint::{EndpointRow, Sent},
    sample::Samples,
    versioned::{Since, Versioned},
};
use crate::{
    live::PoolHistory,
    report::{EndpointReport, HealthTotals, PoolReport, SessionsReport},
};

/// How many removals of endpoints a pool remembers. A client that has missed more gets the whole state.
const MAX_REMOVED: usize = 1_024;

/// What is shown of one pool, with the tick at which each value changed last.
#[derive(Debug)]
pub(super) struct PoolRows {
    pub(super) name: Arc<str>,
    strategy: Versioned<String>,
    revision: Versioned<u64>,
    stats: Versioned<PoolStats>,
    health: Versioned<Option<HealthTotals>>,
    sessions: Versioned<Option<SessionsReport>>,
    /// In the order of the reports.
    endpoints: Vec<EndpointRow>,
    departed: Versioned<Vec<EndpointRow>>,
    /// The endpoints that have left, and when. The oldest first.
    removed: VecDeque<(u64, EndpointId)>,
    /// The tick of the newest removal that is not in `removed` any more.
    forgotten: u64,
}

impl PoolRows {
    pub(super) fn new(report: &PoolReport, uptime: Duration, tick: u64) -> Self {
        let rows = |reports: &[EndpointReport]| reports.iter().map(|it| EndpointRow::new(it, uptime, tick)).collect();
        Self {
            name: Arc::clone(&report.name),
            strategy: Versioned::new(report.strategy.clone(), tick),
            revision: Versioned::new(report.revision, tick),
            stats: Versioned::new(report.stats.clone(), tick),
            health: Versioned::new(report.health.clone(), tick),
            sessions: Versioned::new(report.sessions.clone(), tick),
            endpoints: rows(&report.endpoints),
            departed: Versioned::new(rows(&report.departed), tick),
            removed: VecDeque::new(),
            forgotten: tick,
        }
    }

    pub(super) fn update(&mut self, report: &PoolReport, uptime: Duration, tick: u64) {
        self.strategy.set(report.strategy.clone(), tick);
        self.revision.set(report.revision, tick);
        self.stats.set(report.stats.clone(), tick);
        self.health.set(report.health.clone(), tick);
        self.sessions.set(report.sessions.clone(), tick);
        let departed = self.departed.get();
        let is_same = departed.len() == report.departed.len()
            && departed
                .iter()
                .zip(&report.departed)
                .all(|(row, report)| row.is_of(report) && row.has_counts_of(report));
        if !is_same {
            let rows = report.departed.iter().map(|report| EndpointRow::new(report, uptime, tick)).collect();
            self.departed = Versioned::new(rows, tick);
        }
        self.update_endpoints(&report.endpoints, uptime, tick);
    }

    fn update_endpoints(&mut self, reports: &[EndpointReport], uptime: Duration, tick: u64) {
        let is_same = reports.len() == self.endpoints.len()
            && self.endpoints.iter().zip(reports).all(|(row, report)| row.is_of(report));
        if !is_same {
            let mut old: HashMap<_, _> = self.endpoints.drain(..).map(|row| (row.id.clone(), row)).collect();
            let row = |report: &EndpointReport| match old.remove(&report.status.id) {
                Some(row) if row.is_of(report) => row,
                replaced => {
                    self.removed.extend(replaced.map(|row| (tick, row.id)));
                    EndpointRow::new(report, uptime, tick)
                }
            };
            self.endpoints = reports.iter().map(row).collect();
            self.removed.extend(old.into_keys().map(|id| (tick, id)));
            while self.removed.len() > MAX_REMOVED {
                self.forgotten = self.removed.pop_front().map_or(self.forgotten, |(tick, _)| tick);
            }
        }
        for (row, report) in self.endpoints.iter_mut().zip(reports) {
            row.update(report, uptime, tick);
        }
    }

    /// Returns whether all removals after the tick are known.
    pub(super) fn knows_removed(&self, tick: u64) -> bool {
        tick >= self.forgotten
    }

    fn write<M: SerializeMap>(&self, map: &mut M, since: Since) -> Result<(), M::Error> {
        map.serialize_entry("name", &*self.name)?;
        self.strategy.write(map, "strategy", since)?;
        self.revision.write(map, "revision", since)?;
        self.stats.write(map, "stats", since)?;
        self.health.write(map, "health", since)?;
        self.sessions.write(map, "sessions", since)
    }
}

/// A pool as it is sent.
pub(super) struct SentPool<'a> {
    pub(super) pool: &'a PoolRows,
    pub(super) history: &'a PoolHistory,
    pub(super) since: Since,
    pub(super) uptime: Duration,
    /// The number of whole seconds since the client's last message. Not used if everything is sent.
    pub(super) seconds: usize,
}

impl<'a> SentPool<'a> {
    fn samples(&self, history: &'a VecDeque<crate::live::Sample>) -> Samples<'a> {
        match self.since {
            Since::Always => Samples::All(history),
            Since::Tick(_) => Samples::newest(history, self.seconds),
        }
    }
}

impl Serialize for SentPool<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let &Self { pool, history, since, uptime, .. } = self;
        let mut map = serializer.serialize_map(None)?;
        pool.write(&mut map, since)?;
        self.samples(&history.samples).write(&mut map)?;
        map.serialize_entry("endpoints", &Endpoints(self))?;
        if let Since::Tick(_) = since {
            let removed = pool.removed.iter().filter(|(tick, _)| since.includes(*tick));
            let removed: Vec<_> = removed.map(|(_, id)| id).collect();
            if !removed.is_empty() {
                map.serialize_entry("removed", &removed)?;
            }
        }
        if pool.departed.has_changed(since) {
            let departed = pool.departed.get().iter();
            let departed: Vec<_> =
                departed.map(|row| Sent { row, since: Since::Always, uptime, samples: Samples::None }).collect();
            map.serialize_entry("departed", &departed)?;
        }
        map.end()
    }
}

/// The rows of a pool. Those that have not changed are left out, unless everything is sent.
struct Endpoints<'a>(&'a SentPool<'a>);

impl Serialize for Endpoints<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let &Self(sent @ &SentPool { pool, history, since, uptime, .. }) = self;
        let none = VecDeque::new();
        let rows = pool.endpoints.iter().enumerate().filter_map(|(index, row)| {
            let samples = sent.samples(history.endpoints.get(index).unwrap_or(&none));
            let is_sent = since == Since::Always || row.has_changed(since) || !samples.are_zero();
            is_sent.then_some(Sent { row, since, uptime, samples })
        });
        serializer.collect_seq(rows)
    }
}
