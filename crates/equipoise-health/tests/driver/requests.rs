//! Ejections, probation and pauses through the leases of a real pool.

use equipoise_core::{Availability, Failure, Pool, Verdict};
use equipoise_health::{Health, Outliers, SuccessRate};

use crate::world::{of, pick, pool, seconds, until};

/// Ejects for 10 s after three consecutive failures.
fn watched() -> (Health, Pool<()>) {
    let outliers =
        Outliers::new().consecutive_failures(3).base_ejection(seconds(10)).max_ejection(seconds(60)).jitter(0.0);
    let health = Health::builder().outliers(outliers).build().expect("good settings");
    let pool = pool(&health, &["a:1", "b:1", "c:1"]);
    (health, pool)
}

async fn eject(pool: &Pool<()>) {
    for _ in 0..3 {
        pick(pool, "a:1").expect("its turn comes").finish(Verdict::Failure(Failure::Server));
    }
    until(pool, "a:1", Availability::Unhealthy).await;
    assert!(pick(pool, "a:1").is_none());
}

#[tokio::test(start_paused = true)]
async fn one_request_decides_and_no_other_is_let_in_meanwhile() {
    let (health, pool) = watched();
    let _checking = health.spawn(&pool);
    eject(&pool).await;
    until(&pool, "a:1", Availability::Probation).await;
    let probation = pick(&pool, "a:1").expect("probation admits it");
    assert!(pick(&pool, "a:1").is_none());
    probation.finish(Verdict::Success);
    until(&pool, "a:1", Availability::Up).await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_probation_is_followed_by_a_longer_ejection() {
    let (health, pool) = watched();
    let _checking = health.spawn(&pool);
    eject(&pool).await;
    until(&pool, "a:1", Availability::Probation).await;
    pick(&pool, "a:1").expect("probation admits it").finish(Verdict::Failure(Failure::Connect));
    until(&pool, "a:1", Availability::Unhealthy).await;
    tokio::time::sleep(seconds(19)).await;
    assert_eq!(of(&pool, "a:1"), Availability::Unhealthy);
    until(&pool, "a:1", Availability::Probation).await;
}

#[tokio::test(start_paused = true)]
async fn without_a_verdict_the_next_request_decides_on_probation() {
    let (health, pool) = watched();
    let _checking = health.spawn(&pool);
    eject(&pool).await;
    until(&pool, "a:1", Availability::Probation).await;
    drop(pick(&pool, "a:1").expect("probation admits it"));
    pick(&pool, "a:1").expect("another").finish(Verdict::Neutral);
    let last = pick(&pool, "a:1").expect("and another");
    assert!(pick(&pool, "a:1").is_none());
    last.finish(Verdict::Success);
    until(&pool, "a:1", Availability::Up).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_before_decides_nothing() {
    let (health, pool) = watched();
    let _checking = health.spawn(&pool);
    let stragglers = [(); 2].map(|()| pick(&pool, "a:1").expect("its turn comes"));
    eject(&pool).await;
    until(&pool, "a:1", Availability::Probation).await;
    for (straggler, verdict) in stragglers.into_iter().zip([Verdict::Failure(Failure::Timeout), Verdict::Success]) {
        straggler.finish(verdict);
        tokio::time::sleep(seconds(1)).await;
        assert_eq!(of(&pool, "a:1"), Availability::Probation, "{verdict:?}");
    }
    pick(&pool, "a:1").expect("probation admits it").finish(Verdict::Success);
    until(&pool, "a:1", Availability::Up).await;
}

#[tokio::test(start_paused = true)]
async fn probation_is_decided_in_a_panic_too() {
    let (health, pool) = watched();
    crate::world::update(&pool, &["a:1"]);
    let _checking = health.spawn(&pool);
    eject_the_only_one(&pool).await;
    until(&pool, "a:1", Availability::Probation).await;
    let first = pick(&pool, "a:1").expect("the only endpoint");
    // In a panic the endpoint is used like any other, but only its first request decides.
    pick(&pool, "a:1").expect("the only endpoint").finish(Verdict::Failure(Failure::Server));
    tokio::time::sleep(seconds(1)).await;
    assert_eq!(of(&pool, "a:1"), Availability::Probation);
    first.finish(Verdict::Success);
    until(&pool, "a:1", Availability::Up).await;
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_overloaded_on_probation_is_up() {
    let (health, pool) = watched();
    let _checking = health.spawn(&pool);
    eject(&pool).await;
    until(&pool, "a:1", Availability::Probation).await;
    pick(&pool, "a:1").expect("probation admits it").finish(Verdict::Overloaded { retry_after: None });
    until(&pool, "a:1", Availability::Up).await;
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_gets_no_requests_for_its_retry_after() {
    let (health, pool) = watched();
    let _checking = health.spawn(&pool);
    pick(&pool, "a:1").expect("its turn comes").finish(Verdict::Overloaded { retry_after: Some(seconds(7)) });
    until(&pool, "a:1", Availability::Unhealthy).await;
    let reason = &health.status("a:1").expect("it is known").conditions[0].reason;
    assert_eq!(reason, "it asked for a pause of 7s");
    tokio::time::sleep(seconds(6)).await;
    assert_eq!(of(&pool, "a:1"), Availability::Unhealthy);
    until(&pool, "a:1", Availability::Up).await;
}

#[tokio::test(start_paused = true)]
async fn what_happened_before_the_run_is_heard_when_it_begins() {
    let (health, pool) = watched();
    for _ in 0..3 {
        pick(&pool, "a:1").expect("its turn comes").finish(Verdict::Failure(Failure::Server));
    }
    let _checking = health.spawn(&pool);
    until(&pool, "a:1", Availability::Unhealthy).await;
}

#[tokio::test(start_paused = true)]
async fn one_of_one_may_be_out_and_still_serves() {
    let (health, pool) = watched();
    crate::world::update(&pool, &["a:1"]);
    let _checking = health.spawn(&pool);
    eject_the_only_one(&pool).await;
    assert!(pick(&pool, "a:1").is_some());
}

async fn eject_the_only_one(pool: &Pool<()>) {
    for _ in 0..3 {
        pick(pool, "a:1").expect("the only endpoint").finish(Verdict::Failure(Failure::Server));
    }
    until(pool, "a:1", Availability::Unhealthy).await;
}

#[tokio::test(start_paused = true)]
async fn a_response_that_has_begun_need_not_be_read_to_its_end() {
    let (health, pool) = watched();
    let _checking = health.spawn(&pool);
    eject(&pool).await;
    until(&pool, "a:1", Availability::Probation).await;
    let mut stream = pick(&pool, "a:1").expect("probation admits it");
    stream.first_byte();
    drop(stream);
    until(&pool, "a:1", Availability::Up).await;
}

/// A 503 with a Retry-After that is respected, ignored, or not understood.
const COME_BACK: [Verdict; 2] =
    [Verdict::Unavailable { retry_after: Some(seconds(7)) }, Verdict::Unavailable { retry_after: None }];

#[tokio::test(start_paused = true)]
async fn unavailable_with_retry_after_counts_as_a_gateway_failure_where_it_is_not_heeded() {
    let new = Outliers::new().max_retry_after(None);
    let few = SuccessRate::new(1.0).min_hosts(3).min_requests(10);
    for outliers in [
        Outliers::envoy(),
        Outliers::linkerd(),
        Outliers::nginx(7, seconds(10)),
        new.consecutive_gateway_failures(7),
        new.success_rate(few),
    ] {
        for verdict in COME_BACK {
            let health = Health::builder().outliers(outliers).build().expect("good settings");
            let pool = pool(&health, &["a:1", "b:1", "c:1"]);
            let _checking = health.spawn(&pool);
            for _ in 0..50 {
                pick(&pool, "a:1").expect("its turn comes").finish(verdict);
            }
            until(&pool, "a:1", Availability::Unhealthy).await;
            assert_eq!(of(&pool, "b:1"), Availability::Up);
        }
        let health = Health::builder().outliers(outliers).build().expect("good settings");
        let pool = pool(&health, &["a:1", "b:1", "c:1"]);
        let _checking = health.spawn(&pool);
        for _ in 0..50 {
            pick(&pool, "a:1").expect("its turn comes").finish(Verdict::Overloaded { retry_after: Some(seconds(7)) });
        }
        tokio::time::sleep(seconds(15)).await;
        assert_eq!(of(&pool, "a:1"), Availability::Up, "429 is no failure");
    }
}

#[tokio::test(start_paused = true)]
async fn unavailable_with_retry_after_is_a_pause_where_it_is_heeded() {
    let (health, pool) = watched();
    let _checking = health.spawn(&pool);
    for _ in 0..5 {
        if let Some(lease) = pick(&pool, "a:1") {
            lease.finish(COME_BACK[0]);
        }
    }
    until(&pool, "a:1", Availability::Unhealthy).await;
    let reason = &health.status("a:1").expect("it is known").conditions[0].reason;
    assert_eq!(reason, "it asked for a pause of 7s");
    until(&pool, "a:1", Availability::Up).await;
    // Without a time.
    for _ in 0..3 {
        pick(&pool, "a:1").expect("its turn comes").finish(COME_BACK[1]);
    }
    until(&pool, "a:1", Availability::Unhealthy).await;
    let reason = &health.status("a:1").expect("it is known").conditions[0].reason;
    assert_eq!(reason, "3 failures in a row");
}

#[tokio::test(start_paused = true)]
async fn unavailable_with_retry_after_passes_no_probation() {
    for heeds in [None, Some(seconds(30))] {
        for verdict in COME_BACK {
            let outliers = Outliers::new()
                .consecutive_failures(3)
                .base_ejection(seconds(10))
                .max_ejection(seconds(60))
                .jitter(0.0);
            let health = Health::builder().outliers(outliers.max_retry_after(heeds)).build().expect("good settings");
            let pool = pool(&health, &["a:1", "b:1", "c:1"]);
            let _checking = health.spawn(&pool);
            eject(&pool).await;
            until(&pool, "a:1", Availability::Probation).await;
            pick(&pool, "a:1").expect("probation admits it").finish(verdict);
            until(&pool, "a:1", Availability::Unhealthy).await;
            tokio::time::sleep(seconds(19)).await;
            assert_eq!(of(&pool, "a:1"), Availability::Unhealthy, "twice as long");
            until(&pool, "a:1", Availability::Probation).await;
        }
    }
}
