//! Waiting requests are served in the order in which they arrived, and a failed attempt does not cause another one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use equipoise_core::{
    Availability, Binding, BoundedLoad, BuildError, Endpoint, EndpointSpec, MissReason, Needs, PickError, PickRequest,
    Pool, RoundRobin, Strategy, View,
};
use equipoise_tower::{Balance, Error, Placement, ServedBy};
use http::{Request, Response};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::{
    task::yield_now,
    time::{Instant, sleep},
};

use crate::common::{Frames, Mock, Once, answering, get, in_flight};

const BOUND: Duration = Duration::from_secs(3);

fn body() -> Mock {
    answering(Response::new(Frames::default().data("a")))
}

fn bound(binding: Binding) -> Request<Once> {
    let mut request = get();
    request.extensions_mut().insert(Placement::new().binding(binding).queue_timeout(BOUND));
    request
}

/// Makes requests of one session. The first is in flight. The second waits and fails at its deadline. The third waits
/// and is served when the first has ended.
async fn waits_for(pool: Pool<Mock>, binding: Binding, expected: PickError) {
    waits_until(pool, binding, expected, |_| ()).await;
}

/// Like `waits_for`, but the third request is only served after `help` was called.
async fn waits_until(pool: Pool<Mock>, binding: Binding, expected: PickError, help: impl FnOnce(&Pool<Mock>)) {
    let balance = Balance::new(pool.clone());
    let held = balance.clone().oneshot(bound(binding.clone())).await.unwrap();
    let start = Instant::now();
    let error = balance.clone().oneshot(bound(binding.clone())).await.unwrap_err();
    assert!(matches!(&error, Error::Pick(reason) if *reason == expected), "{error:?}");
    assert_eq!(start.elapsed(), BOUND);
    let waiting = tokio::spawn(balance.oneshot(bound(binding)));
    sleep(Duration::from_secs(1)).await;
    assert!(!waiting.is_finished());
    drop(held);
    help(&pool);
    let response = waiting.await.unwrap().unwrap();
    assert_eq!(start.elapsed(), BOUND + Duration::from_secs(1));
    assert_eq!(response.extensions().get(), Some(&ServedBy("a".into())));
    drop(response);
    assert!(in_flight(&pool).iter().all(|&count| count == 0));
}

fn missed(missed: MissReason) -> PickError {
    PickError::Bound { missed }
}

#[tokio::test(start_paused = true)]
async fn a_session_waits_for_its_endpoint_on_probation_and_gives_up_in_time() {
    let pool = Pool::new(RoundRobin::new());
    pool.update(["a", "b", "c"].map(|id| EndpointSpec::new(id).max_in_flight(4)), |_| body()).unwrap();
    pool.set_availability("a", Availability::Probation).unwrap();
    // The request has decided the probation, and the health check sets the endpoint to up.
    let passed = |pool: &Pool<Mock>| {
        pool.set_availability("a", Availability::Up).unwrap();
    };
    waits_until(pool, Binding::to("a").strict(), missed(MissReason::OnProbation), passed).await;
}

#[tokio::test(start_paused = true)]
async fn a_loosely_bound_request_waits_for_probation_while_the_others_are_full() {
    let pool = Pool::new(RoundRobin::new());
    pool.update(["a", "b", "c"].map(|id| EndpointSpec::new(id).max_in_flight(1)), |_| body()).unwrap();
    let balance = Balance::new(pool.clone());
    let mut others = Vec::new();
    for other in ["b", "c"] {
        others.push(balance.clone().oneshot(bound(Binding::to(other).strict())).await.unwrap());
    }
    pool.set_max_in_flight("a", Some(4)).unwrap();
    pool.set_availability("a", Availability::Probation).unwrap();
    let held = balance.clone().oneshot(bound(Binding::to("a"))).await.unwrap();
    let start = Instant::now();
    let error = balance.oneshot(bound(Binding::to("a"))).await.unwrap_err();
    assert!(matches!(error, Error::Pick(PickError::Saturated)), "{error:?}");
    assert_eq!(start.elapsed(), BOUND);
    drop((held, others));
}

