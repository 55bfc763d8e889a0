//! Endpoints that join and leave, stand-ins, and balancers with different members or clocks.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::{
    collections::HashSet,
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use equipoise_affinity::{
    Affinity, AffinityLayer, AffinityOutcome, EndpointNaming, InvalidMode, InvalidNaming, Mode, WithAffinity,
    cookie::{PersistenceCookie, PersistenceCookieBuilder},
    key::SessionKey,
    learn::Learn,
    table::SessionTable,
    token::{KeyRing, TokenKey, Tokens},
};
use equipoise_core::{Availability, Binding, EndpointSpec, MissReason, PickRequest, Pool, RoundRobin};
use equipoise_tower::{Balance, LeasedBody, ServedBy};
use http::{
    Request, Response,
    header::{COOKIE, HeaderName, SET_COOKIE},
};
use http_body_util::Empty;
use tokio::sync::Semaphore;
use tower::{Layer, Service, ServiceExt};

type Req = Request<Empty<Bytes>>;
type Answer = Response<LeasedBody<Empty<Bytes>>>;

/// A backend that answers `/slow` only when the test permits it, and all other requests at once.
#[derive(Clone)]
struct Backend {
    go_on: Arc<Semaphore>,
    asked: Arc<Semaphore>,
    sets: Option<&'static str>,
}

impl Backend {
    fn new() -> Self {
        Self { go_on: Arc::new(Semaphore::new(0)), asked: Arc::new(Semaphore::new(0)), sets: None }
    }

    fn setting(cookie: &'static str) -> Self {
        Self { sets: Some(cookie), ..Self::new() }
    }
}

impl Service<Req> for Backend {
    type Response = Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            if request.uri().path() == "/slow" {
                this.asked.add_permits(1);
                this.go_on.acquire().await.unwrap().forget();
            }
            let mut response = Response::new(Empty::new());
            if let Some(cookie) = this.sets {
                response.headers_mut().insert(SET_COOKIE, cookie.parse().unwrap());
            }
            Ok(response)
        })
    }
}

type Site = WithAffinity<Balance<Backend>>;

fn fill(pool: &Pool<Backend>, backends: &[(&str, Backend)]) {
    let of = |id: &str| backends.iter().find(|(name, _)| *name == id).unwrap().1.clone();
    pool.update(backends.iter().map(|(name, _)| EndpointSpec::new(name)), |spec| of(spec.id().as_str())).unwrap();
}

fn pool_of(names: &[&str]) -> Pool<Backend> {
    let pool = Pool::new(RoundRobin::new());
    fill(&pool, &names.iter().map(|name| (*name, Backend::new())).collect::<Vec<_>>());
    pool
}

fn site(pool: &Pool<Backend>, affinity: Affinity) -> Site {
    AffinityLayer::new(affinity).layer(Balance::new(pool.clone()).queue_timeout(Duration::from_secs(10)))
}

fn ring() -> KeyRing {
    KeyRing::new(TokenKey::new(1, [7; 32]).unwrap())
}

fn inserted() -> PersistenceCookie {
    PersistenceCookie::insert("lb").indirect().build().unwrap()
}

fn in_tokens() -> Mode {
    Mode::cookie(inserted(), EndpointNaming::tokens(ring(), &inserted()))
}

fn by_user(table: &Arc<SessionTable>) -> Mode {
    Mode::table(SessionKey::header("x-user").unwrap(), Arc::clone(table) as _)
}

