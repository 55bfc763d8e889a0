//! Helpers of the tests.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use equipoise::{
    EndpointSpec, Pool, RoundRobin, Strategy,
    affinity::{
        Affinity, EndpointNaming, Mode,
        cookie::PersistenceCookie,
        key::SessionKey,
        redis::RedisStore,
        table::SessionTable,
        token::{KeyRing, TokenKey},
    },
};
use equipoise_tests::{Answer, Backend};
use http::{HeaderValue, Response, header::SET_COOKIE};
use http_body_util::{BodyExt, Full, channel};
use parking_lot::Mutex;

/// The header that identifies users in tests without cookies.
pub(crate) const USER: &str = "x-user";

/// Servers that answer with their names, and delay the response to `/hold`.
pub(crate) struct Servers {
    all: Vec<(&'static str, Backend)>,
    held: Arc<Mutex<Vec<channel::Sender<Bytes, io::Error>>>>,
}

impl Servers {
    pub(crate) fn start<const N: usize>(names: [&'static str; N]) -> Self {
        let held = Arc::default();
        let all = names.map(|name| (name, server(name, &held))).into();
        Self { all, held }
    }

    pub(crate) fn of(&mut self, name: &str) -> &mut Backend {
        &mut self.all.iter_mut().find(|(known, _)| *known == name).unwrap().1
    }

    pub(crate) fn spec(&self, name: &str) -> EndpointSpec {
        let (name, backend) = self.all.iter().find(|(known, _)| *known == name).unwrap();
        EndpointSpec::new(backend.address()).with_id(*name)
    }

    /// Returns the specs of all servers.
    pub(crate) fn specs(&self) -> Vec<EndpointSpec> {
        self.all.iter().map(|(name, _)| self.spec(name)).collect()
    }

    /// Creates a pool of all servers with round robin.
    pub(crate) fn pool(&self) -> Pool<()> {
        self.pool_by(RoundRobin::new())
    }

    pub(crate) fn pool_by(&self, strategy: impl Strategy) -> Pool<()> {
        let pool = Pool::new(strategy);
        pool.update(self.specs(), |_| ()).unwrap();
        pool
    }

    /// Completes all delayed responses.
    pub(crate) fn release(&self) {
        self.held.lock().clear();
    }
}

/// A server that creates a session like Tomcat for a request of `/login`, and ends it for `/logout`.
fn server(name: &'static str, held: &Arc<Mutex<Vec<channel::Sender<Bytes, io::Error>>>>) -> Backend {
    let (held, logins) = (Arc::clone(held), Mutex::new(0));
    let answer = move |request: &equipoise_tests::Seen| -> Answer {
        if request.uri.path() == "/hold" {
            let (sender, body) = channel::Channel::new(1);
            held.lock().push(sender);
            return Response::new(body.boxed());
        }
        let mut response = Response::new(Full::from(name).map_err(|never| match never {}).boxed());
        if request.uri.path() == "/login" {
            let number = {
                let mut logins = logins.lock();
                *logins += 1;
                *logins
            };
            let session = format!("JSESSIONID={name}{number}.{name}; Path=/; HttpOnly");
            response.headers_mut().insert(SET_COOKIE, session.parse().unwrap());
        }
        if request.uri.path() == "/logout" {
            let over = HeaderValue::from_static("JSESSIONID=; Path=/; Max-Age=0");
            response.headers_mut().insert(SET_COOKIE, over);
        }
        response
    };
    Backend::answering(answer).unwrap()
}

/// The token key that all balancers of a test share.
pub(crate) fn ring() -> KeyRing {
    KeyRing::new(TokenKey::new(1, b"a secret that nobody would guess").unwrap())
}

/// The most common mode: a cookie of the balancer with a token.
pub(crate) fn tokens() -> Mode {
    with_ring(ring())
}

pub(crate) fn with_ring(ring: KeyRing) -> Mode {
    let cookie = PersistenceCookie::insert("lb").indirect().nocache().httponly().build().unwrap();
    let values = EndpointNaming::tokens(ring, &cookie);
    Mode::cookie(cookie, values)
}

pub(crate) fn user() -> SessionKey {
    SessionKey::header(USER).unwrap()
}

pub(crate) fn table() -> Arc<SessionTable> {
    Arc::new(SessionTable::builder().build().unwrap())
}

/// A mode with a table by the header of the user.
pub(crate) fn in_table() -> Mode {
    Mode::table(user(), table())
}

pub(crate) fn affinity(pool: &Pool<()>, mode: Mode) -> Affinity {
    // A long timeout, so that a busy machine does not count as a store that cannot be reached.
    Affinity::new(pool, mode).unwrap().lookup_timeout(Duration::from_secs(10))
}

/// Polls for a condition that has no event.
pub(crate) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < Duration::from_secs(30), "never {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Creates a connected store with this lookup timeout.
pub(crate) async fn redis(url: &str, longest: Duration) -> RedisStore {
    let backoff = (Duration::from_millis(5), Duration::from_millis(50));
    let store = RedisStore::builder(url).lookup_timeout(longest).backoff(backoff.0, backoff.1).build().unwrap();
    eventually("connected", || store.stats().connected).await;
    store
}
