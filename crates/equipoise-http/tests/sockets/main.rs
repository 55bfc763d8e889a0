//! Connections over real sockets.

mod bodies;
mod client;
mod gates;
mod given_up;
#[cfg(feature = "http2")]
mod http2;
mod interim;
mod limits;
#[cfg(feature = "http2")]
mod pings;
#[cfg(feature = "proxy-protocol")]
mod proxy_protocol;
mod queue;
mod reuse;
mod runtimes;
mod server;
mod stress;
#[cfg(all(feature = "http2", feature = "tls"))]
mod tls;
mod uploads;
