//! Runs of the driver that end and begin again.

use std::{task::Poll, time::Duration};

use equipoise_core::Availability;
use equipoise_health::Schedule;
use tokio::runtime::{Builder, Runtime};

use crate::world::{Say, Script, every_second, of, pool, seconds, until};

#[tokio::test(start_paused = true)]
async fn probes_that_a_run_leaves_behind_are_neither_lost_nor_failed() {
    let script = Script::default();
    script.say("a:1", Say::Hang);
    // One place for probes, and one failure takes an endpoint down.
    let health = script.health(every_second().fall(1)).max_concurrent_probes(1).build().expect("good settings");
    let pool = pool(&health, &["a:1"]);
    let mut changes = health.changes();
    let checking = health.spawn(&pool);
    while script.probes("a:1") == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(checking);
    tokio::time::sleep(seconds(60)).await;
    script.say("a:1", Say::Pass);
    let _checking = health.spawn(&pool);
    tokio::time::sleep(seconds(10)).await;
    assert!(script.probes("a:1") >= 9);
    assert!(changes.try_next().is_none(), "nothing has changed");
}

#[tokio::test(start_paused = true)]
async fn what_is_known_outlives_the_run() {
    let script = Script::default();
    script.say("a:1", Say::Fail);
    let health = script.health(every_second()).build().expect("good settings");
    let pool = pool(&health, &["a:1", "b:1"]);
    let checking = health.spawn(&pool);
    until(&pool, "a:1", Availability::Unhealthy).await;
    drop(checking);
    tokio::time::sleep(seconds(60)).await;
    assert_eq!(of(&pool, "a:1"), Availability::Unhealthy);
    let mut changes = health.changes();
    let _checking = health.spawn(&pool);
    script.say("a:1", Say::Pass);
    until(&pool, "a:1", Availability::Up).await;
    assert_eq!(changes.try_next().map(|change| change.from), Some(Availability::Unhealthy));
}

#[tokio::test(start_paused = true)]
async fn one_run_goes_on_where_another_was_dropped() {
    let script = Script::default();
    let health = script.health(every_second()).build().expect("good settings");
    let pool = pool(&health, &["a:1"]);
    let first = health.spawn(&pool);
    let _second = health.spawn(&pool);
    tokio::time::sleep(seconds(10)).await;
    let once = script.probes("a:1");
    assert!((9..=11).contains(&once), "{once} looks in 10 s, by one of them");
    drop(first);
    tokio::time::sleep(seconds(10)).await;
    assert!(script.probes("a:1") >= once + 9);
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
fn a_runtime_that_is_shut_down_takes_the_run_with_it_and_another_goes_on() {
    let script = Script::default();
    let millis = Duration::from_millis;
    let health =
        script.health(Schedule::new().interval(millis(5)).timeout(seconds(60))).build().expect("good settings");
    let pool = pool(&health, &["a:1", "b:1"]);
    script.say("a:1", Say::Fail);
    script.say("b:1", Say::Hang);
    let first = runtime();
    let checking = first.block_on(async {
        let checking = health.spawn(&pool);
        until(&pool, "a:1", Availability::Unhealthy).await;
        checking
    });
    drop(first);
    drop(checking);
    script.say("a:1", Say::Pass);
    runtime().block_on(async {
        let _checking = health.spawn(&pool);
        until(&pool, "a:1", Availability::Up).await;
    });
    assert_eq!(of(&pool, "b:1"), Availability::Up);
}

#[tokio::test(start_paused = true)]
async fn changes_can_be_polled_in_place_of_awaited() {
    let script = Script::default();
    script.say("a:1", Say::Fail);
    let health = script.health(every_second()).build().expect("good settings");
    let pool = pool(&health, &["a:1"]);
    let mut changes = health.changes();
    assert!(std::future::poll_fn(|cx| Poll::Ready(changes.poll_next(cx).is_pending())).await);
    let _checking = health.spawn(&pool);
    let change = std::future::poll_fn(|cx| changes.poll_next(cx)).await.expect("the endpoint fails its check");
    assert_eq!((change.id.as_str(), change.to), ("a:1", Availability::Unhealthy));
}
