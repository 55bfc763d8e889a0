//! What people and attackers may put into names must not change the metrics.

use std::{path::Path, time::SystemTime};

use equipoise::{
    EndpointSpec, PickRequest, Pool, Verdict,
    monitor::{
        Monitor, WatchedListener, WatchedPool,
        prometheus::{Exemplar, Exporter, Format},
        report::Reading,
    },
};

use super::server::{Prometheus, promtool, serve};

const HOSTILE: &str = "\"} 666 #\\\n\u{0}\u{1b}[31m\nequipoise_build_info{} λ";

fn monitor() -> Monitor {
    let pool = Pool::<()>::builder(equipoise::RoundRobin::new()).latency_histograms(true).build();
    let id = "\"},endpoint=\"b\\";
    pool.add(EndpointSpec::new("10.0.0.1:80").with_id(id).zone("a\"b").max_in_flight(3), ()).expect("a valid endpoint");
    let mut lease = pool.pick(&PickRequest::new()).expect("an endpoint is up");
    lease.first_byte();
    lease.count_bytes(1, 2);
    lease.finish(Verdict::Success);
    let monitor = Monitor::new();
    monitor.build_info(HOSTILE, "1\n2");
    monitor.add_pool(WatchedPool::new(HOSTILE, &pool));
    monitor.add_listener(WatchedListener::new(HOSTILE, HOSTILE).readings(|readings| {
        readings.push(Reading::counter("received_bytes", "Bytes\nreceived \"from\" \\ clients.", 7));
        readings.push(Reading::gauge("open", "Open connections.", 1).with_label("state", HOSTILE));
    }));
    monitor
}

#[tokio::test]
async fn promtool_has_no_complaint() {
    let text =
        Exporter::new(&monitor()).endpoint_histograms(true).process(true).text(Format::Prometheus).expect("text");
    let Some(result) = promtool(Path::new("."), &["check", "metrics"], &text).await else { return };
    assert_eq!(result, Ok(String::new()), "{text}");
}

#[tokio::test]
async fn prometheus_reads_hostile_names_as_they_are() {
    let exporter = Exporter::new(&monitor()).endpoint_histograms(true).exemplars(|_, _| {
        vec![Exemplar::new(std::time::Duration::from_micros(10), "4bf92f3577b34da6a3ce929d0e0e4736", SystemTime::now())]
    });
    let Some(prometheus) = Prometheus::scraping(&serve(&exporter).await).await else { return };
    let one = |samples: &[super::server::Sample]| samples.len() == 1;
    let attempts = prometheus.until("equipoise_endpoint_attempts_total{outcome=\"success\"}", one).await.remove(0);
    assert_eq!(attempts.value, 1.0);
    assert_eq!(attempts.label("endpoint"), "\"},endpoint=\"b\\");
    // Control characters are replaced by text.
    let name = HOSTILE.chars().map(|c| if c.is_control() { c.escape_unicode().to_string() } else { c.to_string() });
    assert_eq!(attempts.label("pool"), name.collect::<String>());
    let build = prometheus.until("equipoise_build_info", one).await;
    assert_eq!(build[0].label("version"), "1\\u{a}2");
    // Prometheus asks for OpenMetrics, which has exemplars.
    let exemplars = prometheus.exemplars("equipoise_pool_first_byte_seconds_bucket").await;
    assert_eq!(exemplars[0]["exemplars"][0]["labels"]["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(exemplars[0]["exemplars"][0]["value"], "0.00001");
}
