//! Determines the IP address of a client behind any number of proxies.
//!
//! [`ClientAddress`] starts with the IP address of the peer of the connection, which cannot be forged. If
//! [`TrustedProxies`] contains this address, the peer is a trusted proxy, and the address that it reports for its own
//! client is used instead. Addresses that untrusted clients report about themselves are ignored.
//!
//! The server puts the peer's address into the extensions of each request as [`PeerAddr`]. If the server keeps it
//! elsewhere, [`ClientAddress::peer`] can read it there. Behind a proxy that uses the PROXY protocol, the server reads
//! the proxy's header with [`ProxyHeader::parse`], and adds the address as [`ProxiedAddr`].

mod address;
mod client;
mod header;
mod list;
mod proxy_protocol;
#[cfg(test)]
mod tests;
mod trusted;

pub use self::{
    client::{ClientAddress, PeerAddr, ProxiedAddr},
    header::ForwardedHeader,
    proxy_protocol::{InvalidProxyHeader, ProxyHeader},
    trusted::{InvalidProxies, TrustedProxies},
};
