//! Requests for which no endpoint can be picked. Time is paused: it advances only when no task can run.

use std::time::Duration;

use equipoise_core::{Availability, EndpointSpec, PickError, Pool};
use equipoise_tower::{Balance, Error, ServedBy};
use http::Response;
use http_body_util::BodyExt;
use tokio::{
    task::{JoinSet, yield_now},
    time::{Instant, sleep},
};

use crate::common::{Frames, Mock, answering, echo, failing, get, in_flight, pool, post};

const BOUND: Duration = Duration::from_secs(3);

fn body() -> Mock {
    answering(Response::new(Frames::default().data("a")))
}

#[tokio::test(start_paused = true)]
async fn an_empty_pool_is_a_typed_error_at_once() {
    let error = Balance::new(Pool::<Mock>::default()).oneshot(get()).await.unwrap_err();
    assert!(matches!(error, Error::Pick(PickError::Empty)), "{error:?}");
    assert_eq!(error.endpoint(), None);
}

#[tokio::test(start_paused = true)]
async fn a_pool_in_maintenance_or_full_is_a_typed_error_at_once() {
    let pool = Pool::default();
    pool.add(EndpointSpec::new("a").max_in_flight(1), body()).unwrap();
    let balance = Balance::new(pool.clone());
    let held = balance.clone().oneshot(get()).await.unwrap();
    let error = balance.clone().oneshot(get()).await.unwrap_err();
    assert!(matches!(error, Error::Pick(PickError::Saturated)), "{error:?}");
    drop(held);
    pool.set_availability("a", Availability::Maintenance).unwrap();
    let error = balance.oneshot(get()).await.unwrap_err();
    assert!(matches!(error, Error::Pick(PickError::Unavailable { members: 1 })), "{error:?}");
}

