//! What the requests go through: a proxy beside the program, or a balancer inside it.

mod client;
mod equipoise;
mod proxy;
mod tower;

use std::{net::SocketAddr, sync::Arc};

use anyhow::bail;
use clap::ValueEnum;

pub(crate) use self::client::{SERVICE_TIME, Subject};

/// The subjects by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// nginx with `least_conn` and keep-alive connections.
    Nginx,
    /// HAProxy with `balance leastconn` and reused connections.
    Haproxy,
    /// tower's `Balance` with `PeakEwma`, behind its `Buffer`.
    Tower,
    /// This library with its default strategy.
    Equipoise,
    /// This library with two random choices.
    P2c,
    /// This library with least connections.
    LeastConnections,
    /// This library with the least average latency.
    LeastTime,
    /// This library with round robin.
    RoundRobin,
    /// No program: what a balancer would reach that knows the queue of each backend.
    Ideal,
}

impl Kind {
    pub(crate) const DEFAULT: [Self; 4] = [Self::Nginx, Self::Haproxy, Self::Tower, Self::Equipoise];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx, least_conn",
            Self::Haproxy => "HAProxy, leastconn",
            Self::Tower => "tower, PeakEwma",
            Self::Equipoise => "equipoise, default",
            Self::P2c => "equipoise, p2c",
            Self::LeastConnections => "equipoise, least-connections",
            Self::LeastTime => "equipoise, least-time",
            Self::RoundRobin => "equipoise, round-robin",
            Self::Ideal => "ideal (computed)",
        }
    }

    /// Starts the subject. Must be called within a tokio runtime.
    ///
    /// Returns an error if it needs a program that is not installed.
    pub(crate) fn start(self, backends: &[SocketAddr]) -> anyhow::Result<Arc<dyn Subject>> {
        Ok(match self {
            Self::Nginx => Arc::new(proxy::nginx(backends)?),
            Self::Haproxy => Arc::new(proxy::haproxy(backends)?),
            Self::Tower => Arc::new(tower::PeakEwmaBalance::new(backends)),
            Self::Equipoise => equipoise::balanced(backends, ::equipoise::LogEwma::new())?,
            Self::P2c => equipoise::balanced(backends, ::equipoise::P2c::new())?,
            Self::LeastConnections => equipoise::balanced(backends, ::equipoise::LeastConnections::new())?,
            Self::LeastTime => equipoise::balanced(backends, ::equipoise::LeastTime::new())?,
            Self::RoundRobin => equipoise::balanced(backends, ::equipoise::RoundRobin::new())?,
            Self::Ideal => bail!("the ideal is computed, not started"),
        })
    }
}
