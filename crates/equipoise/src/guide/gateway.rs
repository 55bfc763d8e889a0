//! Gateway: caching, authentication, limits and other functions in front of a pool.
//!
//! A gateway does more than pick an endpoint. The module [`gateway`](crate::gateway) has each further function as a tower
//! layer. A layer works around any service for HTTP: around an [`HttpClient`](crate::HttpClient), around a
//! [`Router`](crate::proxy::route::Router), in one branch of a router, or in front of a handler of axum.
//!
//! The module needs the feature `gateway`, and each function the one that the table of features in the README names.
//! [`proxies`](super::proxies) shows the server that serves a service such as these.
//!
//! There are three levels of entry:
//!
//! - [`Functions`](crate::gateway::stack::Functions) takes the layers in any order, applies them in a safe one, and refuses
//!   combinations that would leave a route open. Start here.
//! - Each layer can be used alone, or with others in a `tower::ServiceBuilder`. Nothing checks the order then.
//! - The parts of the layers can be used without them or replaced: a [`Store`](crate::gateway::cache::store::Store) for
//!   responses, a scheme of authentication ([`Authenticate`](crate::gateway::auth::Authenticate)), a
//!   [`LimitKey`](crate::gateway::limit::LimitKey), a [`BodyFilter`](crate::gateway::filter::BodyFilter), or a
//!   [`Denial`](crate::gateway::Denial) for an own function.
//!
//! ```
//! use equipoise::{EndpointSpec, HttpClient, Pool, Upstream};
//! use equipoise::gateway::{
//!     auth::{ApiKey, ApiKeys, AuthLayer},
//!     cache::{CacheLayer, KeyPolicy},
//!     compression::CompressionLayer,
//!     filter::UriLayer,
//!     limit::{Quota, RateLimitLayer},
//!     stack::Functions,
//! };
//! use equipoise::proxy::{ReverseProxy, ReverseProxyLayer};
//! use tower::Layer;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = Pool::default();
//! pool.try_update(["10.0.0.1:8080", "10.0.0.2:8080"].map(EndpointSpec::new), |spec| Upstream::new(spec.address()))?;
//!
//! let generated = ApiKeys::generate();
//! // A gateway reads the hashes of keys from a file. The key itself goes to the client.
//! let keys: ApiKeys = format!("reports:{}", generated.hash).parse()?;
//! let functions = Functions::new()
//!     .uri(UriLayer::default())
//!     .rate_limit(RateLimitLayer::per_client(Quota::per_second(50).burst(100))?)
//!     .authenticate(AuthLayer::new(ApiKey::header(keys)))
//!     .compress(CompressionLayer::new())
//!     .cache(CacheLayer::builder(64 << 20).key(KeyPolicy::new().per_identity()).build()?);
//! let proxy = ReverseProxyLayer::new().own_responses(functions.own_responses());
//! let proxy = proxy.layer(functions.layer(HttpClient::new(pool))?);
//! # let service: ReverseProxy<equipoise::gateway::stack::FunctionsService<String, _>> = proxy;
//! # drop(service);
//! # Ok(())
//! # }
//! ```
//!
//! # The order
//!
//! `Functions` applies the functions in the order of the table in its [module](crate::gateway::stack), the outermost first.
//! A stack that is composed by hand should have the same order. Three rules decide it: all responses have the fields for
//! browsers and the request id, also denials; what needs to know nothing of the client comes before the limits, and these
//! before the authentication, which they protect; and no cache or endpoint is reached without authentication.
//!
//! The functions belong inside of a [`ReverseProxy`](crate::proxy::ReverseProxy), as above. It has then refused requests
//! that two parsers could read differently, removed the fields of the connection, and set `X-Forwarded-*`. Give its layer
//! [`Functions::own_responses`](crate::gateway::stack::Functions::own_responses), so that the responses to requests that it
//! refuses, and those after its timeouts, have the request id and the fields for browsers too.
//!
//! # Filters
//!
//! [`UriLayer`](crate::gateway::filter::UriLayer) refuses or rewrites paths that servers read differently (`..`, `//`,
//! `%2f`, `;`). [`FilterLayer`](crate::gateway::filter::FilterLayer) has a list of rules, of which the first that matches
//! decides.
//!
//! ```
//! use std::convert::Infallible;
//! use equipoise::gateway::filter::{FilterLayer, FilterRules, Rule, UriLayer};
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let rules = FilterRules::new([
//!     Rule::allow("office").path("/admin/**").addresses("192.0.2.0/24".parse()?),
//!     Rule::deny("admin").path("/admin/**"),
//! ])?;
//! let service = ServiceBuilder::new()
//!     .layer(UriLayer::default())
//!     .layer(FilterLayer::new(rules))
//!     .service(service_fn(async |_: Request<_>| Ok::<_, Infallible>(Response::new(String::new()))));
//!
//! let send = async |path: &str| {
//!     let request = Request::get(path).body(String::new()).expect("a valid request");
//!     service.clone().oneshot(request).await.map(|response| response.status().as_u16())
//! };
//! assert_eq!(send("/orders").await?, 200);
//! assert_eq!(send("/admin/users").await?, 403);
//! // The endpoint might read this path as /admin/users.
//! assert_eq!(send("/orders/..%2fadmin/users").await?, 400);
//! # Ok(())
//! # }
//! ```
//!
//! # Limits
//!
//! A [`RateLimitLayer`](crate::gateway::limit::RateLimitLayer) has up to eight limits. Each has a key and a quota, and a
//! request passes if all of them admit it. [`InFlightLayer`](crate::gateway::limit::InFlightLayer) limits the requests at
//! the same time.
//!
//! `axum::serve` does not tell the address of the client, so all clients would share one bucket of a limit by client, and a
//! warning in the log says so: see [below](#inside-axum).
//!
//! Behind other proxies, all requests come from the addresses of these proxies. Say which proxies are
//! trusted and which field they append to, or all clients share one bucket. Do not trust more addresses: a client at a
//! trusted address can write `X-Forwarded-For` itself, and has a new bucket for each request.
//!
//! ```
//! use std::convert::Infallible;
//! use equipoise::affinity::source::{ClientAddress, ForwardedHeader, PeerAddr, TrustedProxies};
//! use equipoise::gateway::limit::{Limit, LimitKey, Quota, RateLimitLayer};
//! use http::{Request, Response};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = ClientAddress::behind(TrustedProxies::private()).header(ForwardedHeader::XForwardedFor);
//! let limits = RateLimitLayer::builder()
//!     .limit(Limit::new("client", LimitKey::client(client), Quota::per_minute(60).burst(1)))
//!     .limit(Limit::new("all", LimitKey::global(), Quota::per_second(10_000)))
//!     .build()?;
//! let service = limits.layer(service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(()))));
//!
//! let send = async |forwarded_for: &str| {
//!     let mut request = Request::new(());
//!     request.extensions_mut().insert(PeerAddr("10.0.0.9:40312".parse().expect("an address")));
//!     request.headers_mut().insert("x-forwarded-for", forwarded_for.parse().expect("a field"));
//!     service.clone().oneshot(request).await
//! };
//! assert_eq!(send("192.0.2.7").await?.status(), 200);
//! let denied = send("192.0.2.7").await?;
//! assert_eq!((denied.status().as_u16(), &denied.headers()["retry-after"]), (429, &"1".parse()?));
//! assert_eq!(send("192.0.2.8").await?.status(), 200);
//! # Ok(())
//! # }
//! ```
//!
//! # Authentication
//!
//! An [`AuthLayer`](crate::gateway::auth::AuthLayer) asks one or several schemes: passwords, API keys, JSON Web Tokens,
//! client certificates, an external service or a closure. The endpoint learns the identity from fields such as
//! `X-Auth-User`, which are removed from the requests of clients. This protects only endpoints that nothing but the
//! gateway can reach.
//!
//! Tokens are verified with the keys of their issuer. Name the issuer and the audience: without an audience, a token for
//! another service of the same issuer would be accepted. Fetch the JWK set over `https`. If a fetch fails, the last good
//! keys stay in use. If the gateway starts without any, requests get 503 until it has keys.
//!
//! ```
//! use std::convert::Infallible;
//! use equipoise::gateway::auth::{ApiKey, ApiKeys, AuthLayer, jwt::{Jwt, KeySet}};
//! use http::{Request, Response};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let generated = ApiKeys::generate();
//! let keys: ApiKeys = format!("reports:{}", generated.hash).parse()?;
//! // `Keys::url` fetches such a set and keeps it up to date.
//! let set = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
//! let jwt = Jwt::builder(KeySet::read(set)?).issuer("https://issuer.test").audience("orders").build()?;
//!
//! // A token, or a key for programs without one.
//! let auth = AuthLayer::new(jwt).or(ApiKey::header(keys));
//! let service = auth.layer(service_fn(async |request: Request<()>| {
//!     assert_eq!(request.headers()["x-auth-user"], "reports");
//!     Ok::<_, Infallible>(Response::new(()))
//! }));
//!
//! // A client cannot claim an identity.
//! let request = Request::get("/").header("x-api-key", generated.key).header("x-auth-user", "admin").body(())?;
//! assert_eq!(service.clone().oneshot(request).await?.status(), 200);
//! let unsigned = "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.";
//! let request = Request::get("/").header("authorization", unsigned).body(())?;
//! assert_eq!(service.oneshot(request).await?.status(), 401);
//! # Ok(())
//! # }
//! ```
//!
//! # Browsers
//!
//! [`CorsLayer`](crate::gateway::browser::CorsLayer) tells browsers which other sites may read responses.
//! [`CsrfLayer`](crate::gateway::browser::CsrfLayer) denies requests that other sites make browsers send.
//! [`RequestIdLayer`](crate::gateway::browser::RequestIdLayer) gives each request an id, which the endpoint and the client
//! see too.
//!
//! ```
//! use std::convert::Infallible;
//! use equipoise::gateway::browser::{CorsPolicy, CsrfLayer};
//! use http::{Method, Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cors = CorsPolicy::origins(["https://app.test"]).methods([Method::GET, Method::PUT]).build()?;
//! let service = ServiceBuilder::new()
//!     .layer(cors)
//!     .layer(CsrfLayer::new().trusted_origin("https://app.test")?)
//!     .service(service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new(String::new()))));
//!
//! let preflight = Request::options("/orders").header("origin", "https://app.test");
//! let preflight = preflight.header("access-control-request-method", "PUT").body(String::new())?;
//! let response = service.clone().oneshot(preflight).await?;
//! assert_eq!(response.headers()["access-control-allow-origin"], "https://app.test");
//!
//! let forged = Request::put("/orders").header("host", "api.test").header("origin", "https://evil.test");
//! let response = service.oneshot(forged.header("sec-fetch-site", "cross-site").body(String::new())?).await?;
//! assert_eq!(response.status(), 403);
//! # Ok(())
//! # }
//! ```
//!
//! # Compression
//!
//! [`CompressionLayer`](crate::gateway::compression::CompressionLayer) compresses responses with gzip, brotli, zstd or
//! deflate. Event streams, gRPC and bodies that are already encoded pass as they are.
//! [`DecompressionLayer`](crate::gateway::compression::DecompressionLayer) decompresses the bodies of requests for endpoints
//! that cannot, with a limit for the result.
//!
//! Do not compress a page that has both a secret, such as a CSRF token, and text that another site can choose: the length of
//! the response tells about the secret, also with TLS (the attack BREACH). An endpoint can exclude a response with
//! `Cache-Control: no-transform`.
//!
//! ```
//! use std::convert::Infallible;
//! use bytes::Bytes;
//! use equipoise::gateway::compression::CompressionLayer;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let service = CompressionLayer::new().layer(service_fn(async |_: Request<()>| {
//!     let page = Full::<Bytes>::from("text ".repeat(1000));
//!     Ok::<_, Infallible>(Response::builder().header("content-type", "text/html").body(page).expect("a valid response"))
//! }));
//! let request = Request::get("/").header("accept-encoding", "gzip").body(())?;
//! let response = service.oneshot(request).await?;
//! assert_eq!(response.headers()["content-encoding"], "gzip");
//! assert_eq!(response.headers()["vary"], "accept-encoding");
//! # Ok(())
//! # }
//! ```
//!
//! # Cache
//!
//! [`CacheLayer`](crate::gateway::cache::CacheLayer) is a shared cache (RFC 9111). Requests for a URL that come while it is
//! fetched wait for this fetch, and read its response while it arrives. Stale responses are served while one request
//! fetches a new one, or while the endpoints fail, if the response or a setting permits it. Responses can be purged by URL,
//! prefix or tag.
//!
//! ```
//! use std::{sync::atomic::{AtomicU32, Ordering::Relaxed}, time::Duration};
//! use bytes::Bytes;
//! use equipoise::gateway::cache::CacheLayer;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! static CALLS: AtomicU32 = AtomicU32::new(0);
//! let endpoint = service_fn(async |_: Request<Full<Bytes>>| {
//!     CALLS.fetch_add(1, Relaxed);
//!     Response::builder().header("cache-control", "max-age=60").header("cache-tag", "news").body(Full::from("today"))
//! });
//! let layer = CacheLayer::builder(64 << 20).stale_if_error(Duration::from_secs(3600)).build()?;
//! let cache = layer.layer(endpoint);
//!
//! let send = async || -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
//!     let request = Request::get("https://news.test/").body(Full::default())?;
//!     Ok(cache.clone().oneshot(request).await?.into_body().collect().await?.to_bytes())
//! };
//! assert_eq!((send().await?, send().await?), ("today".into(), "today".into()));
//! assert_eq!(CALLS.load(Relaxed), 1);
//! layer.handle().purge_tag("news").await?;
//! send().await?;
//! assert_eq!(CALLS.load(Relaxed), 2);
//! # Ok(())
//! # }
//! ```
//!
//! Three things decide whether a cache may be shared:
//!
//! - **Identities.** Put the cache behind the authentication, and the identity in its key
//!   ([`KeyPolicy::per_identity`](crate::gateway::cache::KeyPolicy::per_identity)). `Functions` refuses a cache without it,
//!   unless [`share_cache_between_identities`](crate::gateway::stack::Functions::share_cache_between_identities) says that
//!   all identities may see the same responses.
//! - **Cookies.** A response with `Set-Cookie` is not stored, because it would give the session of one client to another. If
//!   a whole site gets no hits, look for an endpoint, or for session affinity by cookie, that sets a cookie in many responses.
//!   Use session affinity only on the routes that need it.
//! - **Fields that are not in the key.** An endpoint that copies a field of the request into its response, such as
//!   `X-App-Base`, lets clients poison the cache. Remove such fields, or add them to the key. The responses to requests with
//!   fields that many frameworks read, such as `X-Original-URL`, are not stored.
//!
//! # Changes of messages
//!
//! [`FieldsLayer`](crate::gateway::filter::FieldsLayer) changes fields of requests and responses,
//! [`RedirectLayer`](crate::gateway::filter::RedirectLayer) redirects, and
//! [`MaintenanceLayer`](crate::gateway::filter::MaintenanceLayer) answers with 503 while a switch is on. Bodies pass through
//! filters chunk by chunk: [`RequestBodyFilterLayer`](crate::gateway::filter::RequestBodyFilterLayer) and
//! [`ResponseBodyFilterLayer`](crate::gateway::filter::ResponseBodyFilterLayer).
//!
//! ```
//! use std::convert::Infallible;
//! use bytes::Bytes;
//! use equipoise::gateway::filter::{
//!     FieldEdits, FieldsLayer, Maintenance, MaintenanceLayer, RedirectLayer, RedirectRule, ReplaceText,
//!     ResponseBodyFilterLayer,
//! };
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let maintenance = Maintenance::new();
//! let texts = ReplaceText::new([("http://backend.internal/", "https://app.test/")])?;
//! let service = ServiceBuilder::new()
//!     .layer(MaintenanceLayer::new(maintenance.clone()))
//!     .layer(RedirectLayer::new([RedirectRule::exact("/old", "/new")])?)
//!     .layer(FieldsLayer::new().response(FieldEdits::new().remove("x-powered-by")?))
//!     .layer(ResponseBodyFilterLayer::new(texts))
//!     .service(service_fn(async |_: Request<String>| {
//!         let page = Full::<Bytes>::from("<a href=http://backend.internal/help>");
//!         Response::builder().header("content-type", "text/html").header("x-powered-by", "php/5").body(page)
//!     }));
//!
//! let send = async |path: &str| service.clone().oneshot(Request::get(path).body(String::new()).expect("valid")).await;
//! let page = send("/").await?;
//! assert!(!page.headers().contains_key("x-powered-by"));
//! assert_eq!(page.into_body().collect().await?.to_bytes(), "<a href=https://app.test/help>");
//! assert_eq!(send("/old").await?.headers()["location"], "/new");
//! maintenance.switch(true);
//! assert_eq!(send("/").await?.status(), 503);
//! # Ok(())
//! # }
//! ```
//!
//! # Inside axum
//!
//! `Functions` are a layer of an axum router: for all routes of the router with `layer`, or for those that have been added with
//! `route_layer`. The functions answer all errors, so no `HandleErrorLayer` is needed. That also holds for a cache alone:
//! `Functions::new().cache(cache)`. There is no `ReverseProxy` around them, so nothing checks requests before them except the
//! parser of the server.
//!
//! ```
//! use std::net::SocketAddr;
//! use axum::{Router, body::Body, extract::ConnectInfo, http::Request, routing::get};
//! use equipoise::affinity::source::ClientAddress;
//! use equipoise::gateway::{
//!     cache::CacheLayer,
//!     filter::{FilterLayer, FilterRules, Rule},
//!     limit::{Limit, LimitKey, Quota, RateLimitLayer},
//!     stack::Functions,
//! };
//! use http_body_util::BodyExt;
//! use tower::ServiceExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let rules = FilterRules::new([Rule::deny("admin").path("/admin/**")])?;
//! // The address that axum's server tells. Without it, all clients share one bucket.
//! let client = ClientAddress::connection()
//!     .peer(|head| head.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip()));
//! let limit = Limit::new("client", LimitKey::client(client), Quota::per_minute(1).burst(3));
//! let functions = Functions::new()
//!     .filter(FilterLayer::new(rules))
//!     .rate_limit(RateLimitLayer::builder().limit(limit).build()?)
//!     .cache(CacheLayer::new(64 << 20)?);
//! let app: Router = Router::new()
//!     .route("/orders", get(async || ([("cache-control", "max-age=60")], "orders")))
//!     .layer(functions.into_layer()?);
//! // Then `axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())`.
//!
//! let send = async |peer: [u8; 4], path: &str| {
//!     let request = Request::get(path).header("host", "api.test").extension(ConnectInfo(SocketAddr::from((peer, 40312))));
//!     let request = request.body(Body::empty()).expect("a valid request");
//!     let Ok(response) = app.clone().oneshot(request).await;
//!     let (head, body) = response.into_parts();
//!     body.collect().await.map(|body| (head, body.to_bytes()))
//! };
//! assert_eq!(send([192, 0, 2, 7], "/admin/users").await?.0.status, 403);
//! for result in ["fwd=uri-miss", "hit", "hit"] {
//!     let (head, body) = send([192, 0, 2, 7], "/orders").await?;
//!     assert_eq!(body, "orders");
//!     assert!(head.headers["cache-status"].to_str()?.contains(result));
//! }
//! assert_eq!(send([192, 0, 2, 7], "/orders").await?.0.status, 429);
//! assert_eq!(send([192, 0, 2, 8], "/orders").await?.0.status, 200);
//! # Ok(())
//! # }
//! ```
//!
//! # What the functions do not do
//!
//! - Functions do not see interim responses (1xx, such as `103 Early Hints`). By default, no client gets any. If
//!   [`ServerLimits::interim_responses`](crate::proxy::server::ServerLimits::interim_responses) turns them on, no
//!   function changes them: they keep the fields that a function would remove from a response.
//! - The cache stores no partial responses (206). Ranges are parts of complete stored responses.
//! - The stores and limits in Redis use one server. They do not follow the redirections of a Redis Cluster: a node of one
//!   counts as unavailable, unless all keys are in its slots because the prefix has a hash tag.
//! - There are no sessions, login pages or OAuth 2.0 flows. [`External`](crate::gateway::auth::External) asks a service that
//!   has them.
//! - There is no firewall for applications (no signatures of attacks), and no list of addresses by country.
//!
//! # When to choose something else
//!
//! - Varnish: if the rules of the cache are programs (VCL).
//! - nginx: if static files are to be served beside the proxy, or if the cache is larger than memory. nginx keeps it on disk,
//!   where it survives a restart.
//! - Kong, or Envoy with a control plane: if routes, consumers and quotas are managed for many gateways by an interface of
//!   their own, or plugins of third parties are needed.
//!
//! [`examples/gateway`](https://github.com/equipoise-rs/equipoise/tree/main/examples/gateway) is a gateway with a
//! configuration file for all of these functions. `cargo run --example gateway -- --config FILE` runs it. Its folder `uses`
//! has a file for each of seven uses, such as a JSON API or a static site with a cache.