#[test]
fn a_request_does_not_wait_without_a_timer() {
    let without_timer = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let response = Balance::new(Pool::<Mock>::default()).queue_timeout(BOUND).oneshot(get());
    let error = without_timer.block_on(response).unwrap_err();
    assert!(matches!(error, Error::Pick(PickError::Empty)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wait_gives_up_with_the_reason_when_its_bound_is_reached() {
    let pool = Pool::default();
    let balance = Balance::new(pool.clone()).queue_timeout(BOUND);
    let start = Instant::now();
    let error = balance.clone().oneshot(get()).await.unwrap_err();
    assert!(matches!(error, Error::Pick(PickError::Empty)), "{error:?}");
    assert_eq!(start.elapsed(), BOUND);

    pool.add(EndpointSpec::new("a").max_in_flight(1), body()).unwrap();
    let held = balance.clone().oneshot(get()).await.unwrap();
    let error = balance.oneshot(get()).await.unwrap_err();
    assert!(matches!(error, Error::Pick(PickError::Saturated)), "{error:?}");
    assert_eq!(start.elapsed(), BOUND * 2);
    assert_eq!(in_flight(&pool), [1]);
    drop(held);
    assert_eq!(in_flight(&pool), [0]);
}

/// A request waits. After a second, `help` is called, and the request must be served at the same moment.
async fn goes_on_with(pool: Pool<Mock>, help: impl AsyncFnOnce(Pool<Mock>)) {
    let start = Instant::now();
    let waiting = tokio::spawn(Balance::new(pool.clone()).queue_timeout(BOUND).oneshot(post("order")));
    sleep(Duration::from_secs(1)).await;
    assert!(!waiting.is_finished());
    help(pool.clone()).await;
    let response = waiting.await.unwrap().unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(1));
    assert_eq!(response.extensions().get(), Some(&ServedBy("a".into())));
    response.collect().await.unwrap();
    assert!(in_flight(&pool).iter().all(|&count| count == 0));
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_when_an_endpoint_joins() {
    goes_on_with(Pool::default(), async |pool| {
        pool.add(EndpointSpec::new("a"), body()).unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_when_an_endpoint_comes_up() {
    let (pool, _) = pool(&[("a", body())]);
    pool.set_availability("a", Availability::Maintenance).unwrap();
    goes_on_with(pool, async |pool| {
        pool.set_availability("a", Availability::Up).unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_when_an_endpoint_gets_weight() {
    let pool = Pool::default();
    let specs = || [EndpointSpec::new("a").weight(0), EndpointSpec::new("b")];
    pool.update(specs(), |_| body()).unwrap();
    pool.set_availability("b", Availability::Maintenance).unwrap();
    goes_on_with(pool, async |pool| {
        pool.set_weight("a", 1).unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_when_a_body_ends_and_makes_room() {
    let pool = Pool::default();
    pool.add(EndpointSpec::new("a").max_in_flight(1), body()).unwrap();
    let held = Balance::new(pool.clone()).oneshot(get()).await.unwrap();
    goes_on_with(pool, async |_| {
        held.collect().await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_when_a_limit_is_raised() {
    let pool = Pool::default();
    pool.add(EndpointSpec::new("a").max_in_flight(1), body()).unwrap();
    let held = Balance::new(pool.clone()).oneshot(get()).await.unwrap();
    goes_on_with(pool, async |pool| {
        pool.update([EndpointSpec::new("a").max_in_flight(2)], |_| body()).unwrap();
        drop(held);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn room_passes_from_one_that_waits_to_the_next_and_past_those_that_gave_up() {
    let pool = Pool::default();
    pool.add(EndpointSpec::new("a").max_in_flight(1), echo()).unwrap();
    let balance = Balance::new(pool.clone()).queue_timeout(BOUND);
    let held = balance.clone().oneshot(post("first")).await.unwrap();
    let start = Instant::now();
    let mut impatient = Vec::new();
    let mut waiting = JoinSet::new();
    for at in 0..100 {
        let mut balance = balance.clone();
        let one = async move {
            let response = balance.call(post("one of many")).await.unwrap();
            yield_now().await;
            response.collect().await.unwrap();
        };
        if at % 3 == 0 {
            impatient.push(tokio::spawn(one));
        } else {
            waiting.spawn(one);
        }
        yield_now().await;
    }
    // These requests may be woken, but end before they can use the capacity.
    drop(held);
    for one in impatient {
        one.abort();
    }
    while let Some(one) = waiting.join_next().await {
        one.unwrap();
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(in_flight(&pool), [0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_tasks_take_turns_at_one_place() {
    let pool = Pool::default();
    pool.add(EndpointSpec::new("a").max_in_flight(1), echo()).unwrap();
    let balance = Balance::new(pool.clone()).queue_timeout(Duration::from_secs(60));
    let mut tasks = JoinSet::new();
    for _ in 0..64 {
        let balance = balance.clone();
        tasks.spawn(async move {
            for _ in 0..50 {
                let response = balance.clone().oneshot(post("order")).await.unwrap();
                assert_eq!(response.collect().await.unwrap().to_bytes(), "order");
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    assert_eq!(in_flight(&pool), [0]);
}

#[tokio::test(start_paused = true)]
async fn no_request_waits_for_an_endpoint_that_has_just_failed_it() {
    let (pool, _) = pool(&[("a", failing(std::io::ErrorKind::ConnectionRefused))]);
    let start = Instant::now();
    let error = Balance::new(pool).queue_timeout(BOUND).oneshot(get()).await.unwrap_err();
    assert!(matches!(error, Error::Endpoint { .. }), "{error:?}");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_may_go_elsewhere_waits_for_room_there() {
    for (held_for, goes_on) in [(BOUND / 2, true), (BOUND * 2, false)] {
        let pool = Pool::default();
        pool.add(EndpointSpec::new("a").max_in_flight(1), body()).unwrap();
        let balance = Balance::new(pool.clone()).queue_timeout(BOUND);
        let held = balance.clone().oneshot(get()).await.unwrap();
        pool.add(EndpointSpec::new("dead"), failing(std::io::ErrorKind::ConnectionRefused)).unwrap();
        let start = Instant::now();
        let waiting = tokio::spawn(balance.oneshot(get()));
        sleep(held_for).await;
        drop(held);
        match waiting.await.unwrap() {
            Ok(response) => {
                assert!(goes_on);
                assert_eq!(response.extensions().get(), Some(&ServedBy("a".into())));
                assert_eq!(start.elapsed(), held_for);
            }
            Err(error) => {
                assert!(!goes_on);
                assert!(matches!(&error, Error::Endpoint { endpoint, .. } if endpoint.as_str() == "dead"), "{error:?}");
            }
        }
        assert_eq!(in_flight(&pool), [0, 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_gives_up_waiting_leaves_no_trace() {
    let pool = Pool::default();
    pool.add(EndpointSpec::new("a").max_in_flight(1), body()).unwrap();
    let mut balance = Balance::new(pool.clone()).queue_timeout(BOUND);
    let held = balance.clone().oneshot(get()).await.unwrap();
    let waiting = tokio::spawn(balance.call(get()));
    yield_now().await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    drop(held);
    assert_eq!(in_flight(&pool), [0]);
    balance.oneshot(get()).await.unwrap();
}