#[tokio::test(start_paused = true)]
async fn a_session_waits_for_its_endpoint_that_has_more_than_its_bound() {
    let pool = Pool::new(BoundedLoad::new(RoundRobin::new()).factor(1.0).unwrap());
    pool.update(["a", "b"].map(|id| EndpointSpec::new(id).max_in_flight(9)), |_| body()).unwrap();
    waits_for(pool, Binding::to("a").strict(), missed(MissReason::Refused)).await;
}

/// A strategy that admits one request at a time to each endpoint.
struct OneAtATime;

impl Strategy for OneAtATime {
    type State = AtomicBool;
    type Picker = <RoundRobin as Strategy>::Picker;

    fn state(&self, _: &EndpointSpec) -> AtomicBool {
        AtomicBool::new(false)
    }

    fn build(&self, view: &View, last: Option<&Self::Picker>) -> Result<Self::Picker, BuildError> {
        RoundRobin::new().build(view, last)
    }

    fn needs(&self) -> Needs {
        Needs::new().leases()
    }

    fn admit(&self, taken: &AtomicBool, _: &Endpoint, _: &PickRequest<'_>) -> bool {
        !taken.swap(true, Ordering::SeqCst)
    }

    fn on_release(&self, taken: &AtomicBool, _: &Endpoint) {
        taken.store(false, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_waits_for_its_endpoint_that_the_strategy_refuses() {
    let pool = Pool::new(OneAtATime);
    pool.update(["a", "b"].map(|id| EndpointSpec::new(id).max_in_flight(9)), |_| body()).unwrap();
    waits_for(pool, Binding::to("a").strict(), missed(MissReason::Refused)).await;
}

#[tokio::test(start_paused = true)]
async fn any_request_waits_for_a_strategy_that_refuses() {
    let pool = Pool::new(OneAtATime);
    pool.add(EndpointSpec::new("a").max_in_flight(9), body()).unwrap();
    waits_for(pool, Binding::to("a"), PickError::Saturated).await;
}

#[tokio::test(start_paused = true)]
async fn requests_that_wait_for_one_place_are_served_in_the_order_in_which_they_came() {
    let pool = Pool::new(RoundRobin::new());
    pool.add(EndpointSpec::new("a").max_in_flight(1), body()).unwrap();
    let balance = Balance::new(pool).queue_timeout(BOUND);
    let held = balance.clone().oneshot(get()).await.unwrap();
    let served = Arc::new(Mutex::new(Vec::new()));
    let mut waiting = Vec::new();
    for at in 0..16 {
        let (balance, served) = (balance.clone(), Arc::clone(&served));
        waiting.push(tokio::spawn(async move {
            let response = balance.oneshot(get()).await.unwrap();
            served.lock().push(at);
            sleep(Duration::from_millis(1)).await;
            response.collect().await.unwrap();
        }));
        yield_now().await;
    }
    drop(held);
    for one in waiting {
        one.await.unwrap();
    }
    assert_eq!(*served.lock(), Vec::from_iter(0..16));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_has_given_up_takes_no_turn_although_its_future_is_still_there() {
    let pool = Pool::new(RoundRobin::new());
    pool.add(EndpointSpec::new("a").max_in_flight(1), body()).unwrap();
    let held = Balance::new(pool.clone()).oneshot(get()).await.unwrap();
    let mut gives_up = Box::pin(Balance::new(pool.clone()).queue_timeout(Duration::from_millis(1)).oneshot(get()));
    assert!((&mut gives_up).await.is_err());
    let patient = tokio::spawn(Balance::new(pool.clone()).queue_timeout(Duration::from_secs(60)).oneshot(get()));
    sleep(Duration::from_secs(1)).await;
    let start = Instant::now();
    drop(held);
    patient.await.unwrap().unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    drop(gives_up);
}
