use std::net::SocketAddr;

/// A request extension: the address of the connection that a request came over, as the listener accepted it.
///
/// ```
/// use std::net::SocketAddr;
/// use equipoise_affinity::source::{ClientAddress, PeerAddr};
/// use equipoise_tower::RequestHead;
///
/// let accepted: SocketAddr = "192.0.2.7:40312".parse()?; // What `TcpListener::accept` says.
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(PeerAddr(accepted));
///
/// assert_eq!(ClientAddress::connection().of(RequestHead::of(&request)), Some(accepted.ip()));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerAddr(pub SocketAddr);

/// A request extension: the client's address that the peer named in a PROXY protocol header, when the connection began.
///
/// It is beside [`PeerAddr`], not in place of it: it is believed only if that address is of a trusted proxy. See
/// [`ProxyHeader`](super::ProxyHeader) for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProxiedAddr(pub SocketAddr);
