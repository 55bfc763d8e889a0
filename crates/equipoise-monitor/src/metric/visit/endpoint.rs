//! The families with series of single endpoints.

use std::collections::BTreeMap;

use equipoise_core::{Availability, LatencyHistogram};

use crate::{
    metric::{
        family::Family,
        list,
        readout::{Readout, Row, counts_bytes},
        sample::{Labels, Sample, Sink, Value},
    },
    report::{ConnectionsReport, EndpointReport, PoolReport},
};

pub(super) fn visit<S: Sink>(readout: &Readout, sink: &mut S) -> Result<(), S::Error> {
    let mut rows = Rows { readout, sink };
    rows.present(&list::ENDPOINT_INFO, |labels, row, endpoint| {
        let zone = endpoint.status.zone.as_deref().unwrap_or_default();
        let labels = labels.with("address", &endpoint.status.address).with("zone", zone).with("tier", &row.tier);
        Some((labels, Value::Integer(1)))
    })?;
    rows.present(&list::ENDPOINT_UP, |labels, _, endpoint| {
        Some((labels, Value::Integer(u64::from(endpoint.status.availability == Availability::Up))))
    })?;
    rows.present(&list::ENDPOINT_AVAILABILITY, |labels, _, endpoint| {
        Some((labels.with("availability", endpoint.status.availability.as_str()), Value::Integer(1)))
    })?;
    rows.present(&list::ENDPOINT_CONDITION, |labels, _, endpoint| {
        let conditions = endpoint.health.iter().flat_map(|health| &health.conditions);
        conditions.map(move |condition| {
            let labels = labels.with("source", condition.source).with("availability", condition.availability);
            (labels, Value::Integer(1))
        })
    })?;
    rows.present(&list::ENDPOINT_CHECK_UP, |labels, _, endpoint| {
        // Checks may share a name. A series must not occur twice.
        let mut up = BTreeMap::new();
        for check in endpoint.health.iter().flat_map(|health| &health.checks) {
            *up.entry(&*check.name).or_insert(true) &= check.up;
        }
        up.into_iter().map(move |(check, up)| (labels.with("check", check), Value::Integer(u64::from(up))))
    })?;
    rows.present(&list::ENDPOINT_WEIGHT, |labels, _, endpoint| {
        Some((labels, Value::Integer(u64::from(endpoint.status.weight))))
    })?;
    rows.each(&list::ENDPOINT_ATTEMPTS, |labels, _, row| {
        row.outcomes.iter().map(move |(outcome, count)| (labels.with("outcome", outcome), Value::Integer(*count)))
    })?;
    rows.each(&list::ENDPOINT_IN_FLIGHT, |labels, _, row| Some((labels, Value::Integer(row.in_flight))))?;
    rows.present(&list::ENDPOINT_IN_FLIGHT_LIMIT, |labels, _, endpoint| {
        Some((labels, Value::Integer(u64::from(endpoint.status.max_in_flight?))))
    })?;
    rows.each(&list::ENDPOINT_SENT, |labels, pool, row| {
        counts_bytes(pool).then_some((labels, Value::Integer(row.sent)))
    })?;
    rows.each(&list::ENDPOINT_RECEIVED, |labels, pool, row| {
        counts_bytes(pool).then_some((labels, Value::Integer(row.received)))
    })?;
    if readout.selection.endpoint_histograms {
        rows.histogram(&list::ENDPOINT_FIRST_BYTE, |endpoint| endpoint.status.latency.as_ref())?;
        rows.histogram(&list::ENDPOINT_DURATION, |endpoint| endpoint.status.duration.as_ref())?;
    }
    rows.connections_now(&list::ENDPOINT_CONNECTIONS, |connections| connections.open)?;
    rows.connections_now(&list::ENDPOINT_CONNECTIONS_IDLE, |connections| connections.idle)?;
    rows.connections_now(&list::ENDPOINT_CONNECTIONS_WAITING, |connections| connections.waiting)?;
    rows.connections_so_far(&list::ENDPOINT_CONNECTIONS_OPENED, |connections| connections.opened)?;
    rows.connections_so_far(&list::ENDPOINT_CONNECTIONS_FAILED, |connections| connections.failed)?;
    rows.connections_so_far(&list::ENDPOINT_CONNECTION_REQUESTS, |connections| connections.requests)?;
    rows.connections_so_far(&list::ENDPOINT_CONNECTIONS_SENT, |connections| connections.bytes_sent)?;
    rows.connections_so_far(&list::ENDPOINT_CONNECTIONS_RECEIVED, |connections| connections.bytes_received)?;
    rows.each(&list::ENDPOINT_CONNECTIONS_CLOSED, |labels, pool, row| {
        let mut reasons = BTreeMap::<_, u64>::new();
        for (reason, count) in row.connections(pool).flat_map(|connections| &connections.closed) {
            *reasons.entry(*reason).or_default() += count;
        }
        reasons.into_iter().map(move |(reason, count)| (labels.with("reason", reason), Value::Integer(count)))
    })
}

struct Rows<'a, S> {
    readout: &'a Readout,
    sink: &'a mut S,
}

impl<'a, S: Sink> Rows<'a, S> {
    /// Passes on the series of all rows.
    fn each<I: IntoIterator<Item = Sample<'a>>>(
        &mut self,
        family: &Family,
        samples: impl Fn(Labels<'a>, &'a PoolReport, &'a Row) -> I,
    ) -> Result<(), S::Error> {
        let samples = &samples;
        let rows = self.readout.pools().flat_map(|(pool, rows)| {
            rows.iter().flat_map(move |row| {
                samples(Labels::of("pool", &pool.name).with("endpoint", row.id.as_str()), pool, row)
            })
        });
        self.sink.family(family, rows)
    }

    /// Passes on the series of the endpoints that are in their pool.
    fn present<I: IntoIterator<Item = Sample<'a>>>(
        &mut self,
        family: &Family,
        samples: impl Fn(Labels<'a>, &'a Row, &'a EndpointReport) -> I,
    ) -> Result<(), S::Error> {
        let samples = &samples;
        self.each(family, |labels, pool, row| {
            row.present(pool).into_iter().flat_map(move |endpoint| samples(labels, row, endpoint))
        })
    }

    /// Passes on a gauge of the connections to the endpoints that are in their pool.
    fn connections_now(&mut self, family: &Family, of: impl Fn(&ConnectionsReport) -> u64) -> Result<(), S::Error> {
        self.present(family, |labels, _, endpoint| Some((labels, Value::Integer(of(endpoint.connections.as_ref()?)))))
    }

    /// Passes on a counter of the connections to all endpoints, also to those that have left.
    fn connections_so_far(&mut self, family: &Family, of: impl Fn(&ConnectionsReport) -> u64) -> Result<(), S::Error> {
        self.each(family, |labels, pool, row| {
            let count = row.connections(pool).map(&of).reduce(u64::saturating_add)?;
            Some((labels, Value::Integer(count)))
        })
    }

    fn histogram(
        &mut self,
        family: &Family,
        of: fn(&EndpointReport) -> Option<&LatencyHistogram>,
    ) -> Result<(), S::Error> {
        self.each(family, |labels, pool, row| {
            let histograms: Vec<_> = row.endpoints(pool).filter_map(of).collect();
            (!histograms.is_empty()).then_some((labels, Value::Histogram(histograms)))
        })
    }
}
