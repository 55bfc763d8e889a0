//! The TCP proxy with real sockets. Timeouts that are waited for are short, and all others are longer than the tests.

mod bytes;
mod ends;
mod failover;
mod keys;
mod leases;
mod limits;
mod load;
#[cfg(feature = "proxy-protocol")]
mod proxy_protocol;
mod rig;
mod shutdown;
#[cfg(all(feature = "tcp-tls", unix))]
mod streams;
