//! The families with one series, or a fixed number of series, per pool.

use equipoise_core::{Availability, LatencyHistogram};

use crate::{
    metric::{
        family::Family,
        list,
        readout::{Readout, counts_bytes},
        sample::{Labels, Sample, Sink, Value},
    },
    report::{EndpointReport, HealthTotals, PoolReport, SessionsReport, StoreReport},
};

type Counts = [(&'static str, u64)];

/// All values of availability, so that each has a series even if no endpoint has it.
const AVAILABILITIES: [Availability; 5] = [
    Availability::Up,
    Availability::Unhealthy,
    Availability::Probation,
    Availability::Draining,
    Availability::Maintenance,
];

pub(super) fn visit<S: Sink>(readout: &Readout, sink: &mut S) -> Result<(), S::Error> {
    let mut pools = Pools { readout, sink };
    pools.number(&list::POOL_REQUESTS, |pool| pool.stats.requests())?;
    pools.sink.family(&list::POOL_ATTEMPTS, readout.pools().flat_map(|(pool, _)| outcomes(pool)))?;
    pools.number(&list::POOL_IN_FLIGHT, |pool| pool.stats.attempts.in_flight)?;
    pools.number(&list::POOL_RETRIES, |pool| pool.stats.retries)?;
    pools.number(&list::POOL_FAILOVERS, |pool| pool.stats.failovers)?;
    pools.number(&list::POOL_QUEUE, |pool| pool.stats.waiting)?;
    pools.number(&list::POOL_QUEUED, |pool| pool.stats.queued)?;
    pools.by_label(&list::POOL_UNSERVED, "reason", |pool| &pool.stats.unserved)?;
    pools.bytes(&list::POOL_SENT, |pool| pool.stats.bytes_sent)?;
    pools.bytes(&list::POOL_RECEIVED, |pool| pool.stats.bytes_received)?;
    pools.sink.family(&list::POOL_ENDPOINTS, readout.pools().flat_map(|(pool, _)| availabilities(pool)))?;
    pools.number(&list::POOL_CHANGES, |pool| pool.revision)?;
    pools.histogram(
        &list::POOL_FIRST_BYTE,
        |endpoint| endpoint.status.latency.as_ref(),
        |pool| pool.past_latency.as_ref(),
    )?;
    pools.histogram(
        &list::POOL_DURATION,
        |endpoint| endpoint.status.duration.as_ref(),
        |pool| pool.past_duration.as_ref(),
    )?;
    pools.health()?;
    pools.sessions(&list::POOL_SESSION_REQUESTS, "outcome", |sessions| &sessions.outcomes)?;
    pools.sessions(&list::POOL_SESSION_UNBOUND, "reason", |sessions| &sessions.unbound)?;
    pools.sessions(&list::POOL_SESSION_MOVED, "reason", |sessions| &sessions.moved)?;
    pools.sessions(&list::POOL_SESSION_DIVERTED, "reason", |sessions| &sessions.diverted)?;
    let limited = readout.pools().filter_map(|(pool, _)| {
        Some((Labels::of("pool", &pool.name), Value::Integer(pool.sessions.as_ref()?.limited)))
    });
    pools.sink.family(&list::POOL_SESSIONS_LIMITED, limited)?;
    pools.stores()
}

struct Pools<'a, S> {
    readout: &'a Readout,
    sink: &'a mut S,
}

impl<'a, S: Sink> Pools<'a, S> {
    fn number(&mut self, family: &Family, of: impl Fn(&PoolReport) -> u64) -> Result<(), S::Error> {
        let sample = |(pool, _): (&'a PoolReport, _)| (Labels::of("pool", &pool.name), Value::Integer(of(pool)));
        self.sink.family(family, self.readout.pools().map(sample))
    }

    /// Passes on a number of bytes of the pools that count them.
    fn bytes(&mut self, family: &Family, of: impl Fn(&PoolReport) -> u64) -> Result<(), S::Error> {
        let sample = |(pool, _): (&'a PoolReport, _)| {
            counts_bytes(pool).then(|| (Labels::of("pool", &pool.name), Value::Integer(of(pool))))
        };
        self.sink.family(family, self.readout.pools().filter_map(sample))
    }

    fn by_label(
        &mut self,
        family: &Family,
        label: &'static str,
        of: impl Fn(&'a PoolReport) -> &'a Counts,
    ) -> Result<(), S::Error> {
        let samples = |(pool, _): (&'a PoolReport, _)| {
            let counts = of(pool).iter();
            counts.map(|(value, count)| (Labels::of("pool", &pool.name).with(label, value), Value::Integer(*count)))
        };
        self.sink.family(family, self.readout.pools().flat_map(samples))
    }

    fn histogram(
        &mut self,
        family: &Family,
        of: fn(&EndpointReport) -> Option<&LatencyHistogram>,
        past: fn(&PoolReport) -> Option<&LatencyHistogram>,
    ) -> Result<(), S::Error> {
        let sample = |(pool, _): (&'a PoolReport, _)| {
            let endpoints = pool.endpoints.iter().chain(&pool.departed).filter_map(of);
            let histograms: Vec<_> = endpoints.chain(past(pool)).collect();
            (!histograms.is_empty()).then(|| (Labels::of("pool", &pool.name), Value::Histogram(histograms)))
        };
        self.sink.family(family, self.readout.pools().filter_map(sample))
    }

    fn health(&mut self) -> Result<(), S::Error> {
        let healths = || self.readout.pools().filter_map(|(pool, _)| Some((&*pool.name, pool.health.as_ref()?)));
        let changes = |(pool, health): (&'a str, &'a HealthTotals)| {
            health.changes.iter().map(move |(source, availability, count)| {
                let labels = Labels::of("pool", pool).with("source", source).with("availability", availability);
                (labels, Value::Integer(*count))
            })
        };
        let number = |(pool, health): (&'a str, &HealthTotals), of: fn(&HealthTotals) -> u64| {
            (Labels::of("pool", pool), Value::Integer(of(health)))
        };
        let probes = |(pool, health): (&'a str, &'a HealthTotals)| {
            health.probes.iter().map(move |(check, result, count)| {
                let labels = Labels::of("pool", pool).with("check", check).with("result", result);
                (labels, Value::Integer(*count))
            })
        };
        self.sink.family(&list::POOL_HEALTH_CHANGES, healths().flat_map(changes))?;
        self.sink.family(&list::POOL_EJECTIONS, healths().map(|health| number(health, |totals| totals.ejections)))?;
        let prevented = healths().map(|health| number(health, |totals| totals.prevented));
        self.sink.family(&list::POOL_EJECTIONS_PREVENTED, prevented)?;
        self.sink.family(&list::POOL_PAUSES, healths().map(|health| number(health, |totals| totals.pauses)))?;
        self.sink.family(&list::POOL_PROBES, healths().flat_map(probes))
    }

    fn sessions(
        &mut self,
        family: &Family,
        label: &'static str,
        of: impl Fn(&'a SessionsReport) -> &'a Counts,
    ) -> Result<(), S::Error> {
        self.by_label(family, label, |pool| pool.sessions.as_ref().map_or(&[], &of))
    }

    fn stores(&mut self) -> Result<(), S::Error> {
        let stores = || {
            self.readout.pools().filter_map(|(pool, _)| {
                let store = pool.sessions.as_ref()?.store.as_ref()?;
                Some((Labels::of("pool", &pool.name).with("store", store.kind), store))
            })
        };
        let numbers = |of: fn(&StoreReport) -> Option<u64>| {
            stores().filter_map(move |(labels, store)| Some((labels, Value::Integer(of(store)?))))
        };
        self.sink.family(&list::POOL_STORED_SESSIONS, numbers(|store| store.sessions))?;
        self.sink.family(&list::POOL_STORED_SESSIONS_LIMIT, numbers(|store| store.capacity))?;
        self.sink.family(&list::POOL_STORE_CONNECTED, numbers(|store| store.connected.map(u64::from)))?;
        let events = stores().flat_map(|(labels, store)| {
            let events = store.events.iter();
            events.map(move |(event, count)| (labels.with("event", event), Value::Integer(*count)))
        });
        self.sink.family(&list::POOL_STORE_EVENTS, events)
    }
}

/// Returns the number of ended attempts with each outcome.
fn outcomes<'a>(pool: &'a PoolReport) -> impl Iterator<Item = Sample<'a>> {
    let outcomes = pool.stats.attempts.by_outcome().into_iter();
    outcomes.map(|(outcome, count)| (Labels::of("pool", &pool.name).with("outcome", outcome), Value::Integer(count)))
}

/// Returns the number of endpoints with each availability.
fn availabilities<'a>(pool: &'a PoolReport) -> impl Iterator<Item = Sample<'a>> {
    AVAILABILITIES.into_iter().map(|availability| {
        let endpoints = pool.endpoints.iter();
        let count = endpoints.filter(|endpoint| endpoint.status.availability == availability).count();
        let labels = Labels::of("pool", &pool.name).with("availability", availability.as_str());
        (labels, Value::Integer(count as u64))
    })
}
