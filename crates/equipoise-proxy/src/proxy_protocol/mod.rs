//! The PROXY protocol: proxies in front tell from which address a client came, and endpoints are told.
//!
//! [`ProxyProtocol`] is a [`Listener`](crate::listen::Listener) around another one. It reads the header at the start of
//! each connection, and then the connection has the addresses of the client: for header fields, session affinity, logs
//! and limits, it is as if the client had connected directly.
//!
//! ```
//! use equipoise_proxy::proxy_protocol::ProxyProtocol;
//! use tokio::net::TcpListener;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! // Load balancers in these networks send a header on every connection.
//! let listener = ProxyProtocol::new(listener, "10.1.0.0/16, loopback".parse()?);
//! # drop(listener);
//! # Ok(())
//! # }
//! ```
//!
//! # Who is believed
//!
//! A peer that may send a header can pretend to be any client. So only [trusted
//! peers](equipoise_affinity::source::TrustedProxies) may connect: the connections of all others are closed, unless
//! [`serve_untrusted`](ProxyAcceptor::serve_untrusted) is set. For a Unix socket, whose peers have no IP address, set
//! [`trust_unknown`](ProxyAcceptor::trust_unknown).
//!
//! From a trusted peer, the header is required, in version 1 or 2. [Which headers are
//! valid](equipoise_http::proxy_protocol#which-headers-are-valid) is a matter of the parser.
//!
//! | header | addresses of the connection |
//! | --- | --- |
//! | of a client with IP addresses | those of the header |
//! | `LOCAL`: the peer has opened the connection for itself | those of the peer |
//! | `UNKNOWN`, or of a client of a Unix socket | those of the peer; but requests have no `PeerAddr`, because they are not the peer's own: it may be trusted to write `X-Forwarded-For`, and its client is not |
//!
//! [`ConnectionInfo::proxy_header`](crate::headers::ConnectionInfo::proxy_header) has the whole header with its
//! extensions (TLVs), and [`proxy_addr`](crate::headers::ConnectionInfo::proxy_addr) the address of the peer. The
//! extension about the client's TLS does not make the connection one with TLS: what is between the peer and this process
//! is not encrypted.
//!
//! # Sending
//!
//! [`client_header`] makes the header for an endpoint of what is known about a connection.
//! [`request_header`] does the same for a request. Give it to
//! [`Settings::proxy_protocol`](equipoise_http::Settings::proxy_protocol), so that HTTP endpoints get the header.

mod acceptor;
mod client;
mod listener;

pub use equipoise_http::proxy_protocol::{
    InvalidProxyHeader, ProxyHeader, Ssl, Tlv, TlvTooLong, Tlvs, Transport, Version, kind,
};

pub use self::{
    acceptor::{HeaderError, ProxyAcceptor, ProxyProtocolStats},
    client::{client_header, request_header},
    listener::ProxyProtocol,
};
