//! Reads the health of the endpoints of a pool.

use equipoise_core::EndpointId;
use equipoise_health::{ChangeCount, Health, HealthStats, HealthStatus, ProbeCounts};

use crate::report::{CheckReport, ConditionReport, HealthReport, HealthTotals};

/// Returns why each endpoint has its availability.
pub(super) fn by_endpoint(health: &Health) -> Vec<(EndpointId, HealthReport)> {
    let statuses = health.statuses();
    // Read after the statuses, so that none of their times is later.
    let now = health.now();
    let report = |status: HealthStatus| {
        let conditions = status.conditions.into_iter().map(|condition| ConditionReport {
            source: condition.source.as_str(),
            availability: condition.availability.as_str(),
            since: now.since(condition.since),
            reason: condition.reason,
        });
        let checks = status.checks.into_iter().map(|check| CheckReport {
            since: now.since(check.since),
            name: check.name,
            up: check.up,
            last_error: check.last_error,
        });
        (status.id, HealthReport { conditions: conditions.collect(), checks: checks.collect() })
    };
    statuses.into_iter().map(report).collect()
}

/// Returns what the checks and outlier detection have counted.
pub(super) fn totals(health: &Health) -> HealthTotals {
    let HealthStats { changes, ejections, prevented, pauses, probes, .. } = health.stats();
    let change = |change: ChangeCount| (change.source.as_str(), change.to.as_str(), change.count);
    let results = |ProbeCounts { check, passed, failed, inconclusive, .. }| {
        [(check.clone(), "passed", passed), (check.clone(), "failed", failed), (check, "inconclusive", inconclusive)]
    };
    HealthTotals {
        changes: changes.into_iter().map(change).collect(),
        ejections,
        prevented,
        pauses,
        probes: probes.into_iter().flat_map(results).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use equipoise_core::{Availability, EndpointSpec, P2c, Pool};
    use equipoise_health::{
        AdminState, Schedule,
        probe::{ProbeError, ProbeOutcome, Target, probe_fn},
    };
    use tokio::time::timeout;

    use super::*;
    use crate::{Monitor, WatchedPool, report::PoolReport, source::testing::fields_of};

    async fn changed(pool: &Pool<()>, id: &str, to: Availability) {
        let change = async {
            loop {
                let revision = pool.revision();
                if pool.availability(id) == Some(to) {
                    return;
                }
                pool.changed(revision).await;
            }
        };
        timeout(Duration::from_secs(600), change).await.expect("in time");
    }

    #[tokio::test(start_paused = true)]
    async fn reports_say_why_an_endpoint_is_not_up_and_since_when() {
        let probe = probe_fn(async |target: Target| match &*target.address {
            "a:80" => Ok(ProbeOutcome::Passed),
            _ => Err(ProbeError::Unexpected("status 500".to_owned())),
        });
        let schedule = Schedule::new().interval(Duration::from_secs(1)).jitter(0.0);
        let health = Health::builder().name("web").check("http", schedule, probe).seed(1).build().expect("valid");
        let pool = Pool::new(health.watch(P2c::new()));
        pool.update(["a:80", "b:80"].map(EndpointSpec::new), |_| ()).expect("valid");
        let monitor = Monitor::new();
        monitor.add_pool(WatchedPool::new("web", &pool).health(&health));
        let report = || -> PoolReport { monitor.snapshot().pools.remove(0) };
        assert!(report().endpoints.iter().all(|endpoint| endpoint.health.is_none()), "no endpoint is known yet");

        let mut changes = health.changes();
        let _checking = health.spawn(&pool);
        changed(&pool, "b:80", Availability::Unhealthy).await;
        health.set_admin_state("b:80", AdminState::Drain { deadline: None });
        changed(&pool, "b:80", Availability::Maintenance).await;
        while changes.next().await.is_some_and(|change| change.to != Availability::Maintenance) {}
        tokio::time::sleep(Duration::from_secs(60)).await;

        let report = report();
        let [a, b] = &report.endpoints[..] else { panic!("two endpoints") };
        let a = a.health.as_ref().expect("it is known");
        assert_eq!((a.conditions.len(), a.checks.len(), a.checks[0].up), (0, 1, true));
        let b = b.health.as_ref().expect("it is known");
        let conditions: Vec<_> =
            b.conditions.iter().map(|it| (it.source, it.availability, &*it.reason, it.since.as_secs())).collect();
        let failed = "http: unexpected answer: status 500";
        assert_eq!(conditions, [("operator", "draining", "drain", 60), ("checks", "unhealthy", failed, 60)]);
        let check = &b.checks[0];
        assert_eq!((&*check.name, check.up, check.since.as_secs()), ("http", false, 60));
        assert_eq!(check.last_error.as_deref(), Some("unexpected answer: status 500"));

        let totals = report.health.expect("it is known");
        assert_eq!(totals.changes, [("checks", "unhealthy", 1), ("operator", "maintenance", 1)]);
        let [(_, "passed", passed), (_, "failed", failed), (check, "inconclusive", 0)] = &totals.probes[..] else {
            panic!("three results: {totals:?}");
        };
        assert!(check == "http" && *passed >= 60 && *failed >= 10, "{totals:?}");
    }

    #[test]
    fn all_numbers_of_health_are_read() {
        assert_eq!(fields_of(&HealthStats::default()), ["changes", "ejections", "prevented", "pauses", "probes"]);
        assert_eq!(fields_of(&ProbeCounts::default()), ["check", "passed", "failed", "inconclusive"]);
    }
}
