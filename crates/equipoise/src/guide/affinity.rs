//! Session affinity: returning clients to the same endpoint.
//!
//! Some backends keep state for a client: a login in memory, a warm cache, a model that has already read the client's
//! prompt. [`Affinity`](crate::affinity::Affinity) sends each request of a session to the endpoint that has its state.
//! It works with any strategy, and defines what happens when that endpoint is not available.
//!
//! # Modes: how a session is recognised, and where its endpoint is stored
//!
//! | mode | use it where | weakness |
//! | --- | --- | --- |
//! | [`cookie`](crate::affinity::Mode::cookie) | clients store cookies, as browsers do | a client without cookies starts a new session with each request |
//! | [`hash`](crate::affinity::Mode::hash) | requests have a key, and nothing may be stored | a few sessions move whenever the pool changes |
//! | [`table`](crate::affinity::Mode::table) | clients send a key (a user, a source address), and sessions must not move | memory; several balancers need [Redis](crate::affinity::redis) |
//! | [`learn`](crate::affinity::Mode::learn) | backends create sessions of their own, as those in Java and PHP do | memory; several balancers need Redis |
//! | [`route`](crate::affinity::Mode::route) | backends write their name into the session: `jvmRoute` | clients can choose their endpoint |
//!
//! # A cookie set by the balancer
//!
//! ```
//! use equipoise::{EndpointSpec, Pool};
//! use equipoise::affinity::{
//!     Affinity, AffinityLayer, Mode, EndpointNaming, cookie::PersistenceCookie, token::{TokenKey, KeyRing},
//! };
//! use equipoise::tower::BalanceLayer;
//! use tower::ServiceBuilder;
//! # use bytes::Bytes;
//! # use http_body_util::Full;
//! # use hyper_util::{client::legacy::Client, rt::TokioExecutor};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
//! # let secret = [7; 32];
//!
//! let pool = Pool::default();
//! pool.update(["10.0.0.1:80", "10.0.0.2:80"].map(EndpointSpec::new), |_| ())?;
//!
//! let cookie = PersistenceCookie::insert("lb").indirect().httponly().secure().attribute("SameSite=Lax").build()?;
//! // All balancers need the same secret, also after a restart.
//! let naming = EndpointNaming::tokens(KeyRing::new(TokenKey::new(1, secret)?), &cookie);
//! let affinity = Affinity::new(&pool, Mode::cookie(cookie, naming))?;
//!
//! let service = ServiceBuilder::new()
//!     .layer(AffinityLayer::new(affinity.clone()))
//!     .layer(BalanceLayer::new(pool).check_addresses()?)
//!     .service(client);
//! # drop(service);
//! # Ok(()) }
//! ```
//!
//! The cookie has the same options as HAProxy's cookies, and its header has the same bytes. The value of the cookie is
//! an authenticated [token](crate::affinity::token): clients learn no address and cannot choose an endpoint. A forged,
//! expired or foreign token never causes an error. A request with such a token is treated as a request without a
//! session, and [counted](crate::affinity::Affinity::stats).
//!
//! The secret keys of the tokens can be replaced without losing sessions, in three steps: accept the new key on all
//! balancers, then sign with the new key, then remove the old key.
//!
//! # When the endpoint cannot take the request
//!
//! | situation | what happens |
//! | --- | --- |
//! | the endpoint is draining, or has weight 0 | It keeps its sessions and gets no new ones. In mode `hash`, where nothing is stored, its keys move at once. |
//! | the endpoint is in maintenance or unhealthy, or has just failed this request | Setting [`unavailable`](crate::affinity::Affinity::unavailable): another endpoint takes the session over (the default), the request fails with 503, or it waits. |
//! | the endpoint has its maximum number of requests in flight | Setting `unavailable`: another endpoint serves this request and the session stays (the default), the request fails with 503, or it waits. |
//! | [`max_share`](crate::affinity::Affinity::max_share) is set, and the endpoint has more than its share of the requests in flight | Another endpoint serves this request and the session stays. |
//! | the request has no session, or its endpoint was removed | Setting [`missing`](crate::affinity::Affinity::missing): the strategy picks (the default), the request fails with 503, or it waits until an endpoint can be picked. |
//!
//! When another endpoint takes over a session, the new endpoint is computed from the session: by rendezvous hashing, or
//! in mode `hash` by the strategy's own hashing. All balancers therefore select the same new endpoint without
//! communicating, and the sessions of a failed endpoint are distributed over all other endpoints.
//!
//! Cookies that hold a plain name ([`EndpointNaming::ids`](crate::affinity::EndpointNaming::ids),
//! [`named`](crate::affinity::EndpointNaming::named), [`dynamic`](crate::affinity::EndpointNaming::dynamic)) do not
//! identify the session, only its endpoint. If that endpoint cannot take a request, the strategy of each balancer picks
//! another one, and the new cookie names it.
//!
//! # Endpoints in maintenance
//!
//! [`force`](crate::affinity::Affinity::force) selects requests that go to their endpoint even if it is unhealthy or in
//! maintenance, as with HAProxy's `force-persist`. With these requests, for example those with a special cookie, an
//! operator can test a server in maintenance before clients may use it. [`except`](crate::affinity::Affinity::except)
//! selects requests that are never bound, such as requests for images, as with HAProxy's `ignore-persist`.
//!
//! # Floods of sessions
//!
//! A table in memory has a capacity. A key that is used only once evicts no session that is in use. There are two ways
//! to fill the table nevertheless:
//!
//! - An attacker invents keys and uses each of them twice.
//! - A backend starts a session for every request without a session.
//!
//! [`session_limit`](crate::affinity::Affinity::session_limit) limits how many sessions the clients behind one address
//! may start. The limit is off by default, because the client's address depends on the proxies in front of the
//! balancer.
//!
//! # Several balancers
//!
//! In mode `cookie`, all balancers need the same secret. In mode `hash`, they need the same endpoints. In the modes
//! `table` and `learn`, they need a common [`SessionStore`](crate::affinity::SessionStore):
//! [`RedisStore`](crate::affinity::redis::RedisStore) (feature `affinity-redis`) or a store of your own.
//!
//! If the store is unreachable, no request fails. A request goes to the endpoint that this balancer remembers for the
//! session. If the balancer remembers none, the strategy picks an endpoint. [`stats`](crate::affinity::Affinity::stats)
//! counts these requests.
//!
//! The size of the store in Redis is limited by Redis itself: set `maxmemory` and `maxmemory-policy volatile-lru`. If a
//! client then invents millions of keys, Redis evicts the least recently used sessions. Redis does not evict data
//! without a time to live. Without `maxmemory`, Redis grows until sessions reach their idle timeout, or until it runs
//! out of memory.
//!
//! # Caches and inference servers
//!
//! For a cache or an inference server, the endpoint with the state answers faster, but every endpoint can answer. A
//! request should therefore not wait for its endpoint. Set `max_share`: if the endpoint has more than its share of the
//! requests in flight, the request goes to another endpoint. Use as key the part of the request that decides what is
//! cached:
//!
//! ```
//! use equipoise::{EndpointSpec, LogEwma, Pool};
//! use equipoise::affinity::{Affinity, Mode, key::SessionKey, table::SessionTable};
//! use std::sync::Arc;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = Pool::new(LogEwma::new());
//! pool.update(["gpu-1:8000", "gpu-2:8000"].map(EndpointSpec::new), |_| ())?;
//! // An earlier layer has read the prompt and put it into the request's extensions.
//! #[derive(Clone)]
//! struct Prompt(Vec<u8>);
//! let prefix = SessionKey::by(|head| {
//!     let Prompt(text) = head.extensions.get()?;
//!     Some(text[..text.len().min(1024)].to_vec().into())
//! });
//! let table = SessionTable::builder().capacity(1_000_000).build()?;
//! let affinity = Affinity::new(&pool, Mode::table(prefix, Arc::new(table)))?.max_share(1.25);
//! # drop(affinity);
//! # Ok(()) }
//! ```
//!
//! `BoundedLoad<Maglev>` with [`Mode::hash`](crate::affinity::Mode::hash) behaves in the same way without a table.
//!
//! # Observing sessions
//!
//! Every response has an [`AffinityOutcome`](crate::affinity::AffinityOutcome) extension.
//! [`stats`](crate::affinity::Affinity::stats) counts outcomes by reason, and
//! [`explain`](crate::affinity::Affinity::explain) shows where a request would go and why. `cargo run --example sticky`
//! shows three modes.