fn request(path: &str, name: HeaderName, value: Option<&str>) -> Req {
    let mut request = Request::get(path).body(Empty::new()).unwrap();
    if let Some(value) = value {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    request
}

async fn get(site: &Site, cookie: Option<&str>) -> Answer {
    site.clone().oneshot(request("/", COOKIE, cookie)).await.unwrap()
}

fn user(path: &str, name: &str) -> Req {
    request(path, HeaderName::from_static("x-user"), Some(name))
}

fn cookie(answer: &Answer) -> Option<String> {
    let line = answer.headers().get(SET_COOKIE)?.to_str().unwrap();
    line.split(';').next().map(ToOwned::to_owned)
}

fn outcome(answer: &Answer) -> AffinityOutcome {
    answer.extensions().get::<AffinityOutcome>().unwrap().clone()
}

fn by(answer: &Answer) -> String {
    answer.extensions().get::<ServedBy>().unwrap().0.to_string()
}

#[tokio::test]
async fn one_mode_serves_pools_that_have_nothing_in_common() {
    let plain = Mode::cookie(inserted(), EndpointNaming::ids());
    for mode in [in_tokens(), plain] {
        let (one, other) = (pool_of(&["a", "b"]), pool_of(&["c", "d"]));
        let first = site(&one, Affinity::new(&one, mode.clone()).unwrap());
        let brought = cookie(&get(&first, None).await);
        let second = site(&other, Affinity::new(&other, mode).unwrap());
        for _ in 0..3 {
            assert_eq!(outcome(&get(&first, brought.as_deref()).await), AffinityOutcome::Kept);
        }
        let brought = cookie(&get(&second, None).await);
        assert_eq!(outcome(&get(&second, brought.as_deref()).await), AffinityOutcome::Kept);
    }
}

#[tokio::test]
async fn a_change_of_keys_reaches_all_pools_of_the_tokens() {
    let tokens = Arc::new(Tokens::new(ring(), "lb"));
    let mode = Mode::cookie(inserted(), EndpointNaming::from_tokens(Arc::clone(&tokens)));
    let pools = [pool_of(&["a", "b"]), pool_of(&["c", "d"])];
    let sites = pools.map(|pool| site(&pool, Affinity::new(&pool, mode.clone()).unwrap()));
    for site in &sites {
        let brought = cookie(&get(site, None).await);
        tokens.rotate(
            KeyRing::new(TokenKey::new(2, [8; 32]).unwrap()).accept(TokenKey::new(1, [7; 32]).unwrap()).unwrap(),
        );
        let answer = get(site, brought.as_deref()).await;
        assert_eq!(outcome(&answer), AffinityOutcome::Kept);
        // The response sets a token of the new key.
        let renewed = cookie(&answer);
        assert!(renewed.is_some());
        tokens.rotate(KeyRing::new(TokenKey::new(2, [8; 32]).unwrap()));
        assert_eq!(outcome(&get(site, renewed.as_deref()).await), AffinityOutcome::Kept);
        assert!(matches!(outcome(&get(site, brought.as_deref()).await), AffinityOutcome::New(_)));
        tokens.rotate(ring());
    }
}

#[test]
fn an_endpoint_named_by_another_balancer_is_known_as_soon_as_it_joins() {
    let names: Vec<String> = (0..2000).map(|n| format!("endpoint-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let block_on = |work: &mut dyn FnMut() -> Pin<Box<dyn Future<Output = Answer>>>| {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work())
    };
    let all: Vec<_> = names.iter().map(|name| (*name, Backend::new())).collect();
    let last = pool_of(&names[1999..]);
    let elsewhere = site(&last, Affinity::new(&last, in_tokens()).unwrap());
    let brought = cookie(&block_on(&mut || {
        let elsewhere = elsewhere.clone();
        Box::pin(async move { get(&elsewhere, None).await })
    }))
    .unwrap();
    for _ in 0..5 {
        let pool = pool_of(&names[..1999]);
        let site = site(&pool, Affinity::new(&pool, in_tokens()).unwrap());
        fill(&pool, &all);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let answer = block_on(&mut || {
                        let (site, brought) = (site.clone(), brought.clone());
                        Box::pin(async move { get(&site, Some(&brought)).await })
                    });
                    assert_eq!(outcome(&answer), AffinityOutcome::Kept);
                });
            }
        });
    }
}

