//! Measures the cost of health checks for 10 000 endpoints: the state machine and its driver, without the I/O of
//! probes, which answer at once.
//!
//! Figures are printed and not asserted. Linux only, because the program reads the CPU time of its thread there. The
//! runtime has one thread, so that this thread does all the work.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use equipoise_core::{Availability, EndpointId, EndpointSpec, Failure, LogEwma, PickRequest, Pool, Verdict};
use equipoise_health::{
    Health, Outliers, Schedule,
    probe::{ProbeError, probe_fn},
};
use tokio::{
    runtime::Builder,
    time::{interval, sleep},
};

const ENDPOINTS: usize = 10_000;
const EVERY: Duration = Duration::from_secs(5);
const MEASURED: Duration = Duration::from_secs(20);
const TICK: Duration = Duration::from_millis(1);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    Builder::new_current_thread().enable_all().build()?.block_on(measure())
}

async fn measure() -> Result<(), Box<dyn std::error::Error>> {
    let (probes, ill) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (count, sick) = (Arc::clone(&probes), Arc::clone(&ill));
    let look = probe_fn(move |_| {
        count.fetch_add(1, Relaxed);
        let answer = if sick.load(Relaxed) { Err(ProbeError::Timeout) } else { Ok(()) };
        async { answer }
    });
    let trips = Outliers::new().consecutive_failures(1).max_ejection_percent(100);
    let health = Health::builder().check("check", Schedule::new().interval(EVERY), look).outliers(trips).build()?;
    let pool = Pool::new(health.watch(LogEwma::new()));
    pool.update((0..ENDPOINTS).map(|at| EndpointSpec::new(format!("10.0.{}.{}:80", at / 256, at % 256))), |_| ())?;

    let resident = memory("VmRSS:");
    // Resets the peak to the present memory.
    let _ = fs::write("/proc/self/clear_refs", "5");
    let _checking = health.spawn(&pool);

    let (mut tenth, mut seen, mut most, mut first) = (interval(Duration::from_millis(100)), 0, 0, 0);
    for at in 0..100 {
        tenth.tick().await;
        let now = probes.load(Relaxed);
        most = most.max(now - seen);
        seen = now;
        first = if at == 10 { now } else { first };
    }
    println!("probes: {first} in the first second, at most {most} in a tenth of one during the first ten");

    let (cpu, from) = (used(), probes.load(Relaxed));
    sleep(MEASURED).await;
    let (cpu, checks) = (used() - cpu, probes.load(Relaxed) - from);
    let percent = 100.0 * cpu.as_secs_f64() / MEASURED.as_secs_f64();
    println!(
        "CPU: {percent:.1} % of one core, {:?} per probe, {checks} probes in {MEASURED:?}",
        cpu / checks.max(1) as u32
    );
    let peak = memory("VmHWM:").saturating_sub(resident);
    println!("memory: {} bytes per endpoint at the peak", peak * 1024 / ENDPOINTS);

    ill.store(true, Relaxed);
    all(&pool, "down by their checks", |availability| availability == Availability::Unhealthy).await;
    ill.store(false, Relaxed);
    all(&pool, "up by their checks", |availability| availability == Availability::Up).await;

    // No other task runs meanwhile, so the driver gets all of them at once.
    let mut tripped = std::collections::HashSet::<EndpointId>::new();
    while tripped.len() < ENDPOINTS {
        let lease = pool.pick(&PickRequest::new())?;
        tripped.insert(lease.endpoint().id().clone());
        lease.finish(Verdict::Failure(Failure::Server));
    }
    all(&pool, "ejected for their requests", |availability| availability == Availability::Unhealthy).await;
    Ok(())
}

/// Prints the time until all endpoints have the availability, the CPU time, and the longest time without a yield.
async fn all(pool: &Pool<()>, what: &str, so: impl Fn(Availability) -> bool) {
    let (began, cpu) = (Instant::now(), used());
    let (mut stall, mut looked) = (Duration::ZERO, Instant::now());
    loop {
        let before = (Instant::now(), used());
        sleep(TICK).await;
        // The smaller of both, because time that other programs took is not a stall of this one.
        stall = stall.max(before.0.elapsed().saturating_sub(TICK).min(used() - before.1));
        if looked.elapsed() > Duration::from_millis(100) {
            looked = Instant::now();
            if pool.endpoints().iter().all(|endpoint| so(endpoint.availability)) {
                break;
            }
        }
    }
    let (took, cpu) = (began.elapsed(), used() - cpu);
    println!("{what}: all after {took:.1?}, with {cpu:.1?} of CPU, at most {stall:.1?} without a yield");
}

/// Returns the CPU time of this thread.
fn used() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or_default())
}

/// Returns the memory in KiB.
fn memory(what: &str) -> usize {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(what));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}
