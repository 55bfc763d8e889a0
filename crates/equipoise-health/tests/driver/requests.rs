//! Ejections, trials and pauses through the leases of a real pool.

use equipoise_core::{Availability, Failure, Pool, Verdict};
use equipoise_health::{Health, Outliers};

use crate::world::{of, pick, pool, seconds, until};

/// Three failures in a row, 10 s.
fn watched() -> (Health, Pool<()>) {
    let outliers = Outliers::new().consecutive_failures(3).ejection(seconds(10), seconds(60)).jitter(0.0);
    let health = Health::builder().outliers(outliers).build().expect("good settings");
    let pool = pool(&health, &["a:1", "b:1", "c:1"]);
    (health, pool)
}

async fn eject(pool: &Pool<()>) {
    for _ in 0..3 {
        pick(pool, "a:1").expect("its turn comes").finish(Verdict::Failure(Failure::Server));
    }
    until(pool, "a:1", Availability::Unfit).await;
    assert!(pick(pool, "a:1").is_none());
}

#[tokio::test(start_paused = true)]
async fn one_request_decides_and_no_other_is_let_in_meanwhile() {
    let (health, pool) = watched();
    let _checking = health.spawn(&pool);
    eject(&pool).await;
    until(&pool, "a:1", Availability::Trial).await;
    let trial = pick(&pool, "a:1").expect("a trial");
    assert!(pick(&pool, "a:1").is_none());
    trial.finish(Verdict::Success);
    until(&pool, "a:1", Availability::Open).await;
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_fails_is_followed_by_a_longer_ejection() {
    let (health, pool) = watched();
    let _checking = health.spawn(&pool);
    eject(&pool).await;
    until(&pool, "a:1", Availability::Trial).await;
    pick(&pool, "a:1").expect("a trial").finish(Verdict::Failure(Failure::Connect));
    until(&pool, "a:1", Availability::Unfit).await;
    tokio::time::sleep(seconds(19)).await;
    assert_eq!(of(&pool, "a:1"), Availability::Unfit);
    until(&pool, "a:1", Availability::Trial).await;
}

#[tokio::test(start_paused = true)]
async fn a_trial_without_a_verdict_leaves_the_chance_to_the_next_request() {
    let (health, pool) = watched();
    let _checking = health.spawn(&pool);
    eject(&pool).await;
    until(&pool, "a:1", Availability::Trial).await;
    drop(pick(&pool, "a:1").expect("a trial"));
    pick(&pool, "a:1").expect("another").finish(Verdict::Neutral);
    let last = pick(&pool, "a:1").expect("and another");
    assert!(pick(&pool, "a:1").is_none());
    last.finish(Verdict::Success);
    until(&pool, "a:1", Availability::Open).await;
}

#[tokio::test(start_paused = true)]
async fn who_says_on_trial_that_it_is_busy_works() {
    let (health, pool) = watched();
    let _checking = health.spawn(&pool);
    eject(&pool).await;
    until(&pool, "a:1", Availability::Trial).await;
    pick(&pool, "a:1").expect("a trial").finish(Verdict::Overloaded { retry_after: None });
    until(&pool, "a:1", Availability::Open).await;
}

#[tokio::test(start_paused = true)]
async fn who_asks_to_be_left_alone_is_left_alone_for_so_long() {
    let (health, pool) = watched();
    let _checking = health.spawn(&pool);
    pick(&pool, "a:1").expect("its turn comes").finish(Verdict::Overloaded { retry_after: Some(seconds(7)) });
    until(&pool, "a:1", Availability::Unfit).await;
    let reason = &health.standing(&"a:1".into()).expect("it is known").opinions[0].reason;
    assert_eq!(reason, "it asked to be left alone for 7s");
    tokio::time::sleep(seconds(6)).await;
    assert_eq!(of(&pool, "a:1"), Availability::Unfit);
    until(&pool, "a:1", Availability::Open).await;
}

#[tokio::test(start_paused = true)]
async fn what_happened_before_the_run_is_heard_when_it_begins() {
    let (health, pool) = watched();
    for _ in 0..3 {
        pick(&pool, "a:1").expect("its turn comes").finish(Verdict::Failure(Failure::Server));
    }
    let _checking = health.spawn(&pool);
    until(&pool, "a:1", Availability::Unfit).await;
}

#[tokio::test(start_paused = true)]
async fn one_of_one_may_be_out_and_still_serves() {
    let (health, pool) = watched();
    crate::world::update(&pool, &["a:1"]);
    let _checking = health.spawn(&pool);
    for _ in 0..3 {
        pick(&pool, "a:1").expect("nobody else").finish(Verdict::Failure(Failure::Server));
    }
    until(&pool, "a:1", Availability::Unfit).await;
    assert!(pick(&pool, "a:1").is_some());
}