#[tokio::test]
async fn an_endpoint_that_joins_while_a_request_waits_is_named_in_the_response() {
    for brought in [None, Some("lb=gone")] {
        let pool: Pool<Backend> = Pool::new(RoundRobin::new());
        let site = site(&pool, Affinity::new(&pool, Mode::cookie(inserted(), EndpointNaming::ids())).unwrap());
        let waiting = tokio::spawn(async move { get(&site, brought).await });
        tokio::task::yield_now().await;
        fill(&pool, &[("a", Backend::new())]);
        let answer = waiting.await.unwrap();
        assert_eq!(cookie(&answer).as_deref(), Some("lb=a"));
        assert!(matches!(outcome(&answer), AffinityOutcome::New(_)));
    }
}

#[tokio::test]
async fn a_client_keeps_its_cookie_if_the_endpoint_that_answered_has_no_name() {
    for dated in [false, true] {
        let cookie = PersistenceCookie::insert("lb").indirect();
        let cookie = if dated { cookie.idle_timeout(Duration::from_secs(60)) } else { cookie };
        let cookie = cookie.build().unwrap();
        let values = EndpointNaming::named(&cookie, [("a", "A")]).unwrap();
        let pool = pool_of(&["a", "sorry"]);
        let site = site(&pool, Affinity::new(&pool, Mode::cookie(cookie, values)).unwrap());
        pool.set_availability("a", Availability::Maintenance).unwrap();
        for brought in ["lb=A", "lb=unknown"] {
            let answer = get(&site, Some(brought)).await;
            assert_eq!((by(&answer).as_str(), answer.headers().get(SET_COOKIE)), ("sorry", None));
        }
    }
}

#[tokio::test]
async fn sessions_stay_where_they_are_when_clocks_are_ten_minutes_apart() {
    let pool = pool_of(&["a", "b", "c"]);
    let time = Arc::new(AtomicU64::new(1_800_000_000));
    let balancer = |skew: u64| {
        let values = EndpointNaming::tokens(ring(), &inserted()).idle_timeout(Duration::from_secs(1800));
        let time = Arc::clone(&time);
        let now = move || -> SystemTime { UNIX_EPOCH + Duration::from_secs(time.load(Ordering::Relaxed) + skew) };
        site(&pool, Affinity::new(&pool, Mode::cookie(inserted(), values)).unwrap().clock(now))
    };
    let balancers = [balancer(600), balancer(0)];
    let mut brought = cookie(&get(&balancers[0], None).await);
    for n in 1..40 {
        time.fetch_add(60, Ordering::Relaxed);
        let answer = get(&balancers[n % 2], brought.as_deref()).await;
        assert_eq!(outcome(&answer), AffinityOutcome::Kept, "request {n}");
        brought = cookie(&answer).or(brought);
    }
}

#[tokio::test]
async fn no_session_is_bound_to_an_endpoint_that_left_before_it_answered() {
    let learn = || Learn::new().cookie("J").unwrap();
    let learned = |table: &Arc<SessionTable>| Mode::learn(learn(), Arc::clone(table) as _);
    for mode in [&by_user as &dyn Fn(&Arc<SessionTable>) -> Mode, &learned] {
        let backend = Backend::setting("J=1");
        let pool = Pool::new(RoundRobin::new());
        fill(&pool, &[("a", backend.clone())]);
        let table = Arc::new(SessionTable::builder().idle_timeout(None).build().unwrap());
        let site = site(&pool, Affinity::new(&pool, mode(&table)).unwrap());
        let slow = tokio::spawn(site.clone().oneshot(user("/slow", "ada")));
        backend.asked.acquire().await.unwrap().forget();
        fill(&pool, &[("b", Backend::new())]);
        // At another request, the balancer notices the change and informs the store.
        let _ = site.clone().oneshot(user("/", "bob")).await.unwrap();
        backend.go_on.add_permits(1);
        let answer = slow.await.unwrap().unwrap();
        assert_eq!(by(&answer), "a");
        assert!(matches!(outcome(&answer), AffinityOutcome::Unbound(_)));
        table.sweep();
        assert!(table.sessions().all(|session| session.endpoint().as_str() == "b"));
        // The sessions stay void if an endpoint with the same id joins.
        fill(&pool, &[("a", Backend::new()), ("b", Backend::new())]);
        assert!(table.sessions().all(|session| session.endpoint().as_str() == "b"));
    }
}

