//! A snapshot, prepared for exporters.

use std::collections::{BTreeMap, HashMap};
#[cfg(feature = "prometheus")]
use std::sync::Arc;

use equipoise_core::EndpointId;

use super::{
    family::{Family, Kind},
    list::READING_LABELS,
    selection::Selection,
};
use crate::report::{ConnectionsReport, EndpointReport, ListenerReport, PoolReport, ReadingKind, Snapshot};

/// A snapshot with what is derived from it, before it is exported family by family.
pub(crate) struct Readout {
    pub(super) snapshot: Snapshot,
    pub(super) selection: Selection,
    /// The rows of each pool, in the order of [`Snapshot::pools`].
    rows: Vec<Vec<Row>>,
    pub(super) readings: Vec<Readings>,
    #[cfg(feature = "process")]
    pub(super) process: Option<Process>,
}

/// The metrics of the process.
#[cfg(feature = "process")]
pub(super) struct Process {
    pub(super) metrics: metrics_process::collector::Metrics,
    /// The number of threads that can run at once. Determining it reads files on Linux.
    pub(super) cpus: Option<u64>,
}

/// The endpoints of one pool with the same id: at most one that is in the pool, and those that have left it. Their
/// counts are added up, so that the counters of an id do not decrease when its endpoint is removed and added again.
pub(super) struct Row {
    pub(super) id: EndpointId,
    /// The tier of the endpoint as text.
    pub(super) tier: String,
    pub(super) outcomes: [(&'static str, u64); 10],
    pub(super) in_flight: u64,
    pub(super) sent: u64,
    pub(super) received: u64,
    /// The index in [`PoolReport::endpoints`].
    pub(super) present: Option<usize>,
    /// Indexes in [`PoolReport::departed`].
    departed: Vec<usize>,
}

/// A family that is made from the readings of listeners with the same name.
pub(super) struct Readings {
    pub(super) family: Family,
    pub(super) series: Vec<ReadingSeries>,
}

pub(super) struct ReadingSeries {
    /// The index in [`Snapshot::listeners`].
    pub(super) listener: usize,
    pub(super) label: Label,
    pub(super) value: u64,
}

impl Readout {
    pub(crate) fn new(snapshot: Snapshot, selection: Selection) -> Self {
        let rows = |pool| if selection.endpoints { rows(pool) } else { Vec::new() };
        Self {
            rows: snapshot.pools.iter().map(rows).collect(),
            readings: readings(&snapshot.listeners),
            #[cfg(feature = "process")]
            process: selection.process.then(Process::read),
            snapshot,
            selection,
        }
    }

    /// Returns the name of each pool with the ids of its endpoints, and of those that have left it.
    #[cfg(feature = "prometheus")]
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = (&Arc<str>, impl Iterator<Item = &EndpointId>)> {
        self.snapshot.pools.iter().map(|pool| {
            let endpoints = pool.endpoints.iter().chain(&pool.departed);
            (&pool.name, endpoints.map(|endpoint| &endpoint.status.id))
        })
    }

    /// Returns each pool with its rows.
    pub(super) fn pools(&self) -> impl Iterator<Item = (&PoolReport, &[Row])> {
        self.snapshot.pools.iter().zip(self.rows.iter().map(Vec::as_slice))
    }
}

#[cfg(feature = "process")]
impl Process {
    fn read() -> Self {
        let cpus = std::thread::available_parallelism().ok().map(|cpus| cpus.get() as u64);
        Self { metrics: metrics_process::collector::collect(), cpus }
    }
}

impl Row {
    fn new(endpoint: &EndpointReport) -> Self {
        Self {
            id: endpoint.status.id.clone(),
            tier: endpoint.status.tier.get().to_string(),
            outcomes: endpoint.status.requests.by_outcome(),
            in_flight: endpoint.status.requests.in_flight,
            sent: endpoint.status.bytes_sent,
            received: endpoint.status.bytes_received,
            present: None,
            departed: Vec::new(),
        }
    }

    fn add(&mut self, endpoint: &EndpointReport) {
        let outcomes = endpoint.status.requests.by_outcome();
        self.outcomes.iter_mut().zip(outcomes).for_each(|(mine, (_, count))| mine.1 += count);
        self.in_flight += endpoint.status.requests.in_flight;
        self.sent += endpoint.status.bytes_sent;
        self.received += endpoint.status.bytes_received;
    }

    /// Returns the endpoint that is in the pool.
    pub(super) fn present<'a>(&self, pool: &'a PoolReport) -> Option<&'a EndpointReport> {
        pool.endpoints.get(self.present?)
    }

