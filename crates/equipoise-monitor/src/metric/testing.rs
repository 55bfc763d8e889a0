//! A snapshot in which every metric has a value.

use std::time::{Duration, SystemTime};

use equipoise_core::{Availability, EndpointSpec, Failure, PickRequest, Pool, RoundRobin, Verdict};

use crate::{
    Monitor, Snapshot, WatchedListener, WatchedPool,
    metric::function::{FAMILIES, reading_name},
    report::{
        CertificateReport, CheckReport, ConditionReport, ConnectionsReport, EndpointReport, FunctionReading,
        FunctionReport, HealthReport, HealthTotals, Reading, ReadingKind, SessionsReport, StoreReport,
    },
};

/// Returns a snapshot of a pool `web` with the endpoints `a:80` (up), `b:80` (unhealthy) and `gone:80` (left), and of a
/// listener.
pub(crate) fn full_snapshot() -> Snapshot {
    let pool = Pool::<()>::builder(RoundRobin::new()).latency_histograms(true).build();
    pool.update([EndpointSpec::new("a:80").max_in_flight(7), EndpointSpec::new("b:80").zone("x")], |_| ())
        .expect("valid endpoints");
    for verdict in [Verdict::Success, Verdict::Failure(Failure::Server), Verdict::Success] {
        let mut lease = pool.pick(&PickRequest::new()).expect("an endpoint is up");
        lease.first_byte();
        lease.count_bytes(10, 20);
        lease.finish(verdict);
    }
    pool.set_availability("b:80", Availability::Unhealthy).expect("a known endpoint");
    let monitor = Monitor::new();
    monitor.add_pool(WatchedPool::new("web", &pool));
    let certificate = |seconds| CertificateReport {
        source: "site.pem".to_owned(),
        names: vec!["site".to_owned()],
        is_default: true,
        not_after: SystemTime::UNIX_EPOCH + Duration::from_millis(seconds),
    };
    let listener = WatchedListener::new("127.0.0.1:80", "http")
        .readings(|readings| {
            readings.push(Reading::counter("received_bytes", "Bytes received from clients.", 5));
            readings.push(Reading::counter("closed", "Closed connections.", 6).with_label("reason", "timeout"));
        })
        .certificates(move |certificates| certificates.extend([certificate(2_000_000), certificate(1_000_500)]));
    monitor.add_listener(listener);

    let mut snapshot = monitor.snapshot();
    let pool = &mut snapshot.pools[0];
    pool.stats.unserved = vec![("no_endpoint", 1)];
    (pool.stats.bytes_sent, pool.stats.bytes_received) = (30, 60);
    pool.health = Some(HealthTotals {
        changes: vec![("checks", "unhealthy", 1)],
        ejections: 1,
        prevented: 1,
        pauses: 1,
        probes: vec![("tcp".to_owned(), "passed", 1)],
    });
    let counts = || vec![("new", 1)];
    pool.sessions = Some(SessionsReport {
        outcomes: counts(),
        limited: 1,
        unbound: counts(),
        moved: counts(),
        diverted: counts(),
        store: Some(StoreReport {
            kind: "table",
            sessions: Some(1),
            capacity: Some(2),
            connected: Some(true),
            events: counts(),
        }),
    });
    for endpoint in &mut pool.endpoints {
        endpoint.connections = Some(ConnectionsReport { closed: vec![("idle", 1)], ..ConnectionsReport::default() });
        endpoint.health = Some(health());
    }
    let mut gone = pool.endpoints[0].clone();
    gone.status.id = "gone:80".into();
    gone.status.requests.success = 1;
    pool.departed = vec![EndpointReport { connections: None, left_ago: Some(Duration::from_secs(1)), ..gone }];
    snapshot.functions = vec![function()];
    snapshot
}

/// Returns a function with a reading for each family of functions.
fn function() -> FunctionReport {
    let readings = FAMILIES.iter().map(|family| FunctionReading {
        name: reading_name(family).leak(),
        kind: ReadingKind::Gauge,
        labels: family.labels().iter().skip(1).map(|label| (*label, "x".into())).collect(),
        value: 1,
    });
    FunctionReport { name: "site".to_owned(), readings: readings.collect(), problems: Vec::new() }
}

fn health() -> HealthReport {
    HealthReport {
        conditions: vec![ConditionReport {
            source: "checks",
            availability: "unhealthy",
            reason: "connection refused".to_owned(),
            since: Duration::from_secs(1),
        }],
        checks: vec![CheckReport { name: "tcp".to_owned(), up: true, since: Duration::from_secs(1), last_error: None }],
    }
}