#[tokio::test]
async fn the_removal_of_an_endpoint_that_joined_during_a_wait_is_noticed() {
    let pool: Pool<Backend> = Pool::new(RoundRobin::new());
    let table = Arc::new(SessionTable::builder().idle_timeout(None).build().unwrap());
    let site = site(&pool, Affinity::new(&pool, by_user(&table)).unwrap());
    let waiting = tokio::spawn(site.clone().oneshot(user("/", "ada")));
    tokio::task::yield_now().await;
    fill(&pool, &[("a", Backend::new())]);
    assert!(matches!(outcome(&waiting.await.unwrap().unwrap()), AffinityOutcome::New(_)));
    fill(&pool, &[("b", Backend::new())]);
    let _ = site.clone().oneshot(user("/", "bob")).await.unwrap();
    assert!(table.sessions().all(|session| session.endpoint().as_str() == "b"));
}

/// The endpoints that answer the requests of a client, and the outcomes.
async fn substitutes(site: &Site, brought: &str) -> (HashSet<String>, Vec<AffinityOutcome>) {
    let (mut endpoints, mut outcomes) = (HashSet::new(), vec![]);
    for _ in 0..8 {
        let answer = get(site, Some(brought)).await;
        endpoints.insert(by(&answer));
        outcomes.push(outcome(&answer));
    }
    (endpoints, outcomes)
}

#[tokio::test]
async fn behind_a_prefix_the_endpoints_own_value_selects_the_substitute() {
    let prefix = || PersistenceCookie::prefix("J").build().unwrap();
    let tokens = || EndpointNaming::tokens(ring(), &prefix());
    for (values, gone) in
        [(&EndpointNaming::ids as &dyn Fn() -> EndpointNaming, &[false][..]), (&tokens, &[false, true])]
    {
        let mut all = HashSet::new();
        let pools = [pool_of(&["a", "b", "c", "d"]), pool_of(&["d", "c", "b", "a"])];
        let sites =
            pools.each_ref().map(|pool| site(pool, Affinity::new(pool, Mode::cookie(prefix(), values())).unwrap()));
        // A balancer whose endpoint sets the cookie. The endpoints of the other balancers do not set it.
        let setting = Pool::new(RoundRobin::new());
        fill(&setting, &[("a", Backend::setting("J=s"))]);
        let setting = site(&setting, Affinity::new(&setting, Mode::cookie(prefix(), values())).unwrap());
        for n in 0..16 {
            let brought = format!("{}{n}", cookie(&get(&setting, None).await).unwrap());
            for &gone in gone {
                for pool in &pools {
                    if gone {
                        let _ = pool.remove("a");
                    } else {
                        fill(pool, &["a", "b", "c", "d"].map(|name| (name, Backend::new())));
                        pool.set_availability("a", Availability::Maintenance).unwrap();
                    }
                }
                let [(one, outcomes), (other, _)] =
                    [substitutes(&sites[0], &brought).await, substitutes(&sites[1], &brought).await];
                assert_eq!((one.len(), &one), (1, &other), "{brought}");
                // The endpoints do not set the cookie again, so the client keeps its cookie.
                assert!(
                    outcomes.iter().all(|outcome| matches!(
                        outcome,
                        AffinityOutcome::Diverted { .. } | AffinityOutcome::Unbound(_)
                    ))
                );
                all.extend(one);
            }
        }
        assert_eq!(all.len(), 3, "{all:?}");
    }
}

