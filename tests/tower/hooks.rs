//! The tower layer and the simulator call the same hooks of a strategy for a request, in the same order.

use std::{future::pending, time::Duration};

use bytes::Bytes;
use equipoise::{
    EndpointSpec, Failure, Pool, Verdict,
    sim::{Bodies, Fault, Impatience, Scenario, Server, Trace, Work, named},
    tower::Balance,
};
use equipoise_tests::{Hook, Recorder, soon};
use futures::{FutureExt, future::BoxFuture};
use http::{Request, Response};
use http_body_util::{BodyExt, Channel, Full, combinators::BoxBody};
use tower::{BoxError, service_fn};

type Body = BoxBody<Bytes, BoxError>;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn empty() -> Body {
    Full::default().map_err(BoxError::from).boxed()
}

fn response(status: u16, body: Body) -> Result<Response<Body>, BoxError> {
    Ok(Response::builder().status(status).body(body)?)
}

fn status(status: u16) -> BoxFuture<'static, Result<Response<Body>, BoxError>> {
    async move { response(status, empty()) }.boxed()
}

/// A body of one frame that ends well, or breaks off.
async fn with_body(breaks: bool) -> Result<Response<Body>, BoxError> {
    let (mut sender, body) = Channel::<Bytes, BoxError>::new(2);
    sender.send_data(Bytes::from_static(b"frame")).await?;
    if breaks {
        sender.abort("reset".into());
    }
    response(200, body.boxed())
}

/// Sends a request to a service behind a balancer, reads the response to its end, and returns the hooks.
async fn under_tower(
    answer: impl Fn() -> BoxFuture<'static, Result<Response<Body>, BoxError>> + Clone + Send + Sync + 'static,
) -> Vec<Hook> {
    let recorder = Recorder::new();
    let pool = Pool::new(recorder.clone());
    pool.add(EndpointSpec::new("a:80"), service_fn(move |_: Request<Full<Bytes>>| answer())).unwrap();
    let balanced = Balance::new(pool);
    let request = Request::get("http://orders/today").body(Full::default()).unwrap();
    // A request that gets no answer is given up by its caller.
    if let Some(Ok(response)) = balanced.oneshot(request).now_or_never() {
        let _ = soon(response.into_body().collect()).await;
    }
    recorder.log().hooks
}

/// Runs a scenario with one server and one request of 10 ms, and returns the hooks.
fn in_simulation(scenario: impl FnOnce(Scenario) -> Scenario) -> Vec<Hook> {
    let recorder = Recorder::new();
    let one = Scenario::of(1, Server::fifo(1)).trace(Trace::new([(ms(50), ms(10))])).lasting(ms(1_000)).warm_up(0.0);
    scenario(one).run(&named("recorder", |_| recorder.clone())).unwrap();
    recorder.log().hooks
}

#[tokio::test]
async fn a_success_is_a_latency_and_then_a_verdict() {
    let hooks = [Hook::Admit, Hook::Latency, Hook::Outcome(Verdict::Success), Hook::Release];
    assert_eq!(under_tower(|| status(200)).await, hooks);
    assert_eq!(in_simulation(|one| one), hooks);
    assert_eq!(under_tower(|| with_body(false).boxed()).await, hooks);
    assert_eq!(in_simulation(|one| one.bodies(Bodies::all(Work::constant(ms(100))))), hooks);
}

#[tokio::test]
async fn the_latency_of_a_failure_is_not_reported() {
    let failed = |failure| [Hook::Admit, Hook::Outcome(Verdict::Failure(failure)), Hook::Release];
    assert_eq!(under_tower(|| status(500)).await, failed(Failure::Server));
    assert_eq!(in_simulation(|one| one.fault(Fault::sinkhole(0))), failed(Failure::Server));
    assert_eq!(in_simulation(|one| one.fault(Fault::flaky(0, 1.0))), failed(Failure::Server));
    assert_eq!(under_tower(|| status(503)).await, failed(Failure::Gateway));
    assert_eq!(in_simulation(|one| one.each(|_, server| server.sheds_beyond(0, None))), failed(Failure::Gateway));
}

#[tokio::test]
async fn a_503_with_retry_after_says_how_long_to_wait() {
    let retry_after = Some(Duration::from_secs(7));
    let hooks = [Hook::Admit, Hook::Outcome(Verdict::Unavailable { retry_after }), Hook::Release];
    let sheds = || {
        let response = Response::builder().status(503).header("retry-after", "7").body(empty());
        async { Ok(response?) }.boxed()
    };
    assert_eq!(under_tower(sheds).await, hooks);
    assert_eq!(in_simulation(|one| one.each(|_, server| server.sheds_beyond(0, retry_after))), hooks);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_a_failure_after_a_latency() {
    let broken = Hook::Outcome(Verdict::Failure(Failure::Transport));
    let hooks = [Hook::Admit, Hook::Latency, broken, Hook::Release];
    assert_eq!(under_tower(|| with_body(true).boxed()).await, hooks);
    let body = |one: Scenario| one.bodies(Bodies::all(Work::constant(ms(500))));
    assert_eq!(in_simulation(|one| body(one).fault(Fault::refuses(0).from(ms(300)))), hooks);
}

#[tokio::test]
async fn an_abandoned_request_is_reported_without_a_verdict() {
    let hooks = [Hook::Admit, Hook::Abandon, Hook::Release];
    assert_eq!(under_tower(|| pending().boxed()).await, hooks);
    assert_eq!(in_simulation(|one| one.impatience(Impatience::new(1.0, ms(5)))), hooks);
}
