//! The client's address behind any number of proxies.
//!
//! [`ClientAddress`] starts with the connection's own address, which cannot be forged. It accepts what a proxy says
//! about its client only if [`TrustedProxies`] contains that proxy. What an untrusted client says about itself is
//! ignored.
//!
//! The server puts the connection's address into the request's extensions as [`PeerAddr`], or [`ClientAddress::peer`]
//! says where else to find it. A listener behind a proxy that speaks the PROXY protocol reads the proxy's header with
//! [`ProxyHeader::parse`] and adds [`ProxiedAddr`].

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
