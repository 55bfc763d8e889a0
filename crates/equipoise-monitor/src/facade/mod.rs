//! Metrics through the facade of the crate [`metrics`](https://docs.rs/metrics), for applications that already have one of
//! its exporters.
//!
//! [`Bridge`] copies the metrics of a [`Monitor`](crate::Monitor) into a recorder: when it is told to, or
//! [in intervals](Bridge::spawn). Applications that use Prometheus directly need no bridge: the exporter of the feature
//! `prometheus` reads the metrics when they are asked for, and costs less.
//!
//! ```
//! use equipoise_core::{EndpointSpec, Pool};
//! use equipoise_monitor::{Monitor, WatchedPool, facade::Bridge};
//!
//! let pool: Pool<()> = Pool::default();
//! pool.add(EndpointSpec::new("10.0.0.1:80"), ())?;
//! let monitor = Monitor::new();
//! monitor.add_pool(WatchedPool::new("web", &pool));
//!
//! let mut bridge = Bridge::new(&monitor);
//! bridge.describe();
//! bridge.record();
//! # Ok::<(), equipoise_core::UpdateError>(())
//! ```
//!
//! # Differences to the exporter for Prometheus
//!
//! - The names are [the same](crate::metric). `metrics-exporter-prometheus` exports them unchanged, with and without its
//!   recommended naming.
//! - A histogram gets the middle of a bucket of [`LatencyHistogram`](equipoise_core::LatencyHistogram) for each latency
//!   in it, which differs by at most 3.2 % from the latency.
//! - The facade cannot remove a series. The gauges of an endpoint that has left, and of an availability or condition that
//!   has ended, are set to 0. The recorder keeps their series.
//! - Counters of the facade are integers: `process_cpu_seconds_total` has whole seconds.

mod bridge;
mod periodic;

pub use self::{bridge::Bridge, periodic::BridgeGuard};
