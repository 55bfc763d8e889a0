//! A server: accepts connections, and serves HTTP/1.1 and HTTP/2 on them with limits.
//!
//! [`Server`] runs any tower service of requests, for example a [`ReverseProxy`](crate::ReverseProxy), on the caller's
//! tokio runtime. It adds the extensions [`PeerAddr`](equipoise_affinity::source::PeerAddr) and
//! [`ConnectionInfo`](crate::headers::ConnectionInfo) to each request, and removes the fields that `Connection` names
//! ([`remove_named_fields`](crate::headers::remove_named_fields)).
//!
//! ```
//! use std::{convert::Infallible, time::Duration};
//! use equipoise_proxy::server::{Server, ServerLimits};
//! use http::{Request, Response};
//! use hyper::body::Incoming;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let service = tower::service_fn(async |_: Request<Incoming>| {
//!     Ok::<_, Infallible>(Response::new(String::from("ok")))
//! });
//! let server = Server::with_limits(service, ServerLimits::new().max_connections(1_000));
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let accepting = tokio::spawn(server.clone().serve(listener));
//! // When the process is asked to end:
//! let aborted = server.shutdown(Duration::from_secs(10)).await;
//! assert_eq!(aborted, 0);
//! # accepting.await?;
//! # Ok(())
//! # }
//! ```
//!
//! The first bytes of a connection decide between HTTP/1.1 and HTTP/2: HTTP/2 begins with a fixed preface ("prior
//! knowledge"). The upgrade from HTTP/1.1 with `Upgrade: h2c`, which RFC 9113 has removed, is not supported.
//!
//! # Malformed requests
//!
//! hyper's parser refuses most malformed HTTP/1 requests, and repairs some without an error. The server finds these in
//! the bytes of the connection, and answers with status 400 and `Connection: close`. The service does not get them:
//!
//! - requests with a `Content-Length` beside `Transfer-Encoding`, and those with more than one `Content-Length`, because
//!   another parser could read another length;
//! - requests whose target has a fragment (`/a#b`).
//!
//! Each response of the server itself (400, 408, 414, 421, 431 and 503) has a short body that tells the reason: a
//! problem document in JSON with a `code`, or plain text for a client that prefers it, if the head could be read. The
//! settings of a service ([`ErrorResponses`](crate::error::ErrorResponses)) do not change these responses. These have
//! no body: responses of HTTP/2 to heads that are too large, and those to malformed requests behind another request
//! whose response the client has not taken yet.
//!
//! # Threads
//!
//! By default, connections are tasks of the runtime that calls [`Server::serve`]. [`Server::serve_threads`] serves in
//! one thread for each listener instead, for example one for each CPU core, with a shared port ([`bind_shared`](crate::listen::bind_shared)).
//!
//! # Clients that are slow, idle or hostile
//!
//! [`ServerLimits`] has a limit for each, with its default, except for request bodies: only
//! [`body_timeout`](ServerLimits::body_timeout) limits them, and only in HTTP/1.1. The service must limit the time of a
//! body in HTTP/2, and that of one which arrives byte by byte. A [`ReverseProxy`](crate::ReverseProxy) does so with
//! [`Timeouts::idle`](crate::Timeouts::idle) and, if it is set, [`Timeouts::total`](crate::Timeouts::total).
//!
//! What a connection may hold in memory:
//!
//! - HTTP/1.1: a buffer for reading and one for writing, each at most
//!   [`max_buffer_bytes`](ServerLimits::max_buffer_bytes), and the frame that is being sent. A connection that has had
//!   no request for 250 ms keeps no buffers until bytes come. With [interim
//!   responses](ServerLimits::interim_responses), also at most 64 KiB for them.
//! - HTTP/2: request bodies that the service has not yet read, up to the
//!   [window of the connection](ServerLimits::http2_connection_window). For each of the
//!   [streams](ServerLimits::max_concurrent_streams), also the head of its request
//!   ([`max_header_bytes`](ServerLimits::max_header_bytes)), a send buffer
//!   ([`max_buffer_bytes`](ServerLimits::max_buffer_bytes)), and two frames of the response's body: one that exceeds the
//!   buffer, and the next one, which hyper takes from the body before the client's flow control has room for it. The
//!   size of a frame is that which the body returns.
//!
//! If a client does not take the last frame of a response within [`write_timeout`](ServerLimits::write_timeout), the
//! connection is closed. If other requests are in flight on it, the frame stays until they have ended.
//!
//! With the default limits, a connection of HTTP/1.1 may hold 128 KiB and one frame. One of HTTP/2 may hold 10 MiB
//! (512 KiB in request bodies, and 96 KiB for each of 100 streams) and 200 frames. 16 384 connections may thus hold 2 GiB
//! with HTTP/1.1, or 158 GiB with HTTP/2, if all clients do their worst. Set
//! [`max_connections`](ServerLimits::max_connections) and the limits of HTTP/2 for the memory of the machine, or limit
//! the requests in flight with [`max_in_flight`](ServerLimits::max_in_flight).
//!
//! At `max_connections`, the HTTP/1.1 connection that has waited longest for a request is closed when another connection
//! comes, so clients that hold connections without using them do not keep out others. Connections with a request, those
//! that have begun the head of one, and those of HTTP/2 are not closed for others.
//!
//! These attacks with HTTP/2 end with the connection, and other connections do not notice them:
//!
//! - "Rapid reset" (CVE-2023-44487): [`max_reset_streams`](ServerLimits::max_reset_streams) limits requests that were
//!   cancelled while the service had them. At most 20 requests may have been cancelled before the service got them
//!   (the default of h2).
//! - Malformed frames for which the server must reset streams ("MadeYouReset", CVE-2025-8671): at most 1024 on a
//!   connection (the default of h2).
//! - Endless `CONTINUATION` frames (CVE-2024-27316) and compressed heads that become large:
//!   [`max_header_bytes`](ServerLimits::max_header_bytes).
//! - Clients that have vanished: [`http2_ping`](ServerLimits::http2_ping), and [`Tcp::keep_alive`](crate::listen::Tcp::keep_alive).
//!
//! # What the server does not do
//!
//! - It does not answer an HTTP/1.1 client that closes its direction of the connection (FIN). A request in flight is
//!   cancelled, as nginx does it when it proxies, because such a client has usually gone.
//! - TLS. A [`Listener`](crate::listen::Listener) makes the handshake, such as that of the module `tls`.
//! - HTTP/1.1 connections that have switched protocols (WebSocket) are not part of a shutdown. They count as connections
//!   until they end. A WebSocket over HTTP/2 is a stream of its connection, so a shutdown waits for it as for a request.
//!   Close both while the server shuts down: see [`Tunnels`](crate::Tunnels).

mod activity;
mod body;
mod connection;
mod framing;
mod in_flight;
mod interim;
mod io;
mod limits;
mod rejection;
mod serve;
mod stats;
mod streams;
mod threads;
mod track;

pub use self::{limits::ServerLimits, serve::Server, stats::ServerStats, threads::Threads};
