//! TLS with real sockets and the client of rustls. `tests/proxy` has those with other clients.

mod certificates;
mod clients;
mod handshakes;
mod misdirected;
mod refused;
mod reload;
mod sessions;
mod setup;
#[cfg(feature = "tcp")]
mod tcp;
