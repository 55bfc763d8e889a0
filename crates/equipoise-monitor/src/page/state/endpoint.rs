use std::time::Duration;

use equipoise_core::{Availability, EndpointId, LatencyHistogram, RequestCounts, Revision};
use serde::{
    Serialize,
    ser::{SerializeMap, Serializer},
};

use super::{
    began::{At, Began, Checks, Conditions, checks, conditions},
    sample::{Samples, three_digits},
    versioned::{Since, Versioned},
};
use crate::report::{ConnectionsReport, EndpointReport};

/// The row of one endpoint, with the tick at which each value changed last.
#[derive(Debug)]
pub(super) struct EndpointRow {
    pub(super) id: EndpointId,
    joined: Revision,
    /// The tick at which the row was made. A client that has seen less does not know the row.
    created: u64,
    address: Versioned<String>,
    tier: Versioned<u8>,
    zone: Versioned<Option<String>>,
    weight: Versioned<u32>,
    availability: Versioned<Availability>,
    in_flight: Versioned<u32>,
    max_in_flight: Versioned<Option<u32>>,
    requests: Versioned<RequestCounts>,
    bytes_sent: Versioned<u64>,
    bytes_received: Versioned<u64>,
    latency: Versioned<Option<Quantiles>>,
    duration: Versioned<Option<Quantiles>>,
    conditions: Versioned<Conditions>,
    checks: Versioned<Checks>,
    connections: Versioned<Option<ConnectionsReport>>,
    /// `None` if the endpoint is in the pool.
    left: Option<Began>,
}

impl EndpointRow {
    pub(super) fn new(report: &EndpointReport, uptime: Duration, tick: u64) -> Self {
        let status = &report.status;
        Self {
            id: status.id.clone(),
            joined: status.joined,
            created: tick,
            address: Versioned::new(status.address.clone(), tick),
            tier: Versioned::new(status.tier.get(), tick),
            zone: Versioned::new(status.zone.clone(), tick),
            weight: Versioned::new(status.weight, tick),
            availability: Versioned::new(status.availability, tick),
            in_flight: Versioned::new(status.in_flight, tick),
            max_in_flight: Versioned::new(status.max_in_flight, tick),
            requests: Versioned::new(status.requests, tick),
            bytes_sent: Versioned::new(status.bytes_sent, tick),
            bytes_received: Versioned::new(status.bytes_received, tick),
            latency: Versioned::new(status.latency.as_ref().map(Quantiles::of), tick),
            duration: Versioned::new(status.duration.as_ref().map(Quantiles::of), tick),
            conditions: Versioned::new(conditions(report.health.as_ref(), uptime), tick),
            checks: Versioned::new(checks(report.health.as_ref(), uptime), tick),
            connections: Versioned::new(report.connections.clone(), tick),
            left: report.left_ago.map(|ago| Began::new(uptime, ago)),
        }
    }

    /// Returns whether the report is one of the same endpoint. An endpoint that has left and come back is another one.
    pub(super) fn is_of(&self, report: &EndpointReport) -> bool {
        self.id == report.status.id && self.joined == report.status.joined
    }

    /// Returns whether the report has the same counts as the row. Of an endpoint that has left, nothing else changes.
    pub(super) fn has_counts_of(&self, report: &EndpointReport) -> bool {
        let status = &report.status;
        (*self.requests.get(), *self.bytes_sent.get(), *self.bytes_received.get())
            == (status.requests, status.bytes_sent, status.bytes_received)
            && *self.connections.get() == report.connections
    }

    pub(super) fn update(&mut self, report: &EndpointReport, uptime: Duration, tick: u64) {
        let status = &report.status;
        // Computing quantiles takes longer than all the rest. Without requests they stay as they are.
        if status.in_flight > 0 || *self.in_flight.get() > 0 || status.requests != *self.requests.get() {
            self.latency.set(status.latency.as_ref().map(Quantiles::of), tick);
            self.duration.set(status.duration.as_ref().map(Quantiles::of), tick);
        }
        if status.address != *self.address.get() {
            self.address.set(status.address.clone(), tick);
        }
        if status.zone != *self.zone.get() {
            self.zone.set(status.zone.clone(), tick);
        }
        self.tier.set(status.tier.get(), tick);
        self.weight.set(status.weight, tick);
        self.availability.set(status.availability, tick);
        self.in_flight.set(status.in_flight, tick);
        self.max_in_flight.set(status.max_in_flight, tick);
        self.requests.set(status.requests, tick);
        self.bytes_sent.set(status.bytes_sent, tick);
        self.bytes_received.set(status.bytes_received, tick);
        self.conditions.set(conditions(report.health.as_ref(), uptime), tick);
        self.checks.set(checks(report.health.as_ref(), uptime), tick);
        if report.connections != *self.connections.get() {
            self.connections.set(report.connections.clone(), tick);
        }
    }

