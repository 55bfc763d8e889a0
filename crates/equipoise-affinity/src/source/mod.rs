//! Who a client is: the address that a request really came from, however many proxies it passed.
//!
//! [`ClientAddress`] starts with the connection's own address, which nobody can forge, and believes what a proxy says
//! about its client only as far as [`TrustedProxies`] names that proxy. A client which says such things itself is not
//! believed.
//!
//! What the connection's address is, the server knows: it puts [`PeerAddr`] into the request's extensions (or the user
//! says where to find it: [`ClientAddress::peer`]). A listener behind a proxy that speaks the PROXY protocol reads its
//! header with [`ProxyHeader::parse`], and adds [`ProxiedAddr`].

mod address;
mod client;
mod header;
mod list;
mod peer;
mod proxy_protocol;
#[cfg(test)]
mod tests;
mod trusted;

pub use self::{
    client::ClientAddress,
    header::ForwardedHeader,
    peer::{PeerAddr, ProxiedAddr},
    proxy_protocol::{InvalidProxyHeader, ProxyHeader},
    trusted::{InvalidProxies, TrustedProxies},
};
