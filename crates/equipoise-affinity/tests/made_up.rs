//! Clients that invent keys, endpoints and very many sessions.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use equipoise_affinity::{
    Affinity, AffinityLayer, AffinityOutcome, Mode, OnUnavailable, SessionLimit, UnboundReason, WithAffinity,
    key::SessionKey,
    learn::{Learn, Route},
    source::{ClientAddress, PeerAddr},
    table::SessionTable,
};
use equipoise_core::{EndpointSpec, MissReason, Pool, RoundRobin};
use equipoise_tower::{Balance, LeasedBody, ServedBy};
use http::{
    Request, Response,
    header::{COOKIE, SET_COOKIE},
};
use http_body_util::Empty;
use tower::{Layer, Service, ServiceExt};

type Req = Request<Empty<Bytes>>;

/// A backend that starts a session for each request without one, as many frameworks do.
#[derive(Clone)]
struct Backend(Arc<AtomicU64>);

impl Service<Req> for Backend {
    type Response = Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let mut response = Response::new(Empty::new());
        if !request.headers().contains_key(COOKIE) {
            let session = self.0.fetch_add(1, Ordering::Relaxed);
            response.headers_mut().insert(SET_COOKIE, format!("sid={session}").parse().unwrap());
        }
        ready(Ok(response))
    }
}

type Site = WithAffinity<Balance<Backend>>;

fn pool_of(endpoints: usize) -> Pool<Backend> {
    let (pool, sessions) = (Pool::new(RoundRobin::new()), Arc::default());
    let specs = (0..endpoints).map(|n| EndpointSpec::new(format!("n{n}")));
    pool.update(specs, |_| Backend(Arc::clone(&sessions))).unwrap();
    pool
}

fn site(pool: &Pool<Backend>, affinity: Affinity) -> Site {
    AffinityLayer::new(affinity).layer(Balance::new(pool.clone()))
}

fn from(client: impl Into<IpAddr>) -> Req {
    let mut request = Request::new(Empty::new());
    request.extensions_mut().insert(PeerAddr(SocketAddr::new(client.into(), 1)));
    request
}

fn with(mut request: Req, name: &'static str, value: &str) -> Req {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

async fn ask(site: &Site, request: Req) -> Response<LeasedBody<Empty<Bytes>>> {
    site.clone().oneshot(request).await.unwrap()
}

async fn outcome(site: &Site, request: Req) -> AffinityOutcome {
    ask(site, request).await.extensions().get::<AffinityOutcome>().unwrap().clone()
}

fn limit(sessions: u32) -> SessionLimit {
    SessionLimit::new(ClientAddress::connection(), NonZeroU32::new(sessions).unwrap())
}

fn table(capacity: usize) -> Arc<SessionTable> {
    Arc::new(SessionTable::builder().capacity(capacity).build().unwrap())
}

const ATTACKER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);

/// Returns how many of 500 idle sessions are left in a table of 2 000 after 10 000 keys that were used twice.
async fn honest_sessions_left(limited: bool) -> usize {
    let (pool, table) = (pool_of(2), table(2_000));
    let mut affinity =
        Affinity::new(&pool, Mode::table(SessionKey::header("x-key").unwrap(), Arc::clone(&table) as _)).unwrap();
    if limited {
        affinity = affinity.session_limit(limit(100));
    }
    let site = site(&pool, affinity);
    for n in 0..500_u32 {
        let client = Ipv4Addr::from(0x0a00_0000 + n);
        for _ in 0..3 {
            ask(&site, with(from(client), "x-key", &format!("honest-{n}"))).await;
        }
    }
    for n in 0..10_000 {
        for _ in 0..2 {
            ask(&site, with(from(ATTACKER), "x-key", &format!("made-up-{n}"))).await;
        }
    }
    let stats = site.affinity().stats();
    assert_eq!(stats.limited, if limited { 2 * (10_000 - 100) } else { 0 });
    table.sessions().filter(|session| session.key().starts_with(b"honest-")).count()
}

#[tokio::test]
async fn with_a_session_limit_made_up_keys_of_one_source_evict_no_sessions() {
    assert_eq!(honest_sessions_left(true).await, 500);
    // The docs of the table say that it cannot protect sessions from such keys.
    assert!(honest_sessions_left(false).await < 250);
}

