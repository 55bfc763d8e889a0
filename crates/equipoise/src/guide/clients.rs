//! Clients: `HttpClient`, reqwest, gRPC and hyper.
//!
//! All balanced clients have the same two parts: a [`Pool`](crate::Pool) of endpoints, and a service that sends each
//! request to one of them. The host in the URL of a request is a name for the whole service, such as `orders`. The
//! request goes to the address of an endpoint, and the endpoint gets the name in `Host`. Clones of a balanced client
//! share the pool. Keep a clone of the pool to update its endpoints.
//!
//! A request counts as in flight until its response body has been read to the end or dropped. A body that is kept
//! unread makes its endpoint look busy.
//!
//! # `HttpClient`
//!
//! This section needs the feature `http`, and `http2` and `http-tls` for HTTP/2 and https.
//! [`HttpClient`](crate::HttpClient) needs no client below it. The target of each endpoint is an
//! [`Upstream`](crate::Upstream), which has the connections to this endpoint. [`Settings`](crate::http::Settings) has
//! their limits and timeouts. [`Balance`](crate::Balance) has the settings of the balancer:
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use equipoise::http::{CloseReason, Settings};
//! use equipoise::{Balance, EndpointSpec, HttpClient, Pool, Upstream};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = Settings::new().connect_timeout(Duration::from_secs(1)).max_connections(64);
//! let pool = Pool::default();
//! let make = |spec: &EndpointSpec| Upstream::with_settings(spec.address(), &settings);
//! pool.try_update(["10.0.0.1:8080", "10.0.0.2:8080"].map(EndpointSpec::new), make)?;
//! let client = HttpClient::with_balance(Balance::new(pool.clone()).attempt_timeout(Duration::from_secs(5)));
//!
//! let response = client.get("http://orders/today").await?;
//! println!("{}", response.status());
//!
//! // The connections to an endpoint.
//! if let Some(upstream) = pool.target("10.0.0.1:8080") {
//!     let status = upstream.status();
//!     println!("{} open, {} idle, {} failed", status.open, status.idle, status.closed(CloseReason::Failed));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`HttpClient::call`](crate::HttpClient::call) sends requests of any method, with bodies of any type. The crate
//! `http-body-util` has bodies for requests, and reads bodies of responses:
//!
//! ```no_run
//! use bytes::Bytes;
//! use equipoise::HttpClient;
//! use http::Request;
//! use http_body_util::{BodyExt, Full};
//!
//! # async fn order(client: HttpClient) -> Result<(), Box<dyn std::error::Error>> {
//! let request = Request::post("http://orders/").body(Full::new(Bytes::from("apples=3")))?;
//! let response = client.call(request).await?;
//! let body: Bytes = response.into_body().collect().await?.to_bytes();
//! # Ok(())
//! # }
//! ```
//!
//! A balancer in a proxy can pass the request of its server on as it is. When an endpoint leaves the pool, its idle
//! connections are closed at once.
//!
//! # reqwest
//!
//! This section needs the feature `reqwest`. [`balanced_client`](crate::tower::balanced_client) creates a client from
//! addresses. [`BalancedClient::new`](crate::tower::BalancedClient::new) takes a pool, for example one with another
//! strategy:
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use equipoise::tower::{BalancedClient, ServedBy};
//! use equipoise::{EndpointSpec, P2c, Pool};
//! use reqwest::{Client, Method, Request};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = Pool::new(P2c::new());
//! pool.update(["10.0.0.1:8080", "10.0.0.2:8080"].map(EndpointSpec::new), |_| ())?;
//!
//! // The settings of reqwest apply to each attempt.
//! let builder = Client::builder().no_proxy().connect_timeout(Duration::from_secs(1)).timeout(Duration::from_secs(5));
//! let client = BalancedClient::new(pool.clone(), builder)?;
//!
//! let response = client.execute(Request::new(Method::GET, "http://orders/today".parse()?)).await?;
//! if let Some(ServedBy(endpoint)) = response.extensions().get() {
//!     println!("{} from {endpoint}", response.status());
//! }
//! println!("{}", response.text().await?);
//!
//! // From service discovery: the complete list of endpoints.
//! pool.update(["10.0.0.2:8080", "10.0.0.3:8080"].map(EndpointSpec::new), |_| ())?;
//! # Ok(())
//! # }
//! ```
//!
//! Always set a timeout: reqwest sends requests through hyper's client, which [can lose a request](#hyper).
//!
//! The reqwest client below the balancer follows no redirects and makes no retries: see
//! [redirects](super::layers#redirects). reqwest uses the proxy from the environment variables, unless the builder's
//! `no_proxy()` is called. With a proxy, failures of the proxy count as failures of the endpoint.
//!
//! To put layers between the balancer and reqwest, use [`ReqwestService`](crate::tower::ReqwestService), which takes
//! and returns the types of the crate `http`. `cargo run --example reqwest_client` shows a client while one of its
//! servers dies.
//!
//! # gRPC
//!
//! This section needs the feature `tonic`. [`balanced_channel`](crate::tower::balanced_channel) creates a channel from
//! addresses. All clients that tonic generates accept it, also with an interceptor. Each endpoint has a tonic `Channel`
//! with its own HTTP/2 connection, and the balancer picks an endpoint for each call. Without a balancer, all calls use
//! one connection to one server.
//!
//! An address is `host:port`, `http://host`, or `unix:///path` for a Unix socket. For channels with TLS or timeouts, or
//! for another strategy, make the pool yourself:
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use equipoise::tower::BalancedChannel;
//! use equipoise::{EndpointSpec, LogEwma, Pool};
//! use tonic::transport::Channel;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = Pool::new(LogEwma::new());
//! for address in ["10.0.0.1:50051", "10.0.0.2:50051"] {
//!     let endpoint = Channel::from_shared(format!("http://{address}"))?
//!         .connect_timeout(Duration::from_secs(1))
//!         .http2_keep_alive_interval(Duration::from_secs(20));
//!     pool.add(EndpointSpec::new(address), endpoint.connect_lazy())?;
//! }
//! let channel = BalancedChannel::new(pool);
//! // A generated client would be `OrdersClient::new(channel)`.
//! let mut client = tonic::client::Grpc::new(channel);
//! client.ready().await?;
//! # Ok(())
//! # }
//! ```
//!
//! - If the server answers with an error, the call fails with the status of the server. If no endpoint could be picked,
//!   the status is `UNAVAILABLE`.
//! - The balancer reads from `grpc-status` whether the endpoint works: see
//!   [`ClassifyHttp`](crate::tower::ClassifyHttp).
//! - A call that was not processed goes to another endpoint. This includes streams that an HTTP/2 server refused, and
//!   streams with a higher id than the last stream id in a GOAWAY frame. To repeat a call, the balancer keeps the
//!   messages that were sent until the response begins, up to
//!   [`max_replay_bytes`](crate::tower::HttpProtocol::max_replay_bytes) (default: 64 KiB). A call that has sent more
//!   than this is not repeated, and fails with `UNAVAILABLE`.
//! - Calls that may have been processed are not repeated, not even after `UNAVAILABLE`. Repeat them in the caller, or
//!   in a [layer above](super::layers#retries).
//! - A streaming call stays at its endpoint until it ends.
//!
//! `cargo run --example grpc_client` shows a client while one of its servers stops.
//!
//! # hyper
//!
//! This section needs the feature `tower`, which is on by default. [`BalanceLayer`](crate::BalanceLayer) wraps
//! hyper-util's client, or any stack of layers over such a client. The connection pool of the client works as before:
//! it keeps connections for each address.
//!
//! If HTTP cannot use the address of an endpoint, [`check_addresses`](crate::BalanceLayer::check_addresses) returns an
//! error when the client is built. Without this call, requests skip such endpoints. If there is no other endpoint, the
//! requests fail.
//!
//! Set [`attempt_timeout`](crate::BalanceLayer::attempt_timeout). Without a timeout, a request can wait for ever
//! although no server hangs: hyper 1.12 can lose a request that is sent at the moment when its connection ends. The
//! request then gets neither a response nor an error ([hyper#4122](https://github.com/hyperium/hyper/issues/4122)).
//! This is rare, and more likely on a busy machine. `HttpClient` is not affected.
//!
//! ```
//! use std::time::Duration;
//!
//! use bytes::Bytes;
//! use equipoise::{BalanceLayer, EndpointSpec, Pool};
//! use http_body_util::Full;
//! use hyper_util::{client::legacy::{Client, connect::HttpConnector}, rt::TokioExecutor};
//! use tower::Layer;
//!
//! let pool = Pool::default();
//! pool.update(["10.0.0.1:8080", "10.0.0.2:8080"].map(EndpointSpec::new), |_| ())?;
//!
//! let mut connector = HttpConnector::new();
//! // Without this, a connection attempt to a host that is switched off can take minutes until failover.
//! connector.set_connect_timeout(Some(Duration::from_secs(1)));
//! connector.set_nodelay(true);
//! let client = Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(connector);
//! let layer = BalanceLayer::new(pool).check_addresses()?.max_attempts(3).attempt_timeout(Duration::from_secs(5));
//! let balanced = layer.layer(client);
//! # drop(balanced);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Endpoints that are services themselves
//!
//! With [`Balance::new`](crate::Balance::new), each endpoint has a tower service of its own, such as a mock in tests.
//! The services are the targets of the pool:
//!
//! ```
//! use bytes::Bytes;
//! use equipoise::{Balance, EndpointSpec, Pool};
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::{ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = Pool::default();
//! pool.update(["a", "b"].map(EndpointSpec::new), |spec| {
//!     let name = spec.id().to_string();
//!     service_fn(move |_: Request<Full<Bytes>>| {
//!         std::future::ready(Ok::<_, std::io::Error>(Response::new(Full::<Bytes>::from(name.clone()))))
//!     })
//! })?;
//! let response = Balance::new(pool).oneshot(Request::new(Full::default())).await?;
//! assert!(response.status().is_success());
//! # Ok(())
//! # }
//! ```
