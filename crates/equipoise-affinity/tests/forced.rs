//! Forced requests, which go to the endpoint of their session whatever its availability is: HAProxy's `force-persist`.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::{
    future::{Ready, ready},
    io,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use equipoise_affinity::{
    Affinity, AffinityLayer, AffinityOutcome, EndpointNaming, Mode, OnUnavailable, WithAffinity,
    cookie::PersistenceCookie,
    key::SessionKey,
    learn::{Learn, Route},
    table::SessionTable,
};
use equipoise_core::{Availability, Binding, EndpointId, EndpointSpec, PickRequest, Pool, RoundRobin};
use equipoise_tower::{Balance, Error, LeasedBody, ServedBy};
use http::{
    Request, Response, StatusCode,
    header::{COOKIE, SET_COOKIE},
};
use http_body_util::Empty;
use tower::{Layer, Service, ServiceExt};

type Req = Request<Empty<Bytes>>;

/// A backend that answers, or refuses connections.
#[derive(Clone)]
struct Backend {
    fails: bool,
}

impl Service<Req> for Backend {
    type Response = Response<Empty<Bytes>>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Req) -> Self::Future {
        ready(if self.fails { Err(io::ErrorKind::ConnectionRefused.into()) } else { Ok(Response::new(Empty::new())) })
    }
}

type Site = WithAffinity<Balance<Backend>>;

fn pool() -> Pool<Backend> {
    let pool = Pool::new(RoundRobin::new());
    let specs = ["a", "b", "c"].map(|id| EndpointSpec::new(id).max_in_flight(1));
    pool.update(specs, |_| Backend { fails: false }).unwrap();
    pool
}

fn affinity(pool: &Pool<Backend>, mode: Mode) -> Affinity {
    Affinity::new(pool, mode).unwrap().force(|request| request.headers.contains_key("x-force"))
}

fn site(pool: &Pool<Backend>, affinity: Affinity) -> Site {
    AffinityLayer::new(affinity).layer(Balance::new(pool.clone()))
}

fn by_id() -> Mode {
    Mode::cookie(PersistenceCookie::insert("SRV").indirect().build().unwrap(), EndpointNaming::ids())
}

fn request(cookie: &str, forced: bool) -> Req {
    let mut request = Request::get("/").header(COOKIE, cookie).header("x-user", "ada").body(Empty::new()).unwrap();
    if forced {
        request.headers_mut().insert("x-force", "1".parse().unwrap());
    }
    request
}

async fn ask(site: &Site, request: Req) -> Result<Response<LeasedBody<Empty<Bytes>>>, Error> {
    site.clone().oneshot(request).await
}

fn reported(answer: &Response<LeasedBody<Empty<Bytes>>>) -> (String, AffinityOutcome) {
    let extensions = answer.extensions();
    (extensions.get::<ServedBy>().unwrap().0.to_string(), extensions.get::<AffinityOutcome>().unwrap().clone())
}

const EVERY: [Availability; 5] = [
    Availability::Up,
    Availability::Unhealthy,
    Availability::Probation,
    Availability::Draining,
    Availability::Maintenance,
];

#[tokio::test]
async fn a_forced_request_reaches_its_endpoint_in_every_state_and_keeps_its_session() {
    for availability in EVERY {
        let pool = pool();
        let site = site(&pool, affinity(&pool, by_id()));
        pool.set_availability("b", availability).unwrap();
        for _ in 0..3 {
            let answer = ask(&site, request("SRV=b", true)).await.unwrap();
            assert_eq!(reported(&answer), ("b".to_owned(), AffinityOutcome::Kept), "{availability}");
            assert!(!answer.headers().contains_key(SET_COOKIE));
        }
    }
}

#[tokio::test]
async fn of_several_cookies_the_first_that_names_an_endpoint_is_forced() {
    let pool = pool();
    let site = site(&pool, affinity(&pool, by_id()));
    pool.set_availability("b", Availability::Maintenance).unwrap();
    let cookies = "SRV=unknown; SRV=b; SRV=c";
    assert_eq!(reported(&ask(&site, request(cookies, true)).await.unwrap()).0, "b");
    assert_eq!(reported(&ask(&site, request(cookies, false)).await.unwrap()).0, "c");
}

