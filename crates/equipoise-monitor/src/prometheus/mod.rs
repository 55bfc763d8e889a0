//! Metrics in the formats of Prometheus and OpenMetrics, encoded by the crate
//! [`prometheus-client`](https://docs.rs/prometheus-client).
//!
//! [`Exporter`] is a tower service for the path `/metrics`. With the feature `axum`, `Exporter::router` is a router for
//! it. [`Exporter::text`] returns the text for all other servers.
//!
//! ```
//! use equipoise_core::{EndpointSpec, PickRequest, Pool, Verdict};
//! use equipoise_monitor::{
//!     Monitor, WatchedPool,
//!     prometheus::{Exporter, Format},
//! };
//!
//! let pool: Pool<()> = Pool::default();
//! pool.add(EndpointSpec::new("10.0.0.1:80"), ())?;
//! pool.pick(&PickRequest::new())?.finish(Verdict::Success);
//!
//! let monitor = Monitor::new();
//! monitor.add_pool(WatchedPool::new("web", &pool));
//! let exporter = Exporter::new(&monitor);
//! let text = exporter.text(Format::Prometheus)?;
//! let line = r#"equipoise_endpoint_attempts_total{pool="web",endpoint="10.0.0.1:80",outcome="success"} 1"#;
//! assert!(text.lines().any(|any| any == line));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The [metric families](crate::metric) say which series there are. The histograms have 21 buckets: their bounds are the
//! powers of two from 2¹⁷ ns (131 µs) to 2³⁶ ns (69 s), and infinity. Each bound is exact, except that a latency of
//! exactly the bound counts in the next bucket.
//!
//! In the values of labels, quotes, backslashes and newlines are escaped as the formats require. Control characters are
//! replaced by text such as `\u{7}`.

mod body;
mod bucket;
mod exemplar;
mod exporter;
mod format;
mod pieces;
mod service;
#[cfg(test)]
mod tests;
mod text;

pub use self::{body::MetricsBody, exemplar::Exemplar, exporter::Exporter, format::Format};
