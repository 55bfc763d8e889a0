//! Reads the counters of servers and proxies: one file for each kind.

mod fields;
#[cfg(feature = "proxy-forward")]
mod forward;
mod names;
#[cfg(feature = "proxy-protocol")]
mod proxy_protocol;
#[cfg(feature = "proxy-server")]
mod server;
#[cfg(feature = "proxy-sni")]
mod sni;
#[cfg(feature = "proxy-tcp")]
mod tcp;
#[cfg(feature = "proxy-tls")]
mod tls;
#[cfg(feature = "proxy-udp")]
mod udp;
