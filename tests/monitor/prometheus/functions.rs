//! The numbers of functions of a gateway that people see in the dashboard.

use equipoise::monitor::{Monitor, prometheus::Exporter};

use super::{
    numbers::Dashboard,
    server::{Prometheus, serve},
};
use crate::api::Api;

#[tokio::test]
async fn the_dashboard_shows_what_the_functions_of_an_api_have_counted() {
    let monitor = Monitor::new();
    let api = Api::new(&monitor);
    let Some(prometheus) = Prometheus::scraping(&serve(&Exporter::new(&monitor)).await).await else { return };
    let requests = |outcome| format!("equipoise_rate_limit_requests_total{{outcome=\"{outcome}\"}}");
    // Counters that Prometheus has seen at 0 need no extrapolation.
    prometheus.until(&requests("denied"), |samples| samples.first().is_some_and(|sample| sample.value == 0.0)).await;
    api.use_it().await;
    prometheus.until(&requests("denied"), |samples| samples.first().is_some_and(|sample| sample.value == 2.0)).await;
    let time = format!("timestamp({})", requests("denied"));
    let scraped = prometheus.until(&time, |samples| samples.len() == 1).await;
    let dashboard = Dashboard::at(&prometheus, scraped[0].value).await;

    let cache = |result| [("function", "api cache"), ("result", result)];
    assert_eq!(dashboard.events("Requests to caches", 0, &cache("miss")), 2.0);
    assert_eq!(dashboard.events("Requests to caches", 0, &cache("invalidating")), 2.0);
    assert_eq!(dashboard.events("Requests to caches", 0, &[]), 7.0);
    let ratio = dashboard.sum("Hit ratio of caches", 0, &[("function", "api cache")]);
    assert!((ratio - 0.6).abs() < 1e-9, "{ratio}");
    let bytes = |query| dashboard.sum("Size of cache stores", query, &[("function", "api cache")]);
    assert!((5_000.0..10_000.0).contains(&bytes(0)) && bytes(1) == f64::from(1 << 20), "{} {}", bytes(0), bytes(1));
    let reason = [("function", "api cache"), ("reason", "private")];
    assert_eq!(dashboard.events("Responses that caches have not stored", 0, &reason), 1.0);

    let limit = |outcome| [("function", "api limit"), ("limit", "all"), ("outcome", outcome)];
    assert_eq!(dashboard.events("Requests by rate limit", 0, &limit("admitted")), 8.0);
    assert_eq!(dashboard.events("Requests by rate limit", 0, &limit("denied")), 2.0);
    assert_eq!(dashboard.sum("Keys of limits", 0, &[("limit", "all")]), 1.0);

    let outcome = |outcome| [("function", "api auth"), ("outcome", outcome)];
    assert_eq!(dashboard.events("Requests by outcome of authentication", 0, &outcome("allowed")), 7.0);
    assert_eq!(dashboard.events("Requests by outcome of authentication", 0, &outcome("missing")), 1.0);

    assert!(dashboard.events("Compressed responses", 0, &[("encoding", "gzip")]) >= 5.0);
    let size = dashboard.sum("Size of compressed responses", 0, &[("encoding", "gzip")]);
    assert!(size > 0.0 && size < 0.1, "{size}");
    let refused = [("function", "api decompression"), ("reason", "unsupported")];
    assert_eq!(dashboard.events("Decompressed requests", 0, &[("encoding", "gzip")]), 1.0);
    assert_eq!(dashboard.events("Decompressed requests", 1, &refused), 1.0);
}
