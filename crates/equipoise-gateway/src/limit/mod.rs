//! Limits of how many requests pass: rate limits ([`RateLimitLayer`]) and limits of requests at the same time
//! ([`InFlightLayer`]).
//!
//! # Rate limits
//!
//! A layer has one or several [`Limit`]s. Each limit has a [key](LimitKey), by which it tells clients apart, and a
//! [quota](Quota). A request passes if all limits admit it. If one of them denies it, no limit counts it. (nginx checks
//! its limits one after the other, and a request that a later limit denies still counts for the earlier ones.)
//!
//! Decisions are those of GCRA, by `governor`: a bucket that leaks steadily, so there are no windows at whose borders
//! twice the quota would pass. The state of a key is one number.
//!
//! The number of keys in this process is bounded. The table of keys is such that a flood of keys neither resets the bucket
//! of a client nor denies new clients: see [`Limit::max_keys`].
//!
//! ```
//! use std::convert::Infallible;
//! use equipoise_affinity::source::PeerAddr;
//! use equipoise_gateway::limit::{Quota, RateLimitLayer};
//! use http::{Request, Response};
//! use tower::{Layer as _, ServiceExt as _, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let layer = RateLimitLayer::per_client(Quota::per_minute(60).burst(1))?;
//! let service = layer.layer(service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(()))));
//!
//! let mut request = Request::new(());
//! request.extensions_mut().insert(PeerAddr("192.0.2.7:40312".parse()?));
//! assert_eq!(service.clone().oneshot(request.clone()).await?.status(), 200);
//!
//! let denied = service.oneshot(request).await?;
//! assert_eq!(denied.status(), 429);
//! assert_eq!(denied.headers()["retry-after"], "1");
//! assert_eq!(denied.headers()["ratelimit"], "\"client\";r=0;t=1");
//! # Ok(())
//! # }
//! ```
//!
//! # Several gateways
//!
//! With the feature `rate-limit-redis`, several gateways share their buckets in a Redis or Valkey server
//! (`RedisLimits`). A request then waits for one round trip, at most 20 ms by default. While the server is unavailable,
//! each gateway decides with its own buckets, or all requests are admitted or denied. The server bounds the number of keys
//! there, by their expiry and by its `maxmemory`.
//!
//! # What these limits do not do
//!
//! They do not protect against more traffic than the machine can read. A client with many addresses has many buckets:
//! combine a limit by address with one by network ([`LimitKey::network`]), and with a global one.

mod error;
mod fields;
mod gate;
mod in_flight;
mod key;
mod layer;
mod local;
mod quota;
#[cfg(feature = "rate-limit-redis")]
mod redis;
mod rule;
mod service;
mod stats;
mod table;
#[cfg(test)]
mod tests;
mod verdict;

#[cfg(feature = "rate-limit-redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "rate-limit-redis")))]
pub use self::redis::{RedisFallback, RedisLimitStats, RedisLimits};
pub use self::{
    error::InvalidRateLimit,
    fields::LimitFields,
    in_flight::{InFlight, InFlightBody, InFlightBuilder, InFlightFuture, InFlightLayer, InFlightStats},
    key::{LimitKey, MissingKey},
    layer::{RateLimitBuilder, RateLimitLayer},
    quota::Quota,
    rule::Limit,
    service::{RateLimit, RateLimitFuture},
    stats::LimitStats,
};
