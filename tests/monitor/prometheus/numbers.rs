//! The numbers that people see in the dashboard, while a backend dies and returns.

use std::time::Duration;

use equipoise::{
    Availability, EndpointSpec, Pool, RoundRobin,
    health::{Health, Schedule, probe::TcpProbe},
    http::{HttpClient, Upstream},
    monitor::{Monitor, WatchedPool, prometheus::Exporter},
};
use equipoise_tests::{Backend, soon};
use http_body_util::BodyExt;

use super::{
    documents::queries,
    server::{Prometheus, Sample, serve},
};

/// The window of `rate` in the queries: longer than the test, so that nothing has left it.
const WINDOW: (&str, f64) = ("10m", 600.0);

async fn requests(client: &HttpClient, number: usize) {
    for _ in 0..number {
        let response = soon(client.get("/")).await.expect("one backend is always alive");
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.expect("a complete body");
    }
}

/// Waits until the pool knows whether the endpoint is up.
async fn becomes(pool: &Pool<Upstream>, id: &str, availability: Availability) {
    soon(async {
        let mut seen = pool.revision();
        while pool.availability(id) != Some(availability) {
            seen = pool.changed(seen).await;
        }
    })
    .await;
}

/// The results of the dashboard's queries at one moment.
pub(super) struct Dashboard(Vec<(String, Vec<Sample>)>);

impl Dashboard {
    pub(super) async fn at(prometheus: &Prometheus, time: f64) -> Self {
        let mut results = Vec::new();
        for query in queries(WINDOW.0) {
            results.push((query.panel, prometheus.query(&query.expression, time).await));
        }
        Self(results)
    }

    /// Returns the sum of the values in a panel whose series have these labels.
    pub(super) fn sum(&self, panel: &str, query: usize, labels: &[(&str, &str)]) -> f64 {
        let (_, samples) = self.0.iter().filter(|(name, _)| name == panel).nth(query).expect(panel);
        let matching = samples.iter().filter(|sample| labels.iter().all(|(name, value)| sample.label(name) == *value));
        matching.map(|sample| sample.value).sum()
    }

    /// Returns the number of events that a panel shows as a rate.
    pub(super) fn events(&self, panel: &str, query: usize, labels: &[(&str, &str)]) -> f64 {
        (self.sum(panel, query, labels) * WINDOW.1 * 1e6).round() / 1e6
    }
}

#[tokio::test]
async fn the_dashboard_shows_what_the_backends_have_counted_while_one_dies_and_returns() {
    let (a, mut b) = (Backend::start("a").expect("a free port"), Backend::start("b").expect("a free port"));
    let schedule = Schedule::new().interval(Duration::from_millis(50)).rise(1).fall(1);
    let health = Health::builder().check("tcp", schedule, TcpProbe::new()).build().expect("valid settings");
    let pool = Pool::builder(health.watch(RoundRobin::new())).latency_histograms(true).build();
    let specs = [("a", a.address()), ("b", b.address())].map(|(id, address)| EndpointSpec::new(address).with_id(id));
    pool.try_update(specs, |spec| Upstream::new(spec.address())).expect("valid addresses");
    let _checking = health.spawn(&pool);
    let client = HttpClient::new(pool.clone());
    let monitor = Monitor::new();
    monitor.build_info("numbers", "1.0");
    monitor.add_pool(WatchedPool::new("web", &pool).health(&health));
    let Some(prometheus) = Prometheus::scraping(&serve(&Exporter::new(&monitor).process(true)).await).await else {
        return;
    };
    // Counters that Prometheus has seen at 0 need no extrapolation.
    let attempts = "sum(equipoise_endpoint_attempts_total)";
    prometheus.until(attempts, |samples| samples.first().is_some_and(|sample| sample.value == 0.0)).await;

    requests(&client, 60).await;
    b.stop().await;
    let up = |id: &str| format!("equipoise_endpoint_up{{endpoint=\"{id}\"}}");
    let is = |value: f64| move |samples: &[Sample]| samples.len() == 1 && samples[0].value == value;
    requests(&client, 20).await;
    becomes(&pool, "b", Availability::Unhealthy).await;
    prometheus.until(&up("b"), is(0.0)).await;
    let unhealthy = "equipoise_endpoint_availability{endpoint=\"b\", availability=\"unhealthy\"}";
    prometheus.until(unhealthy, is(1.0)).await;
    requests(&client, 20).await;
    b.restart().expect("its port is free");
    becomes(&pool, "b", Availability::Up).await;
    prometheus.until(&up("b"), is(1.0)).await;
    requests(&client, 60).await;

    // Until Prometheus has the end of the last request. Then everything is compared at the time of one scrape.
    let stats = pool.stats();
    let ended = stats.attempts.total as f64;
    prometheus.until(attempts, is(ended)).await;
    let scraped = prometheus.until("timestamp(equipoise_pool_in_flight)", |samples| samples.len() == 1).await;
    let dashboard = Dashboard::at(&prometheus, scraped[0].value).await;

    // What the backends have counted. Each request got exactly one response.
    let (at_a, at_b) = (a.served() as f64, b.served() as f64);
    assert_eq!(at_a + at_b, 160.0);
    assert!(at_b >= 60.0, "half of the requests while both were up: {at_b}");
    let success = |id| [("pool", "web"), ("endpoint", id), ("outcome", "success")];
    assert_eq!(dashboard.sum("Attempts so far", 0, &success("a")), at_a);
    assert_eq!(dashboard.sum("Attempts so far", 0, &success("b")), at_b);
    assert_eq!(dashboard.sum("Attempts so far", 0, &[]), ended);

    // Attempts that have not reached a backend failed at b.
    let failed = ended - 160.0;
    assert_eq!(dashboard.events("Failures by endpoint", 0, &[("endpoint", "b")]), failed);
    assert_eq!(dashboard.events("Failures by endpoint", 0, &[]), failed);
    assert_eq!(dashboard.events("Attempts by endpoint", 0, &[("endpoint", "a")]), at_a);
    assert_eq!(dashboard.events("Attempts by outcome", 0, &[("outcome", "success")]), 160.0);
    let share = dashboard.sum("Failed attempts", 0, &[("pool", "web")]);
    assert!((share - failed / ended).abs() < 1e-9, "{share}");

    // Latencies of attempts with a response.
    let mean = dashboard.sum("Mean time to the first byte", 0, &[("pool", "web")]);
    let (p50, p99) = (dashboard.sum("Time to the first byte", 0, &[]), dashboard.sum("Time to the first byte", 2, &[]));
    assert!(mean > 0.0 && p50 > 0.0 && p99 >= p50, "{mean} {p50} {p99}");

    // The state at the end.
    assert_eq!(dashboard.sum("Endpoints up", 0, &[]), 2.0);
    assert_eq!(dashboard.sum("Endpoints up", 1, &[]), 2.0);
    assert_eq!(dashboard.sum("Endpoints that are up", 0, &[("endpoint", "b")]), 1.0);
    assert_eq!(dashboard.sum("Balancers that answer", 0, &[]), 1.0);
    assert_eq!(dashboard.sum("In flight and limit", 0, &[]), 0.0);
    assert_eq!(dashboard.sum("Queue", 0, &[]), 0.0);
    assert!(dashboard.sum("Memory", 0, &[]) > 1e6);
    assert!(dashboard.sum("CPU", 1, &[]) >= 1.0);
}
