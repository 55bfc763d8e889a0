//! Opens a connection to a TCP address or a Unix socket.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use equipoise_core::__private::race_addresses;
use tokio::{net::TcpStream, time::sleep};

use super::{resolve::Resolve, stream::Stream};
use crate::{error::ConnectError, origin::Place};

/// The options of TCP sockets.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether Nagle's algorithm is turned off.
    pub nodelay: bool,
    /// After which time without bytes the system asks whether the peer is there. `None` if it never does.
    pub keep_alive: Option<Duration>,
}

impl Options {
    fn apply(self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(self.nodelay)?;
        if let Some(time) = self.keep_alive {
            // What Linux accepts.
            let time = time.clamp(Duration::from_secs(1), Duration::from_secs(32_767));
            let keep_alive = socket2::TcpKeepalive::new().with_time(time).with_interval(time);
            socket2::SockRef::from(stream).set_tcp_keepalive(&keep_alive)?;
        }
        Ok(())
    }
}

/// Connects to a place. `secure` makes the TLS handshake. It is a part of each attempt, so an address that accepts a
/// connection and then does not answer is left for the next one.
///
/// # Errors
///
/// The error of the last address that was tried, or that of the resolution.
pub async fn dial<T, F>(
    place: &Place,
    resolver: &dyn Resolve,
    options: Options,
    secure: impl Fn(Stream) -> F,
) -> Result<T, ConnectError>
where
    F: Future<Output = Result<T, ConnectError>>,
{
    match place {
        Place::Tcp { host, port } => {
            let addresses = addresses(host, *port, resolver).await?;
            let attempt = async |address| secure(Stream::Tcp(dial_address(address, options).await?)).await;
            let none = || ConnectError::NoAddress { host: host.clone() };
            race_addresses(&addresses, attempt, sleep).await.ok_or_else(none)?
        }
        Place::Unix { path } => {
            let failed = |source| ConnectError::Unix { path: path.clone(), source };
            #[cfg(unix)]
            return secure(tokio::net::UnixStream::connect(path).await.map(Stream::Unix).map_err(failed)?).await;
            #[cfg(not(unix))]
            Err(failed(io::ErrorKind::Unsupported.into()))
        }
    }
}

/// Connects to an IP address.
///
/// # Errors
///
/// The error of the connection.
pub async fn dial_address(address: SocketAddr, options: Options) -> Result<TcpStream, ConnectError> {
    let connected = TcpStream::connect(address).await;
    let configured = connected.and_then(|stream| options.apply(&stream).map(|()| stream));
    configured.map_err(|source| ConnectError::Tcp { address, source })
}

async fn addresses(host: &str, port: u16, resolver: &dyn Resolve) -> Result<Vec<SocketAddr>, ConnectError> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    resolver.resolve(host, port).await.map_err(|source| ConnectError::Resolve { host: host.to_owned(), source })
}
