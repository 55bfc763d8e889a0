//! Faults with and without health: prints the tables of docs/health.md, section "In the simulator".
//!
//! ```text
//! cargo run --release -p equipoise-sim --example health
//! ```
//!
//! Server 0 of ten has a fault from second 30 to second 60. The recovery is measured until second 150. Takes one or two
//! minutes.

#![forbid(unsafe_code)]

use std::{error::Error, time::Duration};

use equipoise_core::{Availability, StrategySpec};
use equipoise_sim::{
    Comparison, Contender, Control, Fault, Network, Report, Sample, Scenario, Server, Work,
    health::{CheckPolicy, HealthPolicy, LatencyOutlier, Outliers, Schedule},
};

const SERVERS: usize = 10;
const CLIENTS: usize = 3;
const BEGINS: Duration = Duration::from_secs(30);
const LASTS: Duration = Duration::from_secs(30);
const ENDS: Duration = Duration::from_secs(60);
const SAMPLE: Duration = Duration::from_millis(50);
const SEEDS: u64 = 5;
const SLOW: &str = "slow × 12";

fn main() -> Result<(), Box<dyn Error>> {
    for strategy in ["p2c", "log-ewma", "round-robin"] {
        println!("### During the fault: `{strategy}`\n");
        println!("| fault | health from | out after | errors | of these once out | share | p99 |");
        println!("| --- | --- | ---: | ---: | ---: | ---: | ---: |");
        for (name, scenario) in faults() {
            for watcher in watchers(name == SLOW) {
                println!("| {name} | {} | {} |", watcher.name, Figures::of(&scenario, &watcher, strategy)?);
            }
        }
        println!();
    }
    println!("### Recovery: without and with slow start\n");
    println!("| fault | health from | strategy | first request | first 5 s | most in a second | errors | p99 |");
    println!("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |");
    for (name, scenario) in returns() {
        // A retry would hide the errors.
        for watcher in watchers(false).into_iter().filter(|watcher| watcher.retries == 0) {
            for strategy in ["p2c", "log-ewma", "round-robin"] {
                let of = |strategy: &str| Return::of(&scenario, &watcher, strategy);
                let (fast, slow) = (of(strategy)?, of(&format!("slow-start({strategy})"))?);
                print!("| {name} | {} | {strategy} | {:.1} s ", watcher.name, fast.first);
                print!("| {:.2} / {:.2} | {:.2} / {:.2} ", fast.share, slow.share, fast.most, slow.most);
                println!("| {:.0} / {:.0} | {:.0} / {:.0} ms |", fast.errors, slow.errors, fast.p99, slow.p99);
            }
        }
    }
    Ok(())
}

/// The scenario measured during the fault.
fn scenario() -> Scenario {
    Scenario::of(SERVERS, Server::sharing(4.0))
        .clients(CLIENTS)
        .load(0.6)
        .work(Work::normal(Duration::from_millis(10), 1.0))
        .network(Network::local())
        .timeout(Duration::from_secs(1))
        .lasting(ENDS)
        .warm_up(0.5)
        .sample_interval(SAMPLE)
}

fn during(fault: Fault) -> Scenario {
    scenario().fault(fault.from(BEGINS).lasting(LASTS))
}

