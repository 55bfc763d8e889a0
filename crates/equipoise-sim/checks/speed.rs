//! Measures the speed and the memory of the simulator; nothing is asserted.

use std::{
    error::Error,
    fs,
    time::{Duration, Instant},
};

use equipoise_core::StrategySpec;
use equipoise_sim::{Scenario, Server};

/// Prints simulated requests per second of real time on one core, and the memory of large runs.
pub(crate) fn measure() -> Result<(), Box<dyn Error>> {
    println!("requests per second on one core: 1 client, 10 servers; 100 clients, 100 servers, network and timeouts");
    let small = Scenario::of(10, Server::fifo(1)).load(0.7).warm_up(0.0).lasting(secs(5_000));
    for name in ["round-robin", "random", "p2c", "least-connections", "peak-ewma", "log-ewma"] {
        println!("    {name:20} {:.2} million, {:.2} million", speed(&small, name)?, speed(&crowd(100, 500), name)?);
    }
    println!("peak memory for 3000 clients, 100 servers; hashing strategies have a table per client");
    // The peak of a process never falls, so strategies that need more memory come later.
    for name in ["random", "p2c", "peak-ewma", "log-ewma", "ring", "maglev"] {
        speed(&crowd(3_000, 10), name)?;
        let peak = peak_memory().map_or("unknown on this system".to_owned(), |kib| format!("{} MiB", kib / 1024));
        println!("    {name:20} {peak}");
    }
    Ok(())
}

fn crowd(clients: usize, seconds: u64) -> Scenario {
    Scenario::testbed(clients, 100).warm_up(0.0).lasting(secs(seconds))
}

/// Returns million requests per second.
fn speed(scenario: &Scenario, name: &str) -> Result<f64, Box<dyn Error>> {
    let strategy: StrategySpec = name.parse()?;
    let begun = Instant::now();
    let report = scenario.run(&strategy)?;
    Ok(report.ends.total() as f64 / begun.elapsed().as_secs_f64() * 1e-6)
}

/// Returns the peak memory of this process in KiB, on Linux.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?.parse().ok()
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