#[tokio::test]
async fn requests_without_a_cookie_do_not_fill_the_table_of_what_backends_set() {
    let (pool, table) = (pool_of(2), table(20_000));
    let affinity =
        Affinity::new(&pool, Mode::learn(Learn::new().cookie("sid").unwrap(), Arc::clone(&table) as _)).unwrap();
    let site = site(&pool, affinity.session_limit(limit(10)));
    for n in 0..1_000 {
        let said = outcome(&site, from(ATTACKER)).await;
        let expected = if n < 10 {
            AffinityOutcome::New(UnboundReason::Absent)
        } else {
            AffinityOutcome::Unbound(UnboundReason::Absent)
        };
        assert_eq!(said, expected);
    }
    assert_eq!((table.len(), site.affinity().stats().limited), (10, 990));
    // The sessions of the attacker and of other clients continue.
    let brought = with(from(ATTACKER), "cookie", "sid=3");
    assert_eq!(outcome(&site, brought).await, AffinityOutcome::Kept);
    assert_eq!(outcome(&site, from(Ipv4Addr::new(10, 0, 0, 1))).await, AffinityOutcome::New(UnboundReason::Absent));
}

#[tokio::test]
async fn a_source_may_begin_sessions_again_in_the_next_interval_and_known_ones_may_move() {
    let (pool, table, seconds) = (pool_of(2), table(100), Arc::new(AtomicU64::new(600)));
    let now = {
        let seconds = Arc::clone(&seconds);
        move || -> SystemTime { UNIX_EPOCH + Duration::from_secs(seconds.load(Ordering::Relaxed)) }
    };
    let affinity = Affinity::new(&pool, Mode::table(SessionKey::header("x-key").unwrap(), table)).unwrap();
    let site = site(&pool, affinity.clock(now).session_limit(limit(1).interval(Duration::from_secs(60))));
    let key = |key: &str| with(from(ATTACKER), "x-key", key);
    let first = ask(&site, key("one")).await;
    assert_eq!(first.extensions().get(), Some(&AffinityOutcome::New(UnboundReason::Unknown)));
    assert_eq!(outcome(&site, key("two")).await, AffinityOutcome::Unbound(UnboundReason::Unknown));

    let bound = first.extensions().get::<ServedBy>().unwrap().0.clone();
    drop(first);
    pool.set_availability(bound.as_str(), equipoise_core::Availability::Maintenance).unwrap();
    assert_eq!(
        outcome(&site, key("one")).await,
        AffinityOutcome::Moved { from: bound, reason: MissReason::Maintenance }
    );

    seconds.store(660, Ordering::Relaxed);
    assert_eq!(outcome(&site, key("two")).await, AffinityOutcome::New(UnboundReason::Unknown));
}

fn by_route(pool: &Pool<Backend>) -> Affinity {
    Affinity::new(pool, Mode::route(Learn::new().cookie("sid").unwrap(), Route::default())).unwrap()
}

#[tokio::test]
async fn an_endpoint_that_a_client_makes_up_is_no_binding() {
    let pool = pool_of(1_000);
    let site = site(&pool, by_route(&pool));
    let route = |id: &str| with(from(ATTACKER), "cookie", &format!("sid=6A3F.{id}"));
    assert_eq!(outcome(&site, route("n7")).await, AffinityOutcome::Kept);
    for id in ["made-up", "n1000", &"n".repeat(4_000)] {
        assert_eq!(outcome(&site, route(id)).await, AffinityOutcome::Unbound(UnboundReason::Unknown));
        // The request has no binding, so no stand-in is computed, whatever the size of the pool is.
        let explained = site.affinity().explain(&route(id)).await;
        assert_eq!(explained.endpoint, Err(UnboundReason::Unknown));
        assert_eq!(explained.pick.unwrap().binding_outcome, equipoise_core::BindingOutcome::Unbound);
    }
    assert_eq!(site.affinity().stats().unbound_for("unknown"), 3);

    let strict = AffinityLayer::new(by_route(&pool).missing(OnUnavailable::Refuse)).layer(Balance::new(pool.clone()));
    assert!(strict.oneshot(route("made-up")).await.is_err());
}

#[tokio::test]
async fn sessions_of_an_endpoint_that_has_left_have_one_substitute_on_all_balancers_that_saw_it_leave() {
    let pools = [pool_of(10), pool_of(10)];
    let [one, other] = pools.each_ref().map(|pool| site(pool, by_route(pool)));
    for pool in &pools {
        pool.remove("n7").unwrap();
    }
    for n in 0..20 {
        let route = || with(from(ATTACKER), "cookie", &format!("sid={n}.n7"));
        // Advances the round robin of this balancer, so that it would pick another endpoint each time.
        ask(&other, from(ATTACKER)).await;
        let (first, second) = (ask(&one, route()).await, ask(&other, route()).await);
        let server = |answer: &Response<_>| answer.extensions().get::<ServedBy>().unwrap().0.clone();
        assert_eq!(server(&first), server(&second));
        assert_eq!(
            first.extensions().get(),
            Some(&AffinityOutcome::Diverted { bound_to: "n7".into(), reason: MissReason::Gone })
        );
    }
}
