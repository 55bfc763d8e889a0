use clap::{Parser, Subcommand};
use equipoise::StrategySpec;

use crate::{
    faults::{ALL, Fault},
    ours::Terms,
    proxies::Proxy,
};

/// Compares balancers while real servers fail.
///
/// Starts three servers, and one balancer after the other in front of them: equipoise with health checks, outlier
/// detection and failover, equipoise without health, nginx, and HAProxy (skipped if not installed). Under load, one
/// server is stopped or killed, or made to hang, to fail or to be slow. For each fault, the table shows how many
/// requests failed, when the balancer sent the last request to that server, and the 99th percentile of the latency.
///
/// All processes listen on loopback and end with the tool. Each fault takes about ten seconds per balancer.
#[derive(Debug, Parser)]
#[command(name = "faults", verbatim_doc_comment, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    /// Only these faults, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = fault)]
    faults: Vec<&'static Fault>,

    /// Only these balancers, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_enum)]
    proxies: Vec<Proxy>,

    /// Requests per second, for faults without their own rate
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(crate) rate: u32,

    /// Strategy of equipoise; nginx and HAProxy use round robin
    #[arg(long, value_name = "STRATEGY", default_value = "round-robin")]
    pub(crate) strategy: StrategySpec,

    /// Write the table into docs/health.md
    #[arg(long)]
    pub(crate) write: bool,

    #[command(subcommand)]
    pub(crate) role: Option<Role>,
}

/// Roles of the child processes, which are this program too.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    #[command(hide = true)]
    Backend { port: u16 },
    #[command(hide = true)]
    Proxy(Terms),
}

impl Args {
    pub(crate) fn faults(&self) -> Vec<&'static Fault> {
        if self.faults.is_empty() { ALL.iter().collect() } else { self.faults.clone() }
    }

    pub(crate) fn proxies(&self) -> Vec<Proxy> {
        if self.proxies.is_empty() { Proxy::ALL.to_vec() } else { self.proxies.clone() }
    }
}

fn fault(name: &str) -> Result<&'static Fault, String> {
    let names = || ALL.iter().map(|fault| fault.name).collect::<Vec<_>>().join(", ");
    ALL.iter().find(|fault| fault.name == name).ok_or_else(|| format!("there are {}", names()))
}
