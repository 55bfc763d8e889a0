//! Proxies: a reverse proxy or gateway with a balancer.
//!
//! A reverse proxy is a server that sends each request to one of several backends, and sends the response back to the
//! client. This chapter needs the features `http` and `proxy-server`. [`HttpClient`](crate::HttpClient) picks the backend
//! and has the connections to it, [`ReverseProxy`](crate::proxy::ReverseProxy) makes of the client's request the one that
//! the backend gets, and [`Server`](crate::proxy::server::Server) has the connections to clients:
//!
//! ```
//! use std::time::Duration;
//!
//! use equipoise::{Balance, EndpointSpec, HttpClient, Pool, Upstream};
//! use equipoise::proxy::{ReverseProxyLayer, Timeouts, headers::ForwardingFields, server::{Server, ServerLimits}};
//! use tokio::net::TcpListener;
//! use tower::Layer;
//!
//! # async fn backend() -> std::io::Result<String> {
//! #     let listener = TcpListener::bind("127.0.0.1:0").await?;
//! #     let address = listener.local_addr()?.to_string();
//! #     let echo = tower::service_fn(|request: http::Request<hyper::body::Incoming>| async move {
//! #         let fields = ["host", "x-forwarded-for", "x-forwarded-proto"];
//! #         let text = fields.map(|name| request.headers()[name].to_str().unwrap_or_default().to_owned()).join(" ");
//! #         Ok::<_, std::convert::Infallible>(http::Response::new(text))
//! #     });
//! #     tokio::spawn(Server::new(echo).serve(listener));
//! #     Ok(address)
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (a, b) = (backend().await?, backend().await?);
//! let pool = Pool::default();
//! # let addresses = [a.as_str(), b.as_str()];
//! # /*
//! let addresses = ["10.0.0.1:8080", "10.0.0.2:8080"];
//! # */
//! pool.try_update(addresses.map(EndpointSpec::new), |spec| Upstream::new(spec.address()))?;
//!
//! // An attempt that takes longer goes to another backend, if the request is idempotent.
//! let client = HttpClient::with_balance(Balance::new(pool.clone()).attempt_timeout(Duration::from_secs(10)));
//! let proxy = ReverseProxyLayer::new()
//!     .timeouts(Timeouts::new().head(Duration::from_secs(30)))
//!     .forwarding(ForwardingFields::behind("127.0.0.0/8".parse()?))
//!     .layer(client);
//! let tunnels = proxy.tunnels().clone();
//!
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let address = listener.local_addr()?;
//! let server = Server::with_limits(proxy, ServerLimits::new().max_connections(10_000));
//! tokio::spawn(server.clone().serve(listener));
//!
//! # let clients = Pool::default();
//! # clients.try_update([EndpointSpec::new(address.to_string())], |spec| Upstream::new(spec.address()))?;
//! # let request = http::Request::get("http://shop.test/").header("x-forwarded-for", "192.0.2.7");
//! # let response = HttpClient::new(clients.clone()).call(request.body(String::new())?).await?;
//! # let body = http_body_util::BodyExt::collect(response.into_body()).await?.to_bytes();
//! # assert_eq!(body, "shop.test 192.0.2.7, 127.0.0.1 http");
//! # // Without a backend, the client learns a status and no more.
//! # pool.update([], |_| unreachable!())?;
//! # let response = HttpClient::new(clients).get("http://shop.test/").await?;
//! # assert_eq!(response.status(), 503);
//! // When the process is asked to end: requests are finished. Tunnels are closed at once, because the shutdown waits for
//! // those over HTTP/2. The chapter `shutdown` gives them time.
//! let close_tunnels = async {
//!     tunnels.close();
//!     tunnels.closed().await;
//! };
//! tokio::join!(server.shutdown(Duration::from_secs(20)), close_tunnels);
//! # Ok(())
//! # }
//! ```
//!
//! The parts can be combined with others. A [`ReverseProxy`](crate::proxy::ReverseProxy) is a tower service, so hyper's
//! server or an axum router can run it. Below it, there can be a balancer over any client (such as
//! [`BalanceLayer`](crate::BalanceLayer) over hyper-util's), a balancer with session affinity
//! ([`AffinityLayer`](crate::affinity::AffinityLayer)), or a [`Router`](crate::proxy::route::Router) over several of
//! these. Which part does what:
//!
//! | subject | balancer and its client | reverse proxy | server |
//! | --- | --- | --- | --- |
//! | malformed requests and responses | – | refuses what two parsers could read differently: [`check`](crate::proxy::check) | refuses what its parser cannot read |
//! | URI, `Host` | connects to the endpoint's address | sends a path; keeps `Host`, or sets it: [`HostRule`](crate::proxy::headers::HostRule) | – |
//! | fields of one connection | – | removes them in both directions | – |
//! | `X-Forwarded-For` and others | – | [`ForwardingFields`](crate::proxy::headers::ForwardingFields) | tells the address of the peer |
//! | HTTP versions | one per connection to an endpoint: [`Settings`](crate::http::Settings) | joins cookies, translates WebSockets over HTTP/2 | HTTP/1.1 and HTTP/2, by the first bytes |
//! | upgrades (WebSocket) | holds the endpoint's lease | copies the bytes: [`Tunnels`](crate::proxy::Tunnels) | – |
//! | failed attempts | another endpoint, if the request may be repeated | – | – |
//! | errors | [`Error::status`](crate::tower::Error::status) | the response: [`ErrorResponses`](crate::proxy::error::ErrorResponses) | closes the connection |
//! | timeouts | connecting, waiting, one attempt | head, between frames, whole request: [`Timeouts`](crate::proxy::Timeouts) | slow and idle clients: [`ServerLimits`](crate::proxy::server::ServerLimits) |
//!
//! `examples/reverse_proxy.rs` is a whole program in fifty lines. The chapter `gateway` puts further functions between the
//! proxy and the balancer: a cache, compression, limits, authentication, filters.
//!
//! # Host
//!
//! Backends get the `Host` that the client sent. An endpoint's address only decides where the request goes. With TLS, the
//! certificate is checked against the endpoint's address, so give TLS endpoints addresses by name, such as
//! `https://backend-1.internal:8443`, or set [`Tls::server_name`](crate::http::Tls::server_name).
//! [`HostRule`](crate::proxy::headers::HostRule) sets another `Host` for backends that need one.
//!
//! # HTTP versions
//!
//! Each connection has its own HTTP version. To an endpoint with an `https` address, `HttpClient` uses what the server
//! selects by ALPN, and without TLS HTTP/1.1. For backends that need HTTP/2 without TLS, such as many gRPC servers, set
//! [`Version::Http2`](crate::http::Version::Http2) in the settings of their [`Upstream`](crate::Upstream)s. Trailers and
//! `TE: trailers` pass, so gRPC works through the proxy.
//!
//! # The client's address, and proxies in front
//!
//! A client can send any `X-Forwarded-For`, so by default no peer is trusted: backends get the address of the peer, and
//! `X-Forwarded-Proto` says whether the client used TLS to *this* server. If a load balancer, a CDN, nginx or Envoy is in
//! front, name its addresses, and the fields that it sets:
//!
//! ```
//! use equipoise::proxy::headers::{ForwardingFields, ReportedField};
//!
//! // The load balancer at 10.0.0.0/8 ends TLS. It appends to X-Forwarded-For and sets X-Forwarded-Proto.
//! let fields = ForwardingFields::behind("10.0.0.0/8".parse()?)
//!     .written_by_proxies([ReportedField::XForwardedFor, ReportedField::XForwardedProto]);
//! # drop(fields);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! With [`behind`](crate::proxy::headers::ForwardingFields::behind) alone, only `X-Forwarded-For` of a trusted proxy is
//! believed, and backends would get `X-Forwarded-Proto: http` for requests that the load balancer got by https. This is
//! the default because a proxy passes on the fields that it does not know: if it did not set `X-Forwarded-Proto`, the
//! value would be the client's.
//!
//! | in front | it writes |
//! | --- | --- |
//! | AWS ALB, Google Cloud, Envoy (edge) | `X-Forwarded-For`, `X-Forwarded-Proto`; ALB also `X-Forwarded-Port` |
//! | nginx | only what its `proxy_set_header` lines say: none by default |
//! | HAProxy | only what `option forwardfor` and `http-request set-header` say |
//! | a balancer of TCP connections | nothing; with the PROXY protocol, a listener reads the address: see [layer 4 or layer 7](https://github.com/equipoise-rs/equipoise/blob/main/docs/layer4-or-layer7.md) |
//!
//! For logs and session keys, [`ForwardingFields::client`](crate::proxy::headers::ForwardingFields::client) finds the
//! address of the client in the same way.
//!
//! # Routes
//!
//! [`Router`](crate::proxy::route::Router) passes requests to different pools, by host, path, method, header, cookie and
//! query. Weights split the requests of a route. The table of a running router can be exchanged:
//!
//! ```
//! use equipoise::{EndpointSpec, HttpClient, Pool, Upstream};
//! use equipoise::proxy::{ReverseProxy, route::{Route, Router, Routes, Split}};
//!
//! let client = |address: &str| {
//!     let pool = Pool::default();
//!     pool.try_update([EndpointSpec::new(address)], |spec| Upstream::new(spec.address()))?;
//!     Ok::<_, Box<dyn std::error::Error>>(HttpClient::new(pool))
//! };
//! let (web, api, canary) = (client("10.0.0.1:80")?, client("10.0.0.2:80")?, client("10.0.0.3:80")?);
//! let router = Router::new(Routes::new([
//!     Route::to("web", web),
//!     Route::split("api", Split::new([(api, 95), (canary, 5)])?).host("api.test").path_prefix("/v1"),
//! ])?);
//! let proxy = ReverseProxy::new(router.clone()); // `router.replace(…)` exchanges the table later.
//! # drop(proxy);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A route can replace its prefix ([`rewrite_prefix`](crate::proxy::route::Route::rewrite_prefix)), redirect
//! ([`Redirect`](crate::proxy::route::Redirect)), or send copies to another service
//! ([`Mirror`](crate::proxy::route::Mirror)). All routes of a table lead to services of one type. If only some of them
//! have session affinity, give the others an [`AffinityLayer`](crate::affinity::AffinityLayer) with
//! [`Mode::none`](crate::affinity::Mode::none), or box all of them with tower's `BoxCloneSyncService`.
//!
//! # Request bodies and failover
//!
//! The body that a server receives can be read only once. Failover is possible all the same: the part of the body that an
//! attempt has read is kept until the response of this attempt begins. If the attempt fails, the next attempt sends this
//! part first. If an attempt has read more than
//! [`HttpProtocol::max_replay_bytes`](crate::tower::HttpProtocol::max_replay_bytes) (default: 64 KiB), the request is not
//! sent again. The balancer does not wait for the whole body: each frame goes to the endpoint as it comes. `HttpClient`
//! does this by itself. For another client, call [`BalanceLayer::incoming`](crate::BalanceLayer::incoming).
//!
//! # Error responses
//!
//! Clients get a status and a problem document (RFC 9457) with a short text that names no endpoint, and a stable `code`.
//! Those that prefer text, such as browsers, get the text alone, unless
//! [`ErrorResponses`](crate::proxy::error::ErrorResponses) sets a format, and other texts. The response has the extension
//! [`Failed`](crate::proxy::Failed) with the cause, which belongs into the log: see [observing](super::observing). With
//! errors of a balancer, the status is:
//!
//! | status | when |
//! | --- | --- |
//! | 400 | the client's own request body failed, or the request cannot be forwarded |
//! | 501 | the request is a `CONNECT` request, and one client serves all endpoints |
//! | 502 | the endpoint failed, or its connection was lost |
//! | 503 | no endpoint could take the request, or the endpoint's name cannot be resolved; the client may try again later |
//! | 504 | the endpoint took too long |
//!
//! [`ProxyError::status`](crate::proxy::ProxyError::status) lists the others.
//!
//! # Inside axum
//!
//! A reverse proxy is a fallback service or a nested service of an axum router. `axum::serve` does not tell the proxy who
//! the client is. Without the address, the proxy removes `X-Forwarded-For` and cannot write its own, so pass the address
//! on:
//!
//! ```
//! use std::net::SocketAddr;
//!
//! use axum::{Router, extract::{ConnectInfo, Request}};
//! use equipoise::{HttpClient, Pool, affinity::source::PeerAddr, proxy::ReverseProxy};
//! use tower::ServiceBuilder;
//!
//! let proxy = ServiceBuilder::new()
//!     .map_request(|mut request: Request| {
//!         if let Some(&ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>() {
//!             request.extensions_mut().insert(PeerAddr(peer));
//!         }
//!         request
//!     })
//!     .service(ReverseProxy::new(HttpClient::new(Pool::default())));
//! let app: Router = Router::new().fallback_service(proxy);
//! // Then `axum::serve(listener, app)`.
//! let app = app.into_make_service_with_connect_info::<SocketAddr>();
//! # drop(app);
//! ```
//!
//! A balancer by itself can be a fallback service, too. Put axum's
//! `HandleError` around it, which turns the errors of the balancer into responses: see `examples/axum_service.rs`. If the
//! router does not accept the service, the compiler says only that `HandleError<…>` is not a service. Call
//! [`Balance::serving`](crate::Balance::serving) to learn the reason: `layer.layer(client).serving::<Request<Body>>()`.
//! The most common reason is the body: turn on the feature `axum`, or use
//! [`BalanceLayer::incoming`](crate::BalanceLayer::incoming).
//!
//! # A gateway from a configuration file
//!
//! `examples/gateway` is a complete gateway in small files. Its configuration file has listeners with routes, TLS and the
//! PROXY protocol, pools with strategies, health checks, outlier detection, TLS and session affinity, and an admin
//! interface. A listener can also pass on connections of TCP, TLS that it does not decrypt, or datagrams, or be a forward
//! proxy. SIGHUP applies a changed file while the gateway serves, and SIGTERM finishes the requests in flight:
//!
//! ```sh
//! cargo run --release --example gateway -- --config examples/gateway/gateway.toml
//! ```
//!
//! A reload keeps the connections of clients, and the counters, the health and the latencies of endpoints. A pool whose
//! strategy or outlier detection changes is built anew, because each strategy has its own state of each endpoint. It
//! keeps its connections and what operators have set.
//!
//! To replace the program itself, start the new process beside the old one with the same file, both with `--takeover`,
//! and send SIGTERM to the old one when the new one has logged `started`. The processes share the port
//! (`SO_REUSEPORT`), so no connection is refused: while both listen, the system gives each new connection to one of
//! them. The old process closes its listeners, serves the connections that it has accepted, and then closes idle
//! connections, so clients that connect again reach the new process. Linux resets a connection that arrives in the
//! few microseconds in which the old process closes its socket. With `sysctl net.ipv4.tcp_migrate_req=1`, it gives
//! such a connection to the new process. [`bind_shared`](crate::proxy::listen::bind_shared) and
//! [`Server::shutdown`](crate::proxy::server::Server::shutdown) are the parts of this.
