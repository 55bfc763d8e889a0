//! Endpoints that join, leave and change their address.

use equipoise_core::{Availability, EndpointSpec, PickRequest, Pool, RoundRobin};
use equipoise_health::{InitialState, Schedule};

use crate::world::{Say, Script, every_second, of, pick, pool, seconds, until, update};

#[tokio::test(start_paused = true)]
async fn endpoints_that_join_are_probed_and_those_that_leave_are_not() {
    let script = Script::default();
    let health = script.health(every_second()).build().expect("good settings");
    let pool = pool(&health, &["a:1"]);
    let _checking = health.spawn(&pool);
    tokio::time::sleep(seconds(5)).await;
    script.say("b:1", Say::Fail);
    update(&pool, &["a:1", "b:1"]);
    until(&pool, "b:1", Availability::Unhealthy).await;
    update(&pool, &["b:1"]);
    tokio::time::sleep(seconds(1)).await;
    let before = script.probes("a:1");
    tokio::time::sleep(seconds(10)).await;
    assert_eq!(script.probes("a:1"), before);
    assert!(health.status("a:1").is_none());
    assert_eq!(health.statuses().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_with_a_new_address_is_probed_there_and_starts_anew() {
    let script = Script::default();
    script.say("old:1", Say::Hang);
    let health = script.health(every_second()).build().expect("good settings");
    let pool = pool(&health, &[]);
    let at = |address: &str| pool.update([EndpointSpec::new(address).with_id("a")], |_| ()).expect("a good endpoint");
    at("old:1");
    let _checking = health.spawn(&pool);
    until(&pool, "a", Availability::Unhealthy).await;
    at("new:1");
    until(&pool, "a", Availability::Up).await;
    let before = (script.probes("old:1"), script.probes("new:1"));
    tokio::time::sleep(seconds(10)).await;
    assert_eq!(script.probes("old:1"), before.0);
    assert!(script.probes("new:1") >= before.1 + 9);
    assert_eq!(of(&pool, "a"), Availability::Up, "what was under way at the old address says nothing of the new one");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_leaves_and_rejoins_at_once_starts_anew() {
    let script = Script::default();
    let schedule = every_second().initial_state(InitialState::MustPass);
    let health = script.health(schedule).build().expect("good settings");
    let pool =
        Pool::<()>::builder(health.watch(RoundRobin::new())).initial_availability(Availability::Maintenance).build();
    update(&pool, &["a:1"]);
    let _checking = health.spawn(&pool);
    until(&pool, "a:1", Availability::Up).await;
    update(&pool, &[]);
    update(&pool, &["a:1"]);
    assert_eq!(of(&pool, "a:1"), Availability::Maintenance);
    until(&pool, "a:1", Availability::Up).await;
}

#[tokio::test(start_paused = true)]
async fn with_must_pass_new_endpoints_are_not_picked_before_they_pass() {
    let script = Script::default();
    script.say("b:1", Say::Fail);
    let schedule: Schedule = every_second().initial_state(InitialState::MustPass);
    let health = script.health(schedule).build().expect("good settings");
    let pool =
        Pool::<()>::builder(health.watch(RoundRobin::new())).initial_availability(Availability::Maintenance).build();
    update(&pool, &["a:1"]);
    assert!(pool.pick(&PickRequest::new()).is_err(), "not even the first");
    let _checking = health.spawn(&pool);
    until(&pool, "a:1", Availability::Up).await;
    update(&pool, &["a:1", "b:1"]);
    for _ in 0..100 {
        assert!(pick(&pool, "b:1").is_none());
        tokio::time::sleep(seconds(1)).await;
    }
    assert!(script.probes("b:1") >= 90);
    script.say("b:1", Say::Pass);
    until(&pool, "b:1", Availability::Up).await;
    assert!(pick(&pool, "b:1").is_some());
}
