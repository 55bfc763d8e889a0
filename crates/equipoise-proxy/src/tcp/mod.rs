//! A TCP proxy: passes connections on to the endpoints of a pool, without reading their bytes.
//!
//! ```
//! use std::time::Duration;
//! use equipoise_core::{EndpointSpec, LeastConnections, Pool};
//! use equipoise_proxy::tcp::{TcpProxy, TcpSettings};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = Pool::new(LeastConnections::new());
//! pool.update(["10.0.0.1:5432", "10.0.0.2:5432"].map(EndpointSpec::new), |_| ())?;
//! let proxy = TcpProxy::with_settings(pool, TcpSettings::new().idle_timeout(Duration::from_secs(3600)));
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let serving = tokio::spawn(proxy.serve(listener));
//! // When the process is asked to end:
//! let aborted = proxy.shutdown(Duration::from_secs(10)).await;
//! assert_eq!(aborted, 0);
//! # serving.await?;
//! # Ok(())
//! # }
//! ```
//!
//! The address of an endpoint is `host:port`, the same after `tcp://`, or `unix:` with the path of a socket. The targets
//! of the pool are not used, so it may be a pool of anything.
//!
//! # One connection
//!
//! - When a client has connected, the pool picks an endpoint, and the proxy connects to it. If that fails, it tries
//!   [other endpoints](TcpSettings::max_attempts). If all endpoints are at their limit, the connection may
//!   [wait](TcpSettings::queue_timeout).
//! - Bytes are passed on in both directions. If one side ends its direction (FIN), the other side is told, and the other
//!   direction goes on (half-close), except while the connection [waits](TcpSettings::queue_timeout) for an endpoint. If one side resets the connection (RST), so does the proxy on the other side. If an
//!   endpoint resets it after it has sent bytes, the client gets these bytes and an orderly end: a reset would discard
//!   those that its system has not taken yet. The [reason](TcpEnd) is reported to
//!   [`on_end`](TcpSettings::on_end) only. A TLS connection that ends without close_notify is no reset.
//! - The lease of the endpoint lasts as long as the connection, so the endpoint's requests in flight are its connections.
//!   Limits, draining and least connections are therefore exact.
//! - The connection ends when both directions have ended, when no byte has passed for the
//!   [idle timeout](TcpSettings::idle_timeout), or when its endpoint accepts no requests any more
//!   ([`Lease::closing`](equipoise_core::Lease::closing)), for example after the deadline of a drain.
//!
//! # Failover
//!
//! An attempt at an endpoint has failed if no connection could be opened in time, or if the endpoint ends the connection
//! before a byte has passed in either direction: with a reset, or with an orderly end within a second
//! ([`failover_on_early_end`](TcpSettings::failover_on_early_end)). If the client has sent bytes and none of them could be
//! written to the endpoint, this holds too: they are kept. The proxy then tries an endpoint that it has not tried yet, up
//! to [`max_attempts`](TcpSettings::max_attempts). The client does not notice it. As soon as one byte was written to an
//! endpoint, or read from it, the connection stays with this endpoint. (A PROXY header is not a byte of the client.) If
//! one side is no TCP socket, for example with TLS, it stays as soon as one byte of the client was read.
//!
//! The client is told of an orderly end of an unused connection, and may still send, if it comes later than after a
//! second, because many servers close connections that are not used. So it is if no other endpoint can be picked.
//!
//! # What endpoints are judged by
//!
//! | event | verdict |
//! | --- | --- |
//! | the first byte of the endpoint | `Success`; the latency is the time for connecting, and the time from the first byte of the client to this one |
//! | an endpoint on [probation](equipoise_core::Availability::Probation) has accepted the connection, has not ended it, and no byte has passed for a second | `Success`, so that clients which only open connections do not keep it on probation |
//! | no connection: name not resolved, refused, unreachable, timeout, failed TLS handshake | `Failure(Connect)` |
//! | no connection, because this process has no free port for the endpoint (another one is tried), or no file or memory (none is tried), also if the resolver says so | `Neutral` |
//! | the endpoint resets the connection without having sent a byte | `Failure(Transport)` |
//! | the endpoint ends a connection without any byte at once (see above) | `Failure(Transport)` |
//! | the endpoint ends the connection in an orderly way after it was sent bytes, without having sent one | `Neutral`, or `Failure(Transport)` with an [answer timeout](TcpSettings::answer_timeout) if the client has not ended its direction before |
//! | the endpoint sends no byte within the answer timeout | `Failure(Timeout)` |
//! | the client has sent bytes, and resets the connection or lets the [idle timeout](TcpSettings::idle_timeout) pass before the first byte of the endpoint | none: [`Strategy::on_abandon`](equipoise_core::Strategy::on_abandon) decides |
//! | the client has sent nothing, or the end is the proxy's: a shutdown, a drain | `Neutral` |
//!
//! Clients can cause resets: a server that closes a connection while bytes of the client are unread resets it. If clients
//! are not trusted, let active health checks decide rather than a rule of few failures in a row.
//!
//! # Memory and descriptors
//!
//! A connection without bytes on the way has no buffer: bytes are read into a buffer of the thread. What the other side
//! does not take yet is kept, at most 256 KiB in each direction. A connection needs two descriptors. So
//! [`max_connections`](TcpSettings::max_connections) should be less than half of the limit of open files; at that limit,
//! new connections are not accepted, and clients wait in the backlog of the listener.
//!
//! With the feature `splice`, large flows between two TCP sockets pass through a pipe of the Linux kernel, of which there
//! are at most 64 (of 256 KiB, and with two descriptors each). Other flows are copied.

mod connect;
mod end;
mod key;
mod proxy;
mod session;
mod settings;
mod sources;
mod stats;
mod watch;

pub use self::{
    end::{TcpConnection, TcpEnd},
    key::{FirstBytes, TcpKey},
    proxy::TcpProxy,
    settings::TcpSettings,
    stats::TcpStats,
};
