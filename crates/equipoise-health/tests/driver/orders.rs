//! Administrative states, drains, and the listeners of changes.

use equipoise_core::{Availability, PickRequest, Verdict};
use equipoise_health::{AdminState, AvailabilityChange, DrainOutcome, Source};
use futures::FutureExt;

use crate::world::{Say, Script, every_second, of, pick, pool, seconds, until, update};

#[tokio::test(start_paused = true)]
async fn administrative_states_may_be_set_before_the_endpoint_joins_before_the_run_and_later() {
    let health = Script::default().health(every_second()).build().expect("good settings");
    let pool = pool(&health, &["a:1", "b:1", "c:1"]);
    health.set_admin_state("later:1", AdminState::Maintenance);
    health.set_admin_state("a:1", AdminState::Maintenance);
    let _checking = health.spawn(&pool);
    until(&pool, "a:1", Availability::Maintenance).await;
    health.set_admin_state("b:1", AdminState::Maintenance);
    until(&pool, "b:1", Availability::Maintenance).await;
    update(&pool, &["a:1", "b:1", "c:1", "later:1"]);
    until(&pool, "later:1", Availability::Maintenance).await;
    for id in ["a:1", "b:1", "later:1"] {
        health.set_admin_state(id, AdminState::Ready);
        until(&pool, id, Availability::Up).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_with_the_last_lease_and_admits_no_new_request() {
    let health = Script::default().health(every_second()).build().expect("good settings");
    let pool = pool(&health, &["a:1", "b:1"]);
    let _checking = health.spawn(&pool);
    let lease = pick(&pool, "a:1").expect("its turn comes");
    let mut drain = health.drain(&pool, "a:1", Some(seconds(30))).boxed();
    assert!((&mut drain).now_or_never().is_none());
    until(&pool, "a:1", Availability::Draining).await;
    assert!(pick(&pool, "a:1").is_none());
    tokio::time::sleep(seconds(29)).await;
    assert_eq!((of(&pool, "a:1"), (&mut drain).now_or_never()), (Availability::Draining, None));
    until(&pool, "a:1", Availability::Maintenance).await;
    assert_eq!(drain.await, DrainOutcome::DeadlineExceeded { in_flight: 1 });
    drop(lease);
}

#[tokio::test(start_paused = true)]
async fn a_drain_whose_last_lease_ends_in_time_is_completed() {
    let health = Script::default().health(every_second()).build().expect("good settings");
    let pool = pool(&health, &["a:1", "b:1"]);
    let _checking = health.spawn(&pool);
    let lease = pick(&pool, "a:1").expect("its turn comes");
    let drain = tokio::spawn({
        let (health, pool) = (health.clone(), pool.clone());
        async move { health.drain(&pool, "a:1", Some(seconds(30))).await }
    });
    lease.draining().await;
    assert!(lease.closing().now_or_never().is_none(), "the deadline has not passed");
    drop(lease);
    assert_eq!(drain.await.expect("no panic"), DrainOutcome::Completed);
}

#[tokio::test(start_paused = true)]
async fn closing_completes_for_the_remaining_leases_at_the_deadline_of_a_drain() {
    let health = Script::default().health(every_second()).build().expect("good settings");
    let pool = pool(&health, &["a:1", "b:1"]);
    let _checking = health.spawn(&pool);
    let leases = [(); 2].map(|()| pick(&pool, "a:1").expect("its turn comes"));
    let begun = tokio::time::Instant::now();
    let (drained, ()) =
        tokio::join!(health.drain(&pool, "a:1", Some(seconds(30))), async { leases[0].closing().await });
    assert_eq!((drained, begun.elapsed().as_secs()), (DrainOutcome::DeadlineExceeded { in_flight: 2 }, 30));
    pool.remove("a:1").expect("it is still a member");
    drop(leases);
}

#[tokio::test(start_paused = true)]
async fn a_drain_of_an_unknown_id_changes_nothing() {
    let health = Script::default().health(every_second()).build().expect("good settings");
    let pool = pool(&health, &["a:1"]);
    let _checking = health.spawn(&pool);
    assert_eq!(health.drain(&pool, "b:1", Some(seconds(30))).await, DrainOutcome::UnknownEndpoint);
    update(&pool, &["a:1", "b:1"]);
    tokio::time::sleep(seconds(5)).await;
    assert_eq!(of(&pool, "b:1"), Availability::Up);
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_an_operator_ends_is_cancelled() {
    let health = Script::default().health(every_second()).build().expect("good settings");
    let pool = pool(&health, &["a:1", "b:1"]);
    let _checking = health.spawn(&pool);
    let lease = pick(&pool, "a:1").expect("its turn comes");
    let back = async {
        lease.draining().await;
        health.set_admin_state("a:1", AdminState::Ready);
    };
    let (drained, ()) = tokio::join!(health.drain(&pool, "a:1", Some(seconds(30))), back);
    assert_eq!(drained, DrainOutcome::Cancelled);
    until(&pool, "a:1", Availability::Up).await;
    drop(lease);
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_at_its_deadline_without_a_run_and_without_its_endpoint() {
    let health = Script::default().health(every_second()).build().expect("good settings");
    let pool = pool(&health, &["a:1", "b:1"]);
    let lease = pick(&pool, "a:1").expect("its turn comes");
    assert_eq!(health.drain(&pool, "a:1", Some(seconds(1))).await, DrainOutcome::DeadlineExceeded { in_flight: 1 });
    let removed = async {
        tokio::time::sleep(seconds(1)).await;
        pool.remove("a:1").expect("it is a member");
    };
    let (drained, ()) = tokio::join!(health.drain(&pool, "a:1", Some(seconds(3))), removed);
    assert_eq!(drained, DrainOutcome::DeadlineExceeded { in_flight: 1 });
    drop(lease);
}

#[tokio::test(start_paused = true)]
async fn the_maximum_duration_is_no_deadline() {
    let health = Script::default().health(every_second()).build().expect("good settings");
    let pool = pool(&health, &["a:1", "b:1"]);
    let _checking = health.spawn(&pool);
    assert_eq!(health.drain(&pool, "a:1", Some(std::time::Duration::MAX)).await, DrainOutcome::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_drain_of_an_idle_endpoint_ends_only_after_the_pool_knows_of_it() {
    let health = Script::default().health(every_second()).build().expect("good settings");
    let pool = pool(&health, &["a:1", "b:1"]);
    let mut drain = health.drain(&pool, "a:1", None).boxed();
    assert!((&mut drain).now_or_never().is_none(), "the pool does not know of it");
    let lease = pick(&pool, "a:1").expect("its turn comes");
    let _checking = health.spawn(&pool);
    until(&pool, "a:1", Availability::Draining).await;
    assert!((&mut drain).now_or_never().is_none());
    lease.finish(Verdict::Success);
    drain.await;
    assert!(pick(&pool, "a:1").is_none());
    assert_eq!(health.drain(&pool, "unknown:1", None).await, DrainOutcome::UnknownEndpoint);
}

#[tokio::test(start_paused = true)]
async fn changes_are_complete_and_in_order() {
    let script = Script::default();
    let health = script.health(every_second()).build().expect("good settings");
    let pool = pool(&health, &["a:1", "b:1"]);
    let (mut changes, gone) = (health.changes(), health.changes());
    let _checking = health.spawn(&pool);
    script.say("a:1", Say::Fail);
    until(&pool, "a:1", Availability::Unhealthy).await;
    drop(gone);
    health.set_admin_state("a:1", AdminState::Maintenance);
    until(&pool, "a:1", Availability::Maintenance).await;
    health.set_admin_state("a:1", AdminState::Ready);
    until(&pool, "a:1", Availability::Unhealthy).await;
    script.say("a:1", Say::Pass);
    until(&pool, "a:1", Availability::Up).await;
    let (up, unhealthy, maintenance) = (Availability::Up, Availability::Unhealthy, Availability::Maintenance);
    let failed = "check: unexpected answer: status 500";
    for (from, to, source, reason) in [
        (up, unhealthy, Source::Checks, failed),
        (unhealthy, maintenance, Source::Operator, "maintenance"),
        (maintenance, unhealthy, Source::Checks, failed),
        (unhealthy, up, Source::Checks, "recovered"),
    ] {
        let AvailabilityChange { id, from: was, to: is, source: whose, reason: why, .. } =
            changes.next().await.expect("more comes");
        assert_eq!((id.as_str(), was, is, whose, &*why), ("a:1", from, to, source, reason));
    }
    assert!(changes.try_next().is_none(), "there are no more");
}

#[tokio::test(start_paused = true)]
async fn the_pool_has_a_change_before_its_listeners() {
    let health = Script::default().health(every_second()).build().expect("good settings");
    let pool = pool(&health, &["a:1", "b:1"]);
    let mut changes = health.changes();
    let _checking = health.spawn(&pool);
    health.set_admin_state("a:1", AdminState::Maintenance);
    let change = changes.next().await.expect("a change");
    assert_eq!((change.to, of(&pool, "a:1")), (Availability::Maintenance, Availability::Maintenance));
    assert!(pool.pick(&PickRequest::new()).is_ok());
}
