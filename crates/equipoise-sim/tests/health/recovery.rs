//! Recovery: once all faults have ended, all servers are up again.

use equipoise_core::Availability;
use equipoise_sim::{
    Fault, Scenario,
    health::{CheckPolicy, HealthPolicy, InitialState, Outliers},
};

use crate::common::{both, checks, ms, requests, run, schedule, secs, tens};

/// All kinds of faults until second 40, at all servers if `all`, and 90 s of recovery.
fn trouble(seed: u64, all: bool) -> Scenario {
    let mut scenario = tens().clients(2).lasting(secs(130)).rate(600.0).timeout(secs(2)).seed(seed);
    for server in 0..if all { 10 } else { 6 } {
        let at = ms(1_000 + (seed * 7_919 + server as u64 * 3_571) % 15_000);
        let fault = match (seed as usize + server) % 7 {
            0 => Fault::sinkhole(server),
            1 => Fault::honest_sinkhole(server),
            2 => Fault::slow(server, 50.0),
            3 => Fault::refuses(server),
            4 => Fault::blackhole(server),
            5 => Fault::stall(server),
            _ => Fault::removed(server),
        };
        scenario = scenario.fault(fault.from(at).lasting(secs(5 + seed % 15)));
    }
    scenario
}

#[test]
fn once_all_is_well_all_are_back() {
    let short = |rules: Outliers| rules.base_ejection(secs(2)).max_ejection(secs(10));
    let passive = |rules| HealthPolicy::new().outliers(rules);
    let must_pass = CheckPolicy::new("tcp", schedule().initial_state(InitialState::MustPass));
    let policies = [
        ("envoy", passive(short(Outliers::envoy().max_ejection_percent(50)))),
        ("grpc", passive(short(Outliers::grpc().interval(secs(2))))),
        ("linkerd", passive(Outliers::linkerd().base_ejection(secs(1)).max_ejection(secs(20)))),
        ("nginx", passive(Outliers::nginx(3, secs(5)))),
        ("requests", requests()),
        ("checks", checks()),
        ("both", both()),
        ("must pass", requests().check(must_pass)),
    ];
    for (name, policy) in policies {
        for seed in 0..2 {
            for (strategy, all) in [("p2c", false), ("round-robin", true), ("slow-start(peak-ewma)", true)] {
                let (_, health) = run(&trouble(seed, all).health(policy.clone()), strategy);
                for client in 0..2 {
                    for server in 0..10 {
                        let mine =
                            |change: &&equipoise_sim::HealthChange| (change.client, change.server) == (client, server);
                        let last = health.changes.iter().rfind(mine);
                        assert!(
                            last.is_none_or(|last| last.to == Availability::Up),
                            "{name}, {strategy}, {all}, seed {seed}: {last:?}"
                        );
                    }
                }
            }
        }
    }
}
