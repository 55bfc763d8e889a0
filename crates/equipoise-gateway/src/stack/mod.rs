//! All functions of a route or of a listener, in an order that is safe.
//!
//! [`Functions`] takes the layers of this crate in any order, and applies them in this one, the outermost first:
//!
//! | step | function | reason for its place |
//! | --- | --- | --- |
//! | 1 | [`request_id`](Functions::request_id), [`client_fields`](Functions::client_fields) | all responses have them, also those of other functions |
//! | 2 | [`cors`](Functions::cors) | a page may read all errors below, and a preflight request has no credentials |
//! | 3 | [`uri`](Functions::uri), [`filter`](Functions::filter) | all others see the path that the backend sees |
//! | 4 | [`maintenance`](Functions::maintenance), [`redirect`](Functions::redirect) | they need to know nothing of the client |
//! | 5 | [`csrf`](Functions::csrf) | requests that other sites cause must not use up the limits of their visitor |
//! | 6 | [`rate_limit`](Functions::rate_limit), [`limit_in_flight`](Functions::limit_in_flight) | they limit how often credentials are guessed |
//! | 7 | [`authenticate`](Functions::authenticate) | nothing below is reached without it |
//! | 8 | [`rate_limit_identities`](Functions::rate_limit_identities), [`limit_identities_in_flight`](Functions::limit_identities_in_flight) | the identity is known and not claimed |
//! | 9 | [`compress`](Functions::compress) | one stored response serves all clients |
//! | | [`errors`](Functions::errors) | failures have the fields that the functions above add |
//! | 10 | [`cache`](Functions::cache) | a stored response needs no backend |
//! | 11 | [`backend_fields`](Functions::backend_fields), [`decompress`](Functions::decompress), [`filter_request_bodies`](Functions::filter_request_bodies), [`filter_response_bodies`](Functions::filter_response_bodies) | only the backend sees the changes; the cache stores filtered bodies |
//!
//! Neither the cache nor the backend is reached by a request that the authentication refuses. What would leave a
//! route open by mistake is refused: see [`InvalidFunctions`].
//!
//! The functions work inside of a [`ReverseProxy`](equipoise_proxy::ReverseProxy), for all requests of a listener or,
//! in the branches of a router, for those of a route. A `ReverseProxy` has checked requests before them, and sets the
//! fields `X-Forwarded-*`.
//!
//! ```
//! use bytes::Bytes;
//! use equipoise_gateway::{filter::{FilterLayer, FilterRules, Rule}, stack::{AnyBody, Functions}};
//! use http::{Method, Request, Response};
//! use http_body_util::{Empty, Full};
//! use tower::{ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let backend = service_fn(async |_: Request<AnyBody<Empty<Bytes>>>| {
//!     Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::from("hello")))
//! });
//! let rules = FilterRules::new([Rule::allow("read").methods([Method::GET]), Rule::deny("others")])?;
//! let service = Functions::new().filter(FilterLayer::new(rules)).layer(backend)?;
//!
//! let response = service.clone().oneshot(Request::get("/").body(Empty::new())?).await?;
//! assert_eq!(response.status(), 200);
//! let response = service.oneshot(Request::delete("/").body(Empty::new())?).await?;
//! assert_eq!(response.status(), 403);
//! # Ok(())
//! # }
//! ```
//!
//! # Failures
//!
//! If the inner service or the cache fails, the client gets the response of [`errors`](Functions::errors), for example 502 or
//! 404. It has the extension [`Failed`](equipoise_proxy::Failed). So a [`FunctionsService`] returns no errors, and
//! [`into_layer`](Functions::into_layer) makes a layer for a router of axum.
//!
//! The `ReverseProxy` around the functions answers some requests itself: it refuses requests, and has
//! [`Timeouts`](equipoise_proxy::Timeouts). Give it [`own_responses`](Functions::own_responses), so that these responses have
//! the request id, the changes of fields, and the fields of CORS too. Without these, a page cannot read why its request
//! has failed. They are missing only in responses to a backend that switches to a wrong protocol or whose first chunk is
//! malformed (502), and in those of the [server](equipoise_proxy::server): malformed requests, which it cannot read, and
//! requests above its limits (503) or for another certificate (421).
//!
//! # Several routes
//!
//! The order and the checks hold for one `Functions`. Around a router and in its branches, those around are the outer ones:
//! a cache around a router whose branches authenticate would serve its responses without authentication, and no check
//! refuses this. So put the cache and the authentication into the same `Functions`, or the authentication into the outer.
//! A route without functions is open to all.
//!
//! ```
//! # #[cfg(not(feature = "auth"))]
//! # fn main() {}
//! # #[cfg(feature = "auth")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! use bytes::Bytes;
//! use equipoise_gateway::{auth::{ApiKey, ApiKeys, AuthLayer}, filter::UriLayer, stack::Functions};
//! use equipoise_proxy::{ReverseProxy, route::{Route, Router, Routes}};
//! use http::{Request, Response};
//! use http_body_util::{Empty, Full};
//! use tower::{ServiceExt, service_fn};
//!
//! let backend = service_fn(async |_: Request<_>| {
//!     Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::from("hello")))
//! });
//! let ada = ApiKeys::generate();
//! let keys: ApiKeys = format!("ada:{}", ada.hash).parse()?;
//! let health = Functions::new();
//! let api = Functions::new().authenticate(AuthLayer::new(ApiKey::header(keys)));
//! let router = Router::new(Routes::new([
//!     Route::to("health", health.layer(backend)?).path("/health"),
//!     Route::to("api", api.layer(backend)?),
//! ])?);
//! let proxy = ReverseProxy::new(Functions::new().uri(UriLayer::default()).layer(router)?);
//!
//! for (path, status) in [("/health", 200), ("/orders", 401), ("/health/../orders", 400)] {
//!     let request = Request::get(path).header("host", "app.test").body(Empty::<Bytes>::new())?;
//!     assert_eq!(proxy.clone().oneshot(request).await?.status(), status, "{path}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Cost
//!
//! Each function costs one allocation for each request, and so do [`errors`](Functions::errors),
//! [`own_responses`](Functions::own_responses) and the innermost service. Bodies are boxed only if a function limits, changes
//! or watches them, and they are not empty. Without the builder, the layers can be composed by hand without allocations,
//! but then their order is not checked.

mod body;
mod builder;
mod erase;
mod layer;
mod own_responses;
mod service;
#[cfg(test)]
mod tests;

pub use self::{
    body::AnyBody,
    builder::{Functions, InvalidFunctions},
    layer::FunctionsLayer,
    service::{FunctionsFuture, FunctionsService},
};
