//! The forward proxy with its server, on real sockets. Names are resolved by the tests.

mod clients;
mod ends;
mod hosts;
mod http1;
mod limits;
#[cfg(feature = "proxy-protocol")]
mod proxy_protocol;
mod rig;
mod rules;
#[cfg(feature = "tls")]
mod tls;
mod tunnels;
mod upstreams;
mod users;