#[tokio::test]
async fn sessions_in_a_table_and_in_the_backends_hands_are_forced_as_well() {
    let table = Arc::new(SessionTable::builder().build().unwrap());
    let modes = [
        Mode::table(SessionKey::header("x-user").unwrap(), table),
        Mode::route(Learn::new().cookie("JSESSIONID").unwrap(), Route::default()),
    ];
    for mode in modes {
        let pool = pool();
        let site = site(&pool, affinity(&pool, mode));
        let (bound, _) = reported(&ask(&site, request("JSESSIONID=7.a", false)).await.unwrap());
        pool.set_availability(bound.as_str(), Availability::Maintenance).unwrap();
        let answer = ask(&site, request("JSESSIONID=7.a", true)).await.unwrap();
        assert_eq!(reported(&answer), (bound, AffinityOutcome::Kept));
    }
}

#[tokio::test]
async fn a_request_that_is_not_forced_leaves_an_endpoint_in_maintenance() {
    let pool = pool();
    let site = site(&pool, affinity(&pool, by_id()));
    pool.set_availability("b", Availability::Maintenance).unwrap();
    let answer = ask(&site, request("SRV=b", false)).await.unwrap();
    assert!(matches!(reported(&answer), (server, AffinityOutcome::Moved { .. }) if server != "b"));
}

#[tokio::test]
async fn a_forced_request_goes_to_its_endpoint_or_nowhere() {
    let pool = pool();
    pool.replace_with_failing("b");
    let site = site(&pool, affinity(&pool, by_id()));
    pool.set_availability("b", Availability::Maintenance).unwrap();
    assert!(ask(&site, request("SRV=b", true)).await.is_err(), "what fails is not tried elsewhere");

    let pool = self::pool();
    let site = self::site(&pool, affinity(&pool, by_id()));
    let only = EndpointId::from("b");
    let lease = pool.pick(&PickRequest::new().prefer(&only)).unwrap();
    let error = ask(&site, request("SRV=b", true)).await.unwrap_err();
    assert_eq!(StatusCode::SERVICE_UNAVAILABLE, error.status(), "limits hold");
    drop(lease);
    assert_eq!(reported(&ask(&site, request("SRV=b", true)).await.unwrap()).0, "b");
}

#[tokio::test(start_paused = true)]
async fn a_forced_request_waits_for_room_where_sessions_wait() {
    let pool = pool();
    let affinity = affinity(&pool, by_id()).unavailable(OnUnavailable::Wait(Duration::from_secs(5)));
    let site = site(&pool, affinity);
    pool.set_availability("b", Availability::Maintenance).unwrap();
    let binding = Binding::to("b").forced();
    let held = pool.pick(&PickRequest::new().bound(&binding)).unwrap();
    let waiting = tokio::spawn(async move { ask(&site, request("SRV=b", true)).await.map(|answer| reported(&answer)) });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!waiting.is_finished());
    drop(held);
    assert_eq!(waiting.await.unwrap().unwrap(), ("b".to_owned(), AffinityOutcome::Kept));
}

#[tokio::test]
async fn what_has_no_binding_or_is_excepted_is_not_forced() {
    let pool = pool();
    let affinity = affinity(&pool, by_id());
    for availability in [Availability::Unhealthy, Availability::Maintenance] {
        pool.set_availability("b", availability).unwrap();
        for cookie in ["SRV=gone", "x=y"] {
            let answer = ask(&site(&pool, affinity.clone()), request(cookie, true)).await.unwrap();
            assert!(matches!(reported(&answer), (server, AffinityOutcome::New(_)) if server != "b"));
        }
        let site = site(&pool, affinity.clone().except(|_| true));
        let answer = ask(&site, request("SRV=b", true)).await.unwrap();
        assert!(matches!(reported(&answer), (server, AffinityOutcome::Unbound(_)) if server != "b"));
    }
}

#[tokio::test]
async fn a_panic_in_the_rule_forces_nothing_and_an_explanation_shows_what_is_forced() {
    let pool = pool();
    pool.set_availability("b", Availability::Maintenance).unwrap();
    let explained = affinity(&pool, by_id()).explain(&request("SRV=b", true)).await;
    assert_eq!(explained.pick.unwrap().picked, Ok("b".into()));

    let affinity = affinity(&pool, by_id()).force(|_| panic!("on purpose"));
    let explained = affinity.explain(&request("SRV=b", true)).await;
    assert_ne!(explained.pick.unwrap().picked, Ok("b".into()));
}

trait Failing {
    fn replace_with_failing(&self, id: &str);
}

impl Failing for Pool<Backend> {
    fn replace_with_failing(&self, id: &str) {
        self.remove(id).unwrap();
        self.add(EndpointSpec::new(id), Backend { fails: true }).unwrap();
    }
}
