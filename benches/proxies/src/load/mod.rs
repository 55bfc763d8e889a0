//! The clients.

mod http;
mod loops;
mod outcome;
mod tcp;
mod tls;
mod udp;

use std::net::SocketAddr;

pub(crate) use outcome::Outcome;

use crate::certificate::Certificate;

#[derive(Clone, Copy)]
pub(crate) enum Load {
    /// Requests over HTTP/1.1. `body` is the length of their bodies in bytes.
    Http1 {
        connections: u32,
        path: &'static str,
        body: usize,
        tls: bool,
        /// A field of each request, such as `Accept: */*`.
        field: Option<&'static str>,
    },
    Http2 {
        connections: u32,
        streams: u32,
    },
    /// One connection on which the backend sends as fast as it can.
    TcpBulk,
    /// Requests over connections that stay open.
    TcpSmall {
        connections: usize,
    },
    /// One request for each connection.
    TcpShort {
        connections: usize,
    },
    /// One datagram in flight for each socket.
    Udp {
        sockets: usize,
    },
    /// Full handshakes of TLS 1.3, without a request.
    TlsHandshakes {
        connections: usize,
    },
}

impl Load {
    /// Sends requests for `seconds`. A request that fails is an error.
    pub(crate) fn run(self, address: SocketAddr, certificate: &Certificate, seconds: u32) -> anyhow::Result<Outcome> {
        match self {
            Self::Http1 { connections, path, body, tls, field } => {
                http::wrk(address, seconds, connections, path, body, tls, field)
            }
            Self::Http2 { connections, streams } => http::h2load(address, seconds, connections, streams),
            Self::TcpBulk => tcp::bulk(address, seconds),
            Self::TcpSmall { connections } => tcp::small(address, seconds, connections),
            Self::TcpShort { connections } => tcp::short(address, seconds, connections),
            Self::Udp { sockets } => udp::round_trips(address, seconds, sockets),
            Self::TlsHandshakes { connections } => tls::handshakes(address, certificate, seconds, connections),
        }
    }
}
