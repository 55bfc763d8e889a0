//! A shared HTTP cache as a tower layer.
//!
//! [`CacheLayer`] answers `GET` and `HEAD` requests with stored responses of the service behind it. It follows RFC 9111
//! as a shared cache, with the extensions of RFC 5861 (`stale-while-revalidate`, `stale-if-error`), RFC 9213
//! (`CDN-Cache-Control`) and RFC 9211 (`Cache-Status`).
//!
//! ```
//! use std::convert::Infallible;
//!
//! use bytes::Bytes;
//! use equipoise_gateway::cache::CacheLayer;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let backend = service_fn(async |_: Request<Full<Bytes>>| {
//!     let response = Response::builder().header("cache-control", "max-age=60").body(Full::from("hello"))?;
//!     Ok::<_, http::Error>(response)
//! });
//! let layer = CacheLayer::new(64 * 1024 * 1024)?;
//! let cache = layer.layer(backend);
//! for _ in 0..2 {
//!     let request = Request::get("https://example.com/").body(Full::default())?;
//!     let response = cache.clone().oneshot(request).await?;
//!     assert_eq!(response.into_body().collect().await?.to_bytes(), "hello");
//! }
//! assert_eq!((layer.stats().misses, layer.stats().hits), (1, 1));
//! assert_eq!(layer.handle().purge_url("https://example.com/").await?, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # What is stored
//!
//! A response to `GET` is stored if it is fresh for some time, or if it can be validated (`ETag`, `Last-Modified`), and
//! if nothing forbids it:
//!
//! | a response is not stored if | can be changed with |
//! | --- | --- |
//! | it has `no-store` (unless it has `must-understand` and its status is known), or `private` | |
//! | the request has `no-store` | [`obey_requests`](CacheBuilder::obey_requests) |
//! | the request has `Authorization` or an [`Identity`](crate::Identity), and the response has none of `public`, `s-maxage` and `must-revalidate` | [`KeyPolicy::per_identity`] |
//! | it has `Set-Cookie` | [`set_cookie`](CacheBuilder::set_cookie) |
//! | it has `Vary: *` or more than 16 names in `Vary` | |
//! | it is partial (206), or its status is not one that may be stored without explicit freshness | |
//! | its status is about one request: 408, 412, 413, 414, 416, 417, 425, 428, 429, 431, 511; or any error if the request was forwarded with its `Range` | |
//! | the request has a field such as `X-HTTP-Method-Override` (see [`KeyPolicy`]) | [`KeyPolicy::field`] |
//! | its type contradicts the extension of the path (`/account/x.css` with HTML) | [`refuse_deception`](CacheBuilder::refuse_deception) |
//! | its framing is not valid, so a `ReverseProxy` refuses it ([`check_response`](equipoise_proxy::check::check_response)) | |
//! | it is larger than the limit, or its body fails or has the wrong length | [`max_entry_bytes`](CacheBuilder::max_entry_bytes) |
//!
//! The lifetime is that of `CDN-Cache-Control`, or else of `s-maxage`, `max-age`, `Expires`, in this order. A number or
//! a date that cannot be read, and different numbers in one response, mean that the response is stale. There is no
//! heuristic freshness unless [`heuristic`](CacheBuilder::heuristic) is set. Fields that `no-cache="…"` or
//! `private="…"` name are not stored. Trailers reach the clients that read the response while it arrives, and are not
//! stored.
//!
//! # What a request gets
//!
//! | request | response |
//! | --- | --- |
//! | a fresh response is stored | that one, with `Age` |
//! | `If-None-Match`, `If-Modified-Since` | 304 if the stored response has not changed for the client |
//! | `Range`, also with `If-Range` and a strong validator | 206 with the range, or 416. Several ranges get `multipart/byteranges`; more than 16, ranges that overlap, and those of a response with `Content-Encoding` get the whole response |
//! | `HEAD` | the head of the stored response to `GET` |
//! | a stale response with a validator is stored | the backend is asked with this validator; 304 updates the stored fields. After a 304 with another validator, it is asked again without one |
//! | a stale response within `stale-while-revalidate` | that one, and one request validates it in the background |
//! | the backend fails or answers 500, 502, 503, 504 within `stale-if-error` | the stale response |
//! | `no-cache`, `max-age`, `min-fresh`, `max-stale` | as the client asks, unless [`obey_requests`](CacheBuilder::obey_requests) is off |
//! | `only-if-cached` without a usable response | 504 |
//! | `Range` or `HEAD` without a stored response | it is forwarded as it is, and not stored |
//! | a body, `Upgrade`, `If-Match`, `If-Unmodified-Since` | it is forwarded as it is |
//! | another method | it is forwarded. If it is unsafe, stored responses are removed: see below |
//!
//! A response with `Vary` is for requests with the same values of the fields that it names. Spaces around commas and, in
//! fields with weights, the case of names and the order of different weights make no other value. The order of equal
//! weights does, except in `Accept-Encoding`: many backends respond with the first type or language of the client.
//! `Cookie` and `Authorization` are compared as they are.
//!
//! Responses with `must-revalidate`, `proxy-revalidate`, `no-cache` or `s-maxage` are never used stale. A stale
//! response is removed when the backend answers with another one that is not stored, such as 404. See [`KeyPolicy`] for
//! what tells requests apart and what cannot be poisoned.
//!
//! # What `Cache-Status` says
//!
//! Each response has a line of this cache (RFC 9211), unless [`status_name`](CacheBuilder::status_name) is `None`:
//!
//! | part | meaning |
//! | --- | --- |
//! | `hit` | the response was stored before the request came |
//! | `fwd=uri-miss`, `fwd=vary-miss` | no response, or no variant for this request, was stored for the URL |
//! | `fwd=stale` | the stored response was stale, so the backend was asked |
//! | `fwd=request` | the request has asked for a newer response, by `Cache-Control` or `Pragma` |
//! | `fwd=method` | responses to this method are not cached |
//! | `fwd=bypass` | the store was not asked: the request has a body, an upgrade or a condition for the backend, or no key |
//! | `fwd-status=304` | the status of the backend, if the client got another one |
//! | `ttl=5` | the seconds for which the response stays fresh; negative if it is stale |
//! | `stored`, `collapsed` | the response was stored; it is that of a fetch for another request |
//! | `detail=no_store` | why the response was not stored, as in [`CacheStats`], or why a stale one was used |
//!
//! # What unsafe methods remove
//!
//! After a request with an unsafe method, such as `POST`, the stored responses of its URL are removed: all variants,
//! for all identities, whichever client has sent the request (RFC 9111, 4.4). They are removed unless the backend has
//! certainly not acted:
//!
//! | the end of the request | removed |
//! | --- | --- |
//! | status 2xx or 3xx | the responses of its URL, and of `Location` and `Content-Location` on the same host |
//! | status 502 or 504, an error or a timeout after which an endpoint may have processed the request, or the client leaves before the response | the responses of its URL |
//! | another status, or an error before an endpoint got the request | nothing |
//!
//! So a client that may send such requests can make the cache ask the backend again, even if the backend refuses all of
//! them. Deny unsafe methods that a site does not need in front of the cache. `GET`, `HEAD`, `OPTIONS`, `TRACE`,
//! `CONNECT`, `PROPFIND`, `REPORT`, `SEARCH`, `QUERY` and gRPC calls remove nothing.
//!
//! # One fetch for many clients
//!
//! Requests for the same URL and variant that come while it is fetched wait for that fetch, at most
//! [`max_wait`](CacheBuilder::max_wait), and read its body while it arrives. A request that has waited for so long is
//! forwarded too. So a slow response delays others by no more than that, and the cache does not cut it off. The fetch
//! runs in a task of its own (it needs a tokio runtime), so it goes on when the client that has begun it leaves;
//! without any client, it ends after 60 s. If the response cannot be shared, the waiting requests are forwarded at the
//! same time, and the cache remembers for [some time](CacheBuilder::remember_uncacheable) not to let requests for this
//! URL wait. Requests with credentials do not wait for those without, nor these for them. An error is an error for all
//! that wait: a backend that fails is not asked again by each of them.
//!
//! A body is kept until it is complete, so a slow client does not slow down others. If it becomes larger than the
//! limit, it is not stored, and all clients that read it still get all of it: then it is kept only until the slowest of
//! them has read it, and at most 256 KiB beyond what had arrived. A client that reads nothing for 60 s while others
//! wait for it gets an error. When the last of them leaves, the fetch ends.
//!
//! Interim responses (1xx) of a fetch go only to the client that has begun it, if its server
//! [sends them](equipoise_tower::InterimSender). They are not stored.
//!
//! # Memory
//!
//! The store, the bodies that are being received ([`max_filling_bytes`](CacheBuilder::max_filling_bytes), for all
//! caches of a [`SharedStore`] together) and the list of URLs that cannot be cached (16 384 of them) are bounded. A
//! client that reads slowly keeps the body that it reads in memory until it has read it or leaves, also after a store
//! in memory has evicted it: such bodies count among those that are being received. With another store, each client
//! that reads a stored response has a copy in memory.
//!
//! # Place in a stack
//!
//! A [`Cache`] returns the errors of the inner service, as a [`CacheError`], because a
//! [`ReverseProxy`](equipoise_proxy::ReverseProxy) around it answers them. A router of axum accepts only services without
//! errors: give it [`Functions::new().cache(layer).into_layer()?`](crate::stack::Functions::into_layer), which answers them
//! too.
//!
//! Put the cache behind authentication: it knows no permissions, except for the rules above. Inside of a
//! [`ReverseProxy`](equipoise_proxy::ReverseProxy), requests are already checked (one host, no request smuggling).
//! Without one, a request without a usable host is forwarded and not cached. Responses of functions behind the cache,
//! such as compression, are stored as these have made them; they must name what they depend on in `Vary`.

mod body;
mod engine;
mod error;
mod fetch;
mod forward;
mod handle;
mod key;
mod layer;
mod query;
mod rules;
mod serve;
mod service;
mod shared;
mod sharing;
mod stats;
mod status;
pub mod store;

pub use self::{
    body::CacheBody,
    error::{CacheConfigError, CacheError, PurgeError},
    handle::CacheHandle,
    key::KeyPolicy,
    layer::{CacheBuilder, CacheLayer},
    rules::policy::SetCookie,
    service::{Cache, CacheFuture},
    shared::SharedStore,
    stats::CacheStats,
};
