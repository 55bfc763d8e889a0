//! Determines the IP address of a client behind any number of proxies.
//!
//! [`ClientAddress`] starts with the IP address of the peer of the connection, which cannot be forged. If
//! [`TrustedProxies`] contains this address, the peer is a trusted proxy, and the address that it reports for its own
//! client is used instead. Addresses that untrusted clients report about themselves are ignored.
//!
//! The server puts the peer's address into the extensions of each request as [`PeerAddr`]. If the server keeps it
//! elsewhere, [`ClientAddress::peer`] can read it there. Behind a proxy that uses the PROXY protocol, a server of your own
//! reads the proxy's header (`equipoise-http` has a parser), and adds the address as [`ProxiedAddr`]. The server of
//! `equipoise-proxy` checks the proxy itself, and sets [`PeerAddr`] to the address of the client.

mod address;
mod client;
mod header;
mod list;
#[cfg(test)]
mod tests;
mod trusted;

pub use self::{
    client::{ClientAddress, PeerAddr, ProxiedAddr},
    header::ForwardedHeader,
    trusted::{InvalidProxies, TrustedProxies},
};