#[tokio::test]
async fn a_session_without_a_new_cookie_has_not_moved() {
    let postonly = PersistenceCookie::insert("J").postonly();
    for builder in [postonly, PersistenceCookie::rewrite("J")] as [PersistenceCookieBuilder; 2] {
        let pool = pool_of(&["a", "b", "c"]);
        let mode = Mode::cookie(builder.build().unwrap(), EndpointNaming::ids());
        let site = site(&pool, Affinity::new(&pool, mode).unwrap());
        pool.set_availability("a", Availability::Maintenance).unwrap();
        let (_, outcomes) = substitutes(&site, "J=a").await;
        assert!(outcomes.iter().all(|outcome| matches!(outcome, AffinityOutcome::Diverted { .. })), "{outcomes:?}");
        pool.set_availability("a", Availability::Up).unwrap();
        assert_eq!(outcome(&get(&site, Some("J=a")).await), AffinityOutcome::Kept);
    }
}

#[tokio::test]
async fn a_substitute_that_sets_the_cookie_itself_gets_the_session() {
    for (builder, brought) in
        [(PersistenceCookie::prefix("JS"), "JS=a~old"), (PersistenceCookie::rewrite("JS"), "JS=a")]
    {
        let pool = Pool::new(RoundRobin::new());
        let specs = ["a", "b"].map(|id| EndpointSpec::new(id).max_in_flight(1));
        pool.update(specs, |_| Backend::setting("JS=new")).unwrap();
        let affinity = Affinity::new(&pool, Mode::cookie(builder.build().unwrap(), EndpointNaming::ids())).unwrap();
        let service = AffinityLayer::new(affinity).layer(Balance::new(pool.clone()));
        let binding = Binding::to("a").strict();
        let _busy = pool.pick(&PickRequest::new().bound(&binding)).unwrap();
        let request = Request::get("http://app/").header(COOKIE, brought).body(Empty::new()).unwrap();
        let answer = service.oneshot(request).await.unwrap();
        assert!(answer.headers()[SET_COOKIE].as_bytes().starts_with(b"JS=b"));
        let outcome = answer.extensions().get::<AffinityOutcome>().unwrap();
        assert!(matches!(outcome, AffinityOutcome::Moved { reason: MissReason::Full, .. }), "{outcome}");
    }
}

#[test]
fn tokens_that_would_be_void_at_once_are_refused() {
    let cookie = PersistenceCookie::insert("SRV").build().unwrap();
    let pool: Pool<()> = Pool::default();
    for (setting, values) in [
        ("idle_timeout", EndpointNaming::tokens(ring(), &cookie).idle_timeout(Duration::ZERO)),
        ("lifetime", EndpointNaming::tokens(ring(), &cookie).lifetime(Duration::ZERO)),
    ] {
        let refused = Affinity::new(&pool, Mode::cookie(cookie.clone(), values)).unwrap_err();
        assert_eq!(refused, InvalidMode::Naming(InvalidNaming::Zero { setting }));
    }
}

#[test]
fn a_dynamic_name_is_made_of_a_url_too() {
    let cookie = PersistenceCookie::insert("SRV").build().unwrap();
    let with = |address: &str| {
        let pool: Pool<()> = Pool::default();
        pool.add(EndpointSpec::new(address), ()).unwrap();
        Affinity::new(&pool, Mode::cookie(cookie.clone(), EndpointNaming::dynamic(b"pepper"))).map(drop)
    };
    for address in ["10.0.0.1:80", "http://10.0.0.1:80", "HTTPS://10.0.0.1", "http://[::1]:80/"] {
        assert_eq!(with(address), Ok(()), "{address}");
    }
    for address in ["10.0.0.1", "orders:80", "tcp://10.0.0.1"] {
        assert!(matches!(with(address), Err(InvalidMode::Naming(InvalidNaming::Address { .. }))), "{address}");
    }
}