    /// Returns the endpoints of the row: first the one that is in the pool.
    pub(super) fn endpoints<'a>(&'a self, pool: &'a PoolReport) -> impl Iterator<Item = &'a EndpointReport> {
        let departed = self.departed.iter().filter_map(|index| pool.departed.get(*index));
        self.present(pool).into_iter().chain(departed)
    }

    /// Returns the connections to the endpoints of the row, as far as they are known.
    pub(super) fn connections<'a>(&'a self, pool: &'a PoolReport) -> impl Iterator<Item = &'a ConnectionsReport> {
        self.endpoints(pool).filter_map(|endpoint| endpoint.connections.as_ref())
    }
}

/// Returns whether any bytes were counted in the pool. Balancers of HTTP requests count none, and a series that says that
/// no byte was sent would be wrong.
pub(super) const fn counts_bytes(pool: &PoolReport) -> bool {
    pool.stats.bytes_sent > 0 || pool.stats.bytes_received > 0
}

/// Returns one row for each id: first those of the endpoints in the pool, then those that have left.
fn rows(pool: &PoolReport) -> Vec<Row> {
    let mut rows: Vec<_> = pool.endpoints.iter().map(Row::new).collect();
    rows.iter_mut().enumerate().for_each(|(index, row)| row.present = Some(index));
    if pool.departed.is_empty() {
        return rows;
    }
    let mut by_id: HashMap<EndpointId, usize> =
        rows.iter().enumerate().map(|(index, row)| (row.id.clone(), index)).collect();
    for (index, endpoint) in pool.departed.iter().enumerate() {
        let at = *by_id.entry(endpoint.status.id.clone()).or_insert(rows.len());
        match rows.get_mut(at) {
            Some(row) => row.add(endpoint),
            None => rows.push(Row::new(endpoint)),
        }
        if let Some(row) = rows.get_mut(at) {
            row.departed.push(index);
        }
    }
    rows
}

/// A valid name of a label, and its value.
type Label = Option<(String, &'static str)>;
/// By the index of the listener and the further label.
type Values = BTreeMap<(usize, Label), u64>;

/// Groups the readings of all listeners by name. A report has each name once, but different names may become the same
/// valid name: such readings of one listener are added up, because a series must not occur twice. If readings with the same
/// name are counters and gauges, those that differ from the first one are left out: a family has one kind.
fn readings(listeners: &[ListenerReport]) -> Vec<Readings> {
    let mut families: BTreeMap<String, (Family, Values)> = BTreeMap::new();
    for (listener, report) in listeners.iter().enumerate() {
        for reading in &report.readings {
            let kind = match reading.kind {
                ReadingKind::Counter => Kind::Counter,
                ReadingKind::Gauge => Kind::Gauge,
            };
            let name = format!("equipoise_listener_{}", valid_name(reading.name));
            let (family, series) = families.entry(name).or_insert_with_key(|name| {
                (Family::named(kind, name.clone(), reading.help, READING_LABELS), BTreeMap::new())
            });
            if family.kind() == kind {
                let label = reading.label.map(|(name, value)| (label_name(name), value));
                let sum = series.entry((listener, label)).or_default();
                *sum = sum.saturating_add(reading.value);
            }
        }
    }
    let series = |((listener, label), value): ((usize, Label), u64)| ReadingSeries { listener, label, value };
    let readings = |(family, all): (Family, Values)| {
        let series = all.into_iter().map(series).collect();
        Readings { family, series }
    };
    families.into_values().map(readings).collect()
}

/// Returns a name with `_` in the place of each character that names of metrics and labels must not have.
fn valid_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// Returns the valid name of a label: it differs from `listener`, does not begin with a digit, and not with `__`, which
/// Prometheus reserves.
fn label_name(name: &str) -> String {
    match valid_name(name) {
        name if name == "listener" => "listener_label".to_owned(),
        name if name.is_empty() || name.starts_with("__") || name.starts_with(|c: char| c.is_ascii_digit()) => {
            format!("label_{name}")
        }
        name => name,
    }
}
