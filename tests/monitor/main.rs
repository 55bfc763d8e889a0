//! Monitoring with real peers: Prometheus, a browser, load over sockets. And the sums of all that is counted.

mod api;
mod browser;
mod prometheus;
mod sums;