fn faults() -> [(&'static str, Scenario); 5] {
    let flapping = Fault::refuses(0).lasting(Duration::from_secs(2)).every(Duration::from_secs(4));
    [
        ("sinkhole", during(Fault::sinkhole(0))),
        (SLOW, during(Fault::slow(0, 12.0))),
        ("refuses", during(Fault::refuses(0))),
        ("black hole", during(Fault::blackhole(0))),
        ("flapping", scenario().fault(flapping.from(BEGINS))),
    ]
}

/// The scenarios measured from the end of the fault.
fn returns() -> [(&'static str, Scenario); 2] {
    let refused = during(Fault::refuses(0)).lasting(Duration::from_secs(150)).warm_up(0.4);
    [("refused", refused.clone()), ("refused, now cold", refused.fault(Fault::cold_start(0).from(ENDS)))]
}

/// The sources of health in a run.
struct Watcher {
    name: &'static str,
    policy: Option<HealthPolicy>,
    retries: u32,
}

fn watchers(slow: bool) -> Vec<Watcher> {
    let outliers = Some(Outliers::envoy().max_ejection_percent(50));
    let checks = HealthPolicy::new().check(CheckPolicy::new("check", Schedule::new()));
    let requests = HealthPolicy::new().outliers(outliers);
    let both = checks.clone().outliers(outliers);
    let watcher = |name, policy| Watcher { name, policy, retries: 0 };
    let mut all = vec![
        watcher("none", None),
        watcher("requests", Some(requests)),
        watcher("checks", Some(checks)),
        watcher("both", Some(both.clone())),
        Watcher { name: "both, and one retry", policy: Some(both), retries: 1 },
    ];
    if slow {
        let rule = LatencyOutlier::new(3.0).min_hosts(5).min_requests(20);
        let outliers = outliers.map(|outliers| outliers.latency(rule));
        all.push(watcher("requests, latency too", Some(HealthPolicy::new().outliers(outliers))));
    }
    all
}

fn run(scenario: &Scenario, watcher: &Watcher, strategy: &str) -> Result<Comparison, Box<dyn Error>> {
    let scenario = scenario.clone().max_retries(watcher.retries);
    let scenario = watcher.policy.iter().fold(scenario, |scenario, policy| scenario.health(policy.clone()));
    let strategy: StrategySpec = strategy.parse()?;
    let contenders: [&dyn Contender; 1] = [&strategy];
    Ok(Comparison::run(&scenario, &contenders, SEEDS, &Control::new())?.complete()?)
}

/// Figures of the server with the fault.
struct Figures {
    /// Mean and maximum in seconds, over the clients that took the server out during the fault.
    out: Option<(f64, f64)>,
    /// Number of clients that did not take the server out.
    never: usize,
    errors: f64,
    error_rate: f64,
    once_out: f64,
    share: f64,
    p99: f64,
}

impl Figures {
    fn of(scenario: &Scenario, watcher: &Watcher, strategy: &str) -> Result<Self, Box<dyn Error>> {
        let all = run(scenario, watcher, strategy)?;
        let reports = &all.reports[0];
        let mut times: Vec<f64> = Vec::new();
        for health in reports.iter().filter_map(|report| report.health.as_ref()) {
            times.extend(
                health.times_to_unhealthy(0, BEGINS).iter().filter(|time| **time < LASTS).map(Duration::as_secs_f64),
            );
        }
        let mean = times.iter().sum::<f64>() / times.len().max(1) as f64;
        let longest = times.iter().copied().fold(0.0, f64::max);
        let once_out =
            |report: &Report| report.health.as_ref().map_or(0, |health| health.failed_while_unhealthy[0]) as f64;
        Ok(Self {
            out: (!times.is_empty()).then_some((mean, longest)),
            never: reports.len() * CLIENTS - times.len(),
            errors: all.spread(0, |report| report.ends.errors() as f64).mean,
            error_rate: all.spread(0, Report::error_rate).mean,
            once_out: all.spread(0, once_out).mean,
            share: all.spread(0, |report| share(report, BEGINS, ENDS)).mean,
            p99: all.spread(0, |report| report.latency.p99().as_secs_f64()).mean,
        })
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.out {
            None => f.write_str("never")?,
            Some((mean, longest)) => write!(f, "{mean:.2} s, at most {longest:.2} s")?,
        }
        if self.out.is_some() && self.never > 0 {
            write!(f, "; {} of {} never", self.never, SEEDS as usize * CLIENTS)?;
        }
        let (errors, rate) = (self.errors, 100.0 * self.error_rate);
        write!(f, " | {errors:.0} ({rate:.3} %) | {:.1} | {:.2} %", self.once_out, 100.0 * self.share)?;
        write!(f, " | {:.0} ms", 1000.0 * self.p99)
    }
}

/// Figures of the server from the end of the fault.
struct Return {
    /// Seconds until its first request.
    first: f64,
    /// Requests in the 5 s after the server was up at all clients, relative to a fair share.
    share: f64,
    /// Largest number of requests in one second of any run, relative to a fair share.
    most: f64,
    /// Number of failed requests of all.
    errors: f64,
    /// 99th percentile of all requests in milliseconds.
    p99: f64,
}

impl Return {
    fn of(scenario: &Scenario, watcher: &Watcher, strategy: &str) -> Result<Self, Box<dyn Error>> {
        let all = run(scenario, watcher, strategy)?;
        let fair = |report: &Report, from| SERVERS as f64 * share(report, from, from + Duration::from_secs(5));
        Ok(Self {
            first: all.spread(0, first_request).mean,
            share: all.spread(0, |report| fair(report, taken_back(report))).mean,
            most: all.spread(0, most_in_a_second).max,
            errors: all.spread(0, |report| report.ends.errors() as f64).mean,
            p99: all.spread(0, |report| 1000.0 * report.latency.p99().as_secs_f64()).mean,
        })
    }
}

fn samples_after(report: &Report) -> &[Sample] {
    &report.series.samples[(ENDS.as_millis() / SAMPLE.as_millis()) as usize..]
}

fn first_request(report: &Report) -> f64 {
    let after = samples_after(report).iter().position(|sample| sample.sent[0] > 0);
    after.map_or(f64::INFINITY, |samples| (samples + 1) as f64 * SAMPLE.as_secs_f64())
}

fn taken_back(report: &Report) -> Duration {
    let changes = report.health.iter().flat_map(|health| &health.changes);
    let back = changes.filter(|change| change.server == 0 && change.to == Availability::Up).map(|change| change.at);
    back.fold(ENDS, Duration::max)
}

fn most_in_a_second(report: &Report) -> f64 {
    let relative = |second: &[Sample]| {
        let there: u32 = second.iter().map(|sample| sample.sent[0]).sum();
        let all: u32 = second.iter().flat_map(|sample| &sample.sent).sum();
        SERVERS as f64 * f64::from(there) / f64::from(all.max(1))
    };
    samples_after(report).windows((1_000 / SAMPLE.as_millis()) as usize).map(relative).fold(0.0, f64::max)
}

/// Share of server 0 in all attempts in that time.
fn share(report: &Report, from: Duration, to: Duration) -> f64 {
    let within = report.series.samples.iter().filter(|sample| sample.at > from && sample.at <= to);
    let (mut there, mut all) = (0, 0);
    for sample in within {
        there += u64::from(sample.sent[0]);
        all += sample.sent.iter().copied().map(u64::from).sum::<u64>();
    }
    there as f64 / all.max(1) as f64
}
