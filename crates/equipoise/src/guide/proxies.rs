//! Proxies: a gateway or reverse proxy with a balancer.
//!
//! A gateway is a server that sends each request to one of several backends, and sends the response back to the client.
//! The balancer does a part of this: it picks the backend and changes the request so that it goes to the backend's
//! address. If the request could not be delivered, the balancer sends it to another backend. The other tasks depend on
//! the connection to the client, so the gateway must do them:
//!
//! | subject | balancer | gateway |
//! | --- | --- | --- |
//! | URI | replaces scheme and authority by those of the endpoint | – |
//! | `Host` | keeps it; adds it from the URI if it is missing | – |
//! | HTTP version | forwards HTTP/2 requests as HTTP/1.1 | joins cookies |
//! | `X-Forwarded-For`, `Forwarded` | – | adds the client's address |
//! | hop-by-hop headers | – | removes them, in both directions |
//! | upgrades (WebSocket) | holds the endpoint's lease | copies bytes between the two connections |
//! | request body | sends it again if the failed attempt took at most 64 KiB | wraps it with [`BalanceLayer::incoming`](crate::BalanceLayer::incoming) |
//! | errors | [`Error::status`](crate::tower::Error::status) | the error response, and the log |
//!
//! With the feature `proxy`, `equipoise::proxy::ReverseProxy` does all of this: `ReverseProxy::new(balanced)` is a
//! service that a server or an axum router can use as it is. With the features `http` and `proxy-server`, equipoise has
//! the connections on both sides too: `examples/reverse_proxy.rs` is a whole program. This chapter explains the subjects one by one, and shows a
//! gateway that does without the crate.
//!
//! # Host
//!
//! Backends get the `Host` header that the client sent. An endpoint's address only decides where the request goes. With
//! TLS, the certificate is checked against the endpoint's address, so give TLS endpoints addresses by name, such as
//! `https://backend-1.internal:8443`.
//!
//! # HTTP versions
//!
//! Each connection has its own HTTP version. If a request came over HTTP/2, [`BalanceLayer`](crate::BalanceLayer) sets
//! its version to HTTP/1.1 and adds `Host` from its URI. If the client below the balancer has an HTTP/2 connection to
//! the endpoint, it still uses this connection. One task remains for the gateway: the cookies of an HTTP/2 request may
//! be in several `Cookie` headers, and HTTP/1 requires one header, joined by `"; "` (RFC 9113, section 8.2.3).
//!
//! For backends that need HTTP/2, such as gRPC servers, use a client that speaks HTTP/2 only (hyper-util's
//! `http2_only(true)`), and do not remove `te: trailers`.
//!
//! # The client's address
//!
//! Append the address of the peer to `X-Forwarded-For`. A client can send any `X-Forwarded-For`, so backends must trust
//! only the entries that your own proxies added. A gateway at the edge should therefore remove the header that the
//! client sent, and set its own. The example below does this. A gateway behind another proxy appends instead. The
//! module `affinity::source` finds the client's address behind trusted proxies.
//!
//! # Hop-by-hop headers
//!
//! Some headers belong to one connection and must not be forwarded: `Connection`, every header that `Connection` names,
//! `Keep-Alive`, `Proxy-Connection`, `TE`, `Trailer`, `Transfer-Encoding` and `Upgrade` (RFC 9110, section 7.6.1), and
//! `Proxy-Authenticate` and `Proxy-Authorization`, which are meant for this proxy. Remove them from requests and
//! responses. A response with such headers is also invalid in HTTP/2.
//!
//! # Upgrades
//!
//! To forward an upgrade, first remove the hop-by-hop headers, and then add `Connection: upgrade` and `Upgrade` again.
//! If the backend answers with status 101, copy bytes between the two connections. The balancer puts a
//! [`TunnelLease`](crate::tower::TunnelLease) into the extensions of such a response. Keep the lease until the tunnel
//! ends: as long as it exists, the connection counts as a request in flight of its endpoint, and a drain waits for it.
//! The future [`closing`](crate::tower::TunnelLease::closing) ends when the endpoint accepts no requests at all,
//! because it is in maintenance or has left the pool. End the tunnel then.
//!
//! # Request bodies
//!
//! The body that a server receives can be read only once. Failover is possible all the same:
//! [`BalanceLayer::incoming`](crate::BalanceLayer::incoming) wraps each body in
//! [`Replayable`](crate::tower::Replayable). The part of the body that an attempt has read is kept until the response
//! of this attempt begins. If the attempt fails, the next attempt sends this part first. If an attempt has read more
//! than [`HttpProtocol::max_replay_bytes`](crate::tower::HttpProtocol::max_replay_bytes) (default: 64 KiB), the request
//! is not sent again. The balancer does not wait for the whole body: each frame goes to the endpoint as it comes.
//!
//! # Inside axum
//!
//! A balancer is a fallback service or a nested service of an axum router. Put axum's `HandleError` around it, which
//! turns the errors of the balancer into responses: see `examples/axum_service.rs`. If the router does not accept the
//! service, the compiler says only that `HandleError<…>` is not a service. Call
//! [`Balance::serving`](crate::Balance::serving) to learn the reason: `layer.layer(client).serving::<Request<Body>>()`.
//! The most common reason is the body: turn on the feature `axum`, or use
//! [`BalanceLayer::incoming`](crate::BalanceLayer::incoming).
//!
//! # Error responses
//!
//! The message and the causes of an [`Error`](crate::tower::Error) contain ids and addresses of endpoints. Write them
//! to the log only. Send the client the status ([`Error::status`](crate::tower::Error::status)) and the
//! [`public_message`](crate::tower::Error::public_message), which names no endpoint:
//!
//! | status | when |
//! | --- | --- |
//! | 400 | the client's own request body failed, or the request cannot be forwarded |
//! | 501 | the request is a `CONNECT` request, and one client serves all endpoints |
//! | 502 | the endpoint failed, or its connection was lost |
//! | 503 | no endpoint could take the request; the client may try again later |
//! | 504 | the endpoint took too long |
//!
//! [`HttpProtocol::header`](crate::tower::HttpProtocol::header) adds a response header with the id of the endpoint,
//! which helps operators. If clients must not see ids, choose ids that reveal nothing, or write the
//! [`ServedBy`](crate::tower::ServedBy) extension of the response to the log instead.
//!
//! # A gateway from a configuration file
//!
//! `examples/gateway` is a complete gateway in small files. Its configuration file has listeners with routes, pools with
//! strategies, health checks, outlier detection and session affinity, and an admin interface. SIGHUP applies a changed
//! file while the gateway serves, and SIGTERM finishes the requests in flight:
//!
//! ```sh
//! cargo run --release --example gateway -- --config examples/gateway/gateway.toml
//! ```
//!
//! A reload keeps the connections of clients, and the counters, the health and the latencies of endpoints. A pool whose
//! strategy or outlier detection changes is built anew, because each strategy has its own state of each endpoint.
//!
//! To replace the program itself, start the new process beside the old one with the same file, both with `--takeover`,
//! and send SIGTERM to the old one when the new one has logged `started`. The processes share the port
//! (`SO_REUSEPORT`), so no connection is refused: while both listen, the system gives each new connection to one of
//! them. The old process closes its listeners, serves the connections that it has accepted, and then closes idle
//! connections, so clients that connect again reach the new process. Linux resets a connection that arrives in the
//! few microseconds in which the old process closes its socket. With `sysctl net.ipv4.tcp_migrate_req=1`, it gives
//! such a connection to the new process. `bind_shared` and `Server::shutdown` in `equipoise::proxy::server` are the
//! parts of this.
//!
//! # A gateway
//!
//! This gateway serves HTTP/1 and HTTP/2 clients and forwards their requests to HTTP/1 backends:
//!
//! ```
//! use std::{error::Error as _, net::{IpAddr, SocketAddr}};
//!
//! use bytes::Bytes;
//! use equipoise::tower::{Error, LeasedBody, ReplayBodies, Replayable, SharedClient, TunnelLease};
//! use equipoise::{Balance, BalanceLayer, EndpointSpec, Pool};
//! use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
//! use http_body_util::{Either, Full};
//! use hyper::{body::Incoming, service::service_fn};
//! use hyper_util::{
//!     client::legacy::{Client, connect::HttpConnector},
//!     rt::{TokioExecutor, TokioIo},
//!     server::conn::auto,
//! };
//! use tokio::net::TcpListener;
//! use tower::Layer;
//!
//! type Balanced = ReplayBodies<Balance<(), SharedClient<Client<HttpConnector, Replayable<Incoming>>>>>;
//! type Body = Either<LeasedBody<Incoming>, Full<Bytes>>;
//!
//! async fn serve(listener: TcpListener, pool: Pool<()>) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//!     let client = Client::builder(TokioExecutor::new()).build_http();
//!     let balanced = BalanceLayer::new(pool).check_addresses()?.incoming().layer(client);
//!     loop {
//!         let (stream, peer) = listener.accept().await?;
//!         let balanced = balanced.clone();
//!         let service = service_fn(move |request| {
//!             let balanced = balanced.clone();
//!             async move { Ok::<_, std::convert::Infallible>(forward(balanced, peer, request).await) }
//!         });
//!         tokio::spawn(async move {
//!             let server = auto::Builder::new(TokioExecutor::new());
//!             let _ = server.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
//!         });
//!     }
//! }
//!
//! async fn forward(balanced: Balanced, peer: SocketAddr, mut request: Request<Incoming>) -> Response<Body> {
//!     if request.method() == Method::CONNECT {
//!         return refusal(StatusCode::NOT_IMPLEMENTED, "this gateway does not tunnel");
//!     }
//!     // Before the headers that ask for the upgrade are removed.
//!     let upgrade = upgrade(request.headers());
//!     let client = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
//!
//!     remove_hop_by_hop(request.headers_mut());
//!     put_back(upgrade.as_ref(), request.headers_mut());
//!     join_cookies(request.headers_mut());
//!     set_client(request.headers_mut(), peer.ip());
//!
//!     let mut response = match balanced.oneshot(request).await {
//!         Ok(response) => response,
//!         Err(error) => {
//!             log(&error);
//!             return refusal(error.status(), error.public_message());
//!         }
//!     };
//!     remove_hop_by_hop(response.headers_mut());
//!     if response.status() == StatusCode::SWITCHING_PROTOCOLS && let Some(client) = client {
//!         put_back(upgrade.as_ref(), response.headers_mut());
//!         let lease: Option<TunnelLease> = response.extensions_mut().remove();
//!         let backend = hyper::upgrade::on(&mut response);
//!         tokio::spawn(async move {
//!             if let (Ok(client), Ok(backend)) = (client.await, backend.await) {
//!                 let (mut client, mut backend) = (TokioIo::new(client), TokioIo::new(backend));
//!                 let closing = async {
//!                     match &lease {
//!                         Some(lease) => lease.closing().await,
//!                         None => std::future::pending().await,
//!                     }
//!                 };
//!                 tokio::select! {
//!                     _ = tokio::io::copy_bidirectional(&mut client, &mut backend) => {}
//!                     () = closing => {}
//!                 }
//!             }
//!             drop(lease);
//!         });
//!     }
//!     response.map(Either::Left)
//! }
//!
//! /// The protocol that a message wants to switch to.
//! fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
//!     let connection = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
//!     let mut options = connection.flat_map(|value| value.split(','));
//!     let is_upgrade = options.any(|option| option.trim().eq_ignore_ascii_case("upgrade"));
//!     headers.get(header::UPGRADE).filter(|_| is_upgrade).cloned()
//! }
//!
//! fn put_back(upgrade: Option<&HeaderValue>, headers: &mut HeaderMap) {
//!     if let Some(protocol) = upgrade {
//!         headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
//!         headers.insert(header::UPGRADE, protocol.clone());
//!     }
//! }
//!
//! fn remove_hop_by_hop(headers: &mut HeaderMap) {
//!     let connection = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
//!     let named: Vec<HeaderName> =
//!         connection.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok()).collect();
//!     for name in named {
//!         headers.remove(name);
//!     }
//!     for name in [
//!         "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te",
//!         "trailer", "transfer-encoding", "upgrade",
//!     ] {
//!         headers.remove(name);
//!     }
//! }
//!
//! fn join_cookies(headers: &mut HeaderMap) {
//!     let cookies: Vec<_> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
//!     if cookies.len() > 1 && let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..])) {
//!         headers.insert(header::COOKIE, joined);
//!     }
//! }
//!
//! /// For a gateway at the edge: replaces what the client says about its own address.
//! fn set_client(headers: &mut HeaderMap, peer: IpAddr) {
//!     headers.remove(header::FORWARDED);
//!     if let Ok(peer) = HeaderValue::from_str(&peer.to_canonical().to_string()) {
//!         headers.insert(HeaderName::from_static("x-forwarded-for"), peer);
//!     }
//! }
//!
//! fn refusal(status: StatusCode, text: &'static str) -> Response<Body> {
//!     let mut response = Response::new(Either::Right(Full::from(text)));
//!     *response.status_mut() = status;
//!     response
//! }
//!
//! /// The error with all its causes.
//! fn log(error: &Error) {
//!     eprint!("{error}");
//!     let mut cause = error.source();
//!     while let Some(error) = cause {
//!         eprint!(": {error}");
//!         cause = error.source();
//!     }
//!     eprintln!();
//! }
//! # use http_body_util::BodyExt;
//! # use tokio::{io::{AsyncReadExt, AsyncWriteExt}, net::TcpStream};
//! #
//! # /// Says what it got; switches to a protocol that echoes, if asked.
//! # async fn backend() -> std::io::Result<SocketAddr> {
//! #     let listener = TcpListener::bind("127.0.0.1:0").await?;
//! #     let address = listener.local_addr()?;
//! #     tokio::spawn(async move {
//! #         while let Ok((stream, _)) = listener.accept().await {
//! #             let answer = service_fn(|mut request: Request<Incoming>| async move {
//! #                 let mut response = Response::new(Full::<Bytes>::default());
//! #                 if let Some(protocol) = upgrade(request.headers()) {
//! #                     let upgraded = hyper::upgrade::on(&mut request);
//! #                     tokio::spawn(async move {
//! #                         let Ok(upgraded) = upgraded.await else { return };
//! #                         let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
//! #                         let _ = tokio::io::copy(&mut read, &mut write).await;
//! #                     });
//! #                     *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
//! #                     put_back(Some(&protocol), response.headers_mut());
//! #                 } else {
//! #                     let header = |name: &str| {
//! #                         let value = request.headers().get(name).map(|value| value.as_bytes());
//! #                         String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
//! #                     };
//! #                     let text = format!("{} {} {}", header("host"), header("x-forwarded-for"), header("cookie"));
//! #                     *response.body_mut() = Full::from(text);
//! #                 }
//! #                 Ok::<_, std::convert::Infallible>(response)
//! #             });
//! #             let server = hyper::server::conn::http1::Builder::new();
//! #             tokio::spawn(server.serve_connection(TokioIo::new(stream), answer).with_upgrades());
//! #         }
//! #     });
//! #     Ok(address)
//! # }
//! #
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! #     let pool = Pool::default();
//! #     pool.add(EndpointSpec::new(backend().await?.to_string()), ())?;
//! #     let listener = TcpListener::bind("127.0.0.1:0").await?;
//! #     let gateway = listener.local_addr()?;
//! #     tokio::spawn(serve(listener, pool.clone()));
//! #
//! #     // From HTTP/2 to HTTP/1, with two cookie headers and a made-up address.
//! #     let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Full<Bytes>>();
//! #     let request = Request::get(format!("http://{gateway}/")).header("cookie", "a=1").header("cookie", "b=2");
//! #     let response = client.request(request.header("x-forwarded-for", "6.6.6.6").body(Full::default())?).await?;
//! #     let body = response.into_body().collect().await?.to_bytes();
//! #     assert_eq!(body, format!("{gateway} 127.0.0.1 a=1; b=2").as_bytes());
//! #
//! #     // An upgrade.
//! #     let mut stream = TcpStream::connect(gateway).await?;
//! #     stream.write_all(b"GET /chat HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n").await?;
//! #     let mut head = Vec::new();
//! #     while !head.ends_with(b"\r\n\r\n") {
//! #         head.push(stream.read_u8().await?);
//! #     }
//! #     assert!(head.starts_with(b"HTTP/1.1 101"));
//! #     assert_eq!(pool.endpoints()[0].in_flight, 1);
//! #     stream.write_all(b"ping").await?;
//! #     let mut pong = [0; 4];
//! #     stream.read_exact(&mut pong).await?;
//! #     assert_eq!(&pong, b"ping");
//! #     let idle = pool.idle(pool.endpoints()[0].id.clone());
//! #     drop(stream);
//! #     idle.await;
//! #
//! #     // No endpoint: the client learns a status and no more.
//! #     pool.update([], |_| ())?;
//! #     let response = client.request(Request::get(format!("http://{gateway}/")).body(Full::default())?).await?;
//! #     assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
//! #     assert_eq!(response.into_body().collect().await?.to_bytes(), "no backend can take the request now");
//! #     Ok(())
//! # }
//! ```
