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
//! | [`hash`](crate::affinity::Mode::hash) | any key will do, and nothing can be stored | a few sessions move whenever the pool changes |
//! | [`table`](crate::affinity::Mode::table) | clients send a key (a user, a source address), and sessions must not move | memory; several balancers need [Redis](crate::affinity::redis) |
//! | [`learn`](crate::affinity::Mode::learn) | backends create sessions of their own, as those in Java and PHP do | the same |
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
//! The cookie has the same options as HAProxy's, and the same bytes on the wire. Its value is an authenticated
//! [token](crate::affinity::token): clients learn no address and cannot choose an endpoint. A forged, expired or
//! foreign token never causes an error. The request is treated as one without a session, and is
//! [counted](crate::affinity::Affinity::stats).
//!
//! Keys can be replaced without losing sessions, in three steps: accept the new key on all balancers, then sign with
//! it, then remove the old key.
//!
//! # When the endpoint cannot take the request
//!
//! | situation | what happens |
//! | --- | --- |
//! | the endpoint is draining, or has weight 0 | It keeps its sessions and gets no new ones. In mode `hash`, where nothing is stored, its keys move at once. |
//! | the endpoint is in maintenance or unhealthy, or has just failed this request | Setting [`unavailable`](crate::affinity::Affinity::unavailable): another endpoint takes the session over (the default), the request fails with 503, or it waits. |
//! | the endpoint is at its limit; or, with [`max_share`](crate::affinity::Affinity::max_share), it has more than its share of requests | Another endpoint serves this request and the session stays (the default), the request fails with 503, or it waits. |
//! | the request has no session, or its endpoint was removed | Setting [`missing`](crate::affinity::Affinity::missing): the strategy picks (the default), the request fails with 503, or it waits until an endpoint can be picked. |
//!
//! The endpoint that takes a session over is not chosen by chance. It is computed from the session by rendezvous
//! hashing (in mode `hash`, by the strategy's own hashing). Therefore balancers agree on it without communicating, and
//! the sessions of a failed endpoint spread over all others.
//!
//! Cookies that hold a plain name ([`EndpointNaming::ids`](crate::affinity::EndpointNaming::ids),
//! [`named`](crate::affinity::EndpointNaming::named), [`dynamic`](crate::affinity::EndpointNaming::dynamic)) do not identify the
//! session, only its endpoint. With them, the strategy of each balancer picks the new endpoint, and the cookie names it
//! from then on.
//!
//! # Endpoints in maintenance
//!
//! [`force`](crate::affinity::Affinity::force) selects requests that reach their endpoint whatever its availability is,
//! as HAProxy's `force-persist` does. With it, an operator can test a server in maintenance before clients may use it,
//! for example with a special cookie. [`except`](crate::affinity::Affinity::except) selects requests that have no
//! session, such as requests for images, as HAProxy's `ignore-persist` does.
//!
//! # Floods of sessions
//!
//! A table in memory has a capacity. A key that is used only once evicts no session. But a table cannot distinguish a
//! key that an attacker invents and uses twice from an honest one, and a backend that starts a session for every
//! request without one fills the table by itself. [`session_limit`](crate::affinity::Affinity::session_limit) limits
//! how many sessions the clients behind one address may start. It has no default, because the client's address depends
//! on the proxies in front.
//!
//! # Several balancers
//!
//! In mode `cookie`, all balancers need the same secret. In mode `hash`, they need the same endpoints. In the modes
//! `table` and `learn`, they need a common [`SessionStore`](crate::affinity::SessionStore):
//! [`RedisStore`](crate::affinity::redis::RedisStore) (feature `affinity-redis`) or one of your own. If the store is
//! unreachable, no request fails. A request goes to the endpoint that this balancer remembers, or to the one that the
//! strategy picks, and is counted.
//!
//! In Redis you set the limit: `maxmemory`, with `maxmemory-policy volatile-lru`. Then a client that invents millions
//! of keys evicts the least recently used sessions, but no data without a time to live. Without this limit, Redis grows
//! until sessions reach their idle timeout, or until it runs out of memory.
//!
//! # Caches and inference servers
//!
//! Here the endpoint with the state is better than others, but not at any price. The key is whatever the cache is
//! organised by. Requests go to another endpoint while the right one has more than its share:
//!
//! ```
//! use equipoise::{EndpointSpec, PeakEwma, Pool};
//! use equipoise::affinity::{Affinity, Mode, key::SessionKey, table::SessionTable};
//! use std::sync::Arc;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = Pool::new(PeakEwma::new());
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
//! A strategy with bounded hashing (`BoundedLoad<Maglev>`) and [`Mode::hash`](crate::affinity::Mode::hash) give the
//! same behaviour without a table.
//!
//! # Observing sessions
//!
//! Every response has an [`AffinityOutcome`](crate::affinity::AffinityOutcome) extension. [`stats`](crate::affinity::Affinity::stats)
//! counts outcomes by reason, and [`explain`](crate::affinity::Affinity::explain) shows where a request would go and
//! why. `cargo run --example sticky` shows three modes.