    /// Returns which values a client lacks that has seen all changes until `since`.
    fn lacking(&self, since: Since) -> Since {
        if since.includes(self.created) { Since::Always } else { since }
    }

    /// Returns whether any value has changed.
    pub(super) fn has_changed(&self, since: Since) -> bool {
        let since = self.lacking(since);
        since == Since::Always
            || self.in_flight.has_changed(since)
            || self.requests.has_changed(since)
            || self.bytes_sent.has_changed(since)
            || self.bytes_received.has_changed(since)
            || self.latency.has_changed(since)
            || self.duration.has_changed(since)
            || self.connections.has_changed(since)
            || self.checks.has_changed(since)
            || self.conditions.has_changed(since)
            || self.availability.has_changed(since)
            || self.weight.has_changed(since)
            || self.max_in_flight.has_changed(since)
            || self.address.has_changed(since)
            || self.tier.has_changed(since)
            || self.zone.has_changed(since)
    }

    fn write<M: SerializeMap>(&self, map: &mut M, since: Since, uptime: Duration) -> Result<(), M::Error> {
        map.serialize_entry("id", &self.id)?;
        self.address.write(map, "address", since)?;
        self.tier.write(map, "tier", since)?;
        self.zone.write(map, "zone", since)?;
        self.weight.write(map, "weight", since)?;
        self.availability.write(map, "availability", since)?;
        self.in_flight.write(map, "in_flight", since)?;
        self.max_in_flight.write(map, "max_in_flight", since)?;
        self.requests.write(map, "requests", since)?;
        self.bytes_sent.write(map, "bytes_sent", since)?;
        self.bytes_received.write(map, "bytes_received", since)?;
        self.latency.write(map, "latency", since)?;
        self.duration.write(map, "duration", since)?;
        if self.conditions.has_changed(since) {
            map.serialize_entry("conditions", &At { held: self.conditions.get(), uptime })?;
        }
        if self.checks.has_changed(since) {
            map.serialize_entry("checks", &At { held: self.checks.get(), uptime })?;
        }
        self.connections.write(map, "connections", since)?;
        match self.left {
            Some(left) => map.serialize_entry("left_ago", &left.ago(uptime)),
            None => Ok(()),
        }
    }
}

/// A row as it is sent: with the values that have changed, and with samples.
pub(super) struct Sent<'a> {
    pub(super) row: &'a EndpointRow,
    pub(super) since: Since,
    pub(super) uptime: Duration,
    pub(super) samples: Samples<'a>,
}

impl Serialize for Sent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.row.write(&mut map, self.row.lacking(self.since), self.uptime)?;
        self.samples.write(&mut map)?;
        map.end()
    }
}

/// The row of one endpoint, as of now.
#[cfg(feature = "health")]
pub(in crate::page) struct Endpoint(EndpointRow);

#[cfg(feature = "health")]
impl Endpoint {
    pub(in crate::page) fn new(report: &EndpointReport) -> Self {
        Self(EndpointRow::new(report, Duration::ZERO, 0))
    }
}

#[cfg(feature = "health")]
impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sent = Sent { row: &self.0, since: Since::Always, uptime: Duration::ZERO, samples: Samples::None };
        sent.serialize(serializer)
    }
}

/// Some latencies of a histogram, in milliseconds with three digits.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Quantiles {
    count: u64,
    p50: Option<f64>,
    p90: Option<f64>,
    p99: Option<f64>,
}

impl Quantiles {
    fn of(histogram: &LatencyHistogram) -> Self {
        let quantile = |part| histogram.quantile(part).map(|latency| three_digits(latency.as_secs_f64() * 1_000.0));
        Self { count: histogram.count(), p50: quantile(0.5), p90: quantile(0.9), p99: quantile(0.99) }
    }
}
