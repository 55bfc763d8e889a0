//! Affinity: who comes back where.
//!
//! Some backends remember their clients: a login in memory, a cache that is warm for them, a model that has read their
//! prompt. [`Affinity`](crate::affinity::Affinity) brings each request back to the endpoint that knows its session, over
//! any strategy, and decides what happens when that cannot be.
//!
//! # What tells a session, and where its binding is kept
//!
//! | mode | choose it where | weakness |
//! | --- | --- | --- |
//! | [`cookie`](crate::affinity::Mode::cookie) | clients keep cookies: browsers | a client without cookies is new each time |
//! | [`hash`](crate::affinity::Mode::hash) | any key will do, and nothing may be kept | a few sessions move whenever the pool changes |
//! | [`table`](crate::affinity::Mode::table) | clients bring a key (a user, a source address), and sessions must not move | memory; several balancers need [Redis](crate::affinity::redis) |
//! | [`learn`](crate::affinity::Mode::learn) | backends set a session of their own, as Java's and PHP's do | the same |
//! | [`route`](crate::affinity::Mode::route) | backends write their name into it: `jvmRoute` | clients may choose |
//!
//! # A cookie of the balancer's
//!
//! ```
//! use equipoise::{EndpointSpec, Pool};
//! use equipoise::affinity::{
//!     Affinity, AffinityLayer, Mode, Values, cookie::PersistenceCookie, token::{Key, KeyRing},
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
//! // The same secret on all balancers, and after a restart.
//! let values = Values::tokens(KeyRing::new(Key::new(1, secret)?), &cookie);
//! let affinity = Affinity::new(&pool, Mode::cookie(cookie, values))?;
//!
//! let service = ServiceBuilder::new()
//!     .layer(AffinityLayer::new(affinity.clone()))
//!     .layer(BalanceLayer::new(pool))
//!     .service(client);
//! # drop(service);
//! # Ok(()) }
//! ```
//!
//! The cookie's words are HAProxy's, and so are the bytes. Its value is an authenticated
//! [token](crate::affinity::token): clients learn no address and cannot choose; what is forged, stale or another
//! cluster's is unbound and [counted](crate::affinity::Affinity::stats), never an error. Keys change without losing a
//! session: accept the new one everywhere, then sign with it, then drop the old one.
//!
//! # When its endpoint cannot take it
//!
//! | | what happens |
//! | --- | --- |
//! | it drains, or has weight 0 | it keeps its sessions, and takes no new ones; but with `hash`, where nothing is kept, its keys move at once |
//! | it is closed, unfit, or has just failed the request | [`unavailable`](crate::affinity::Affinity::unavailable): another one takes the session for good (the default); or 503; or it is waited for |
//! | it is at its limit, or with [`until_saturated`](crate::affinity::Affinity::until_saturated) has more than its share | another one takes this request, and the session stays (the default); or 503; or it is waited for |
//! | there is no binding, or its endpoint has left | [`missing`](crate::affinity::Affinity::missing): the strategy picks (the default); or 503; or it waits for somebody to be picked |
//!
//! Who takes a session over is not chance: it is worked out from the session itself by rendezvous hashing (in `hash` mode
//! by the strategy's own), so balancers that never talk to each other come to the same answer, and the sessions of one
//! that has died spread over all. A cookie that holds nothing but a plain name
//! ([`Values::ids`](crate::affinity::Values::ids), [`named`](crate::affinity::Values::named),
//! [`dynamic`](crate::affinity::Values::dynamic)) tells no session from another: there the strategy picks, on each balancer
//! for itself, and the cookie names the new one from then on.
//!
//! # A server in maintenance
//!
//! [`force`](crate::affinity::Affinity::force) names requests that reach the endpoint they are bound to in whatever state it
//! is: HAProxy's `force-persist`. An operator's browser with a special cookie can so try a server that is closed, before
//! clients may use it. [`except`](crate::affinity::Affinity::except) names requests that are not bound at all, such as
//! those for images: HAProxy's `ignore-persist`.
//!
//! # Floods
//!
//! A table in memory has a capacity, and keys that come once displace nobody. But no table can tell keys that a client makes
//! up and uses twice from those of honest sessions, and a backend that makes a session for each request without one fills
//! the table by itself. [`session_limit`](crate::affinity::Affinity::session_limit) bounds how many sessions the clients
//! behind one address may begin; it has no default, since where a client's address is found depends on the proxies in
//! front.
//!
//! # Several balancers
//!
//! Cookies need nothing but the same secret, hashing nothing but the same endpoints. Tables need a
//! [`SessionStore`](crate::affinity::SessionStore) in common: [`RedisStore`](crate::affinity::redis::RedisStore) (feature
//! `affinity-redis`), or one of your own. When the store is away, requests go where the strategy says, or where this
//! balancer still remembers, and that is counted; none fails.
//!
//! Redis has whatever room you give it: set `maxmemory` and `maxmemory-policy volatile-lru`
//! there. Whoever makes up keys by the million then pushes out the sessions that nobody has used for longest, and other
//! data without a time to live stays; without it, the server grows until the idle timeout catches up, or dies of it.
//!
//! # Caches and inference servers
//!
//! Where home is better than elsewhere, but not at any price, the key may be whatever the cache goes by, and home is left
//! while it has more than its share to do:
//!
//! ```
//! use equipoise::{EndpointSpec, PeakEwma, Pool};
//! use equipoise::affinity::{Affinity, Mode, key::SessionKey, table::SessionTable};
//! use std::sync::Arc;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = Pool::new(PeakEwma::new());
//! pool.update(["gpu-1:8000", "gpu-2:8000"].map(EndpointSpec::new), |_| ())?;
//! // An earlier layer has read the prompt and put its beginning into the request's extensions.
//! #[derive(Clone)]
//! struct Prompt(Vec<u8>);
//! let prefix = SessionKey::by(|head| {
//!     let Prompt(text) = head.extensions.get()?;
//!     Some(text[..text.len().min(1024)].to_vec().into())
//! });
//! let table = SessionTable::builder().capacity(1_000_000).build()?;
//! let affinity = Affinity::new(&pool, Mode::table(prefix, Arc::new(table)))?.until_saturated(1.25);
//! # drop(affinity);
//! # Ok(()) }
//! ```
//!
//! With a strategy that hashes and bounds (`BoundedLoad<Maglev>`) and [`Mode::hash`](crate::affinity::Mode::hash) the same
//! is had without a table.
//!
//! # Seeing it
//!
//! Every response tells its [`Outcome`](crate::affinity::Outcome), [`stats`](crate::affinity::Affinity::stats) count them by
//! reason, and [`explain`](crate::affinity::Affinity::explain) shows where a request would go and why.
//! `cargo run --example sticky` shows three modes at work.
