use std::{io, net::SocketAddr};

use socket2::{SockAddr, SockRef, Socket};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::headers::ConnectionInfo;

/// Accepts connections. Implemented for [`Tcp`](super::Tcp), and for tokio's `TcpListener` and `UnixListener`.
///
/// Implement it for a listener of your own, such as one that limits the connections of a client. A listener must not
/// wait for bytes of a client: meanwhile, no other connection would be accepted. Wait in the first read of the stream
/// instead, or use [`Server::serve_connection`](super::Server::serve_connection).
pub trait Listener: Send {
    /// The stream of a connection.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next connection. Must be cancel safe: a connection is not lost if the future is dropped before it
    /// has returned.
    ///
    /// # Errors
    ///
    /// Any error of the operating system. The server counts it and tries again, after a pause unless the error
    /// concerns only one connection.
    fn accept(&mut self) -> impl Future<Output = io::Result<Accepted<Self::Io>>> + Send;

    /// Accepts a connection that the system has accepted already, without waiting. Returns `None` if there is none. A
    /// shutdown of the server calls it until then, and drops the listener. Default: `None`, so the system resets the
    /// connections that [`accept`](Self::accept) has not returned.
    ///
    /// # Errors
    ///
    /// Any error of the operating system. The server tries again if the error concerns only one connection, or if too
    /// many files are open.
    fn accept_waiting(&mut self) -> io::Result<Option<Accepted<Self::Io>>> {
        Ok(None)
    }
}

/// A connection that was accepted, and what is known about it.
///
/// ```
/// use equipoise_proxy::{headers::ConnectionInfo, server::Accepted};
///
/// let (stream, _client) = tokio::io::duplex(1024);
/// let accepted = Accepted::new(stream).peer("192.0.2.7:40312".parse()?).info(ConnectionInfo::new().tls(true));
/// # drop(accepted);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Accepted<Io> {
    pub(super) io: Io,
    pub(super) peer: Option<SocketAddr>,
    pub(super) info: ConnectionInfo,
}

impl<Io> Accepted<Io> {
    /// Creates a connection of a client whose address is not known.
    #[must_use]
    pub const fn new(io: Io) -> Self {
        Self { io, peer: None, info: ConnectionInfo::new() }
    }

    /// Sets the address of the client. Requests get it as the extension
    /// [`PeerAddr`](equipoise_affinity::source::PeerAddr). Default: not known, and no extension.
    #[must_use]
    pub fn peer(mut self, address: SocketAddr) -> Self {
        self.peer = Some(address);
        self
    }

    /// Sets the extension [`ConnectionInfo`] of the requests. Default: [`ConnectionInfo::new`].
    #[must_use]
    pub fn info(mut self, info: ConnectionInfo) -> Self {
        self.info = info;
        self
    }
}

/// Requests get no `PeerAddr`, because clients of Unix sockets have no address.
#[cfg(unix)]
impl Listener for tokio::net::UnixListener {
    type Io = tokio::net::UnixStream;

    async fn accept(&mut self) -> io::Result<Accepted<Self::Io>> {
        let (stream, _) = Self::accept(self).await?;
        Ok(Accepted::new(stream))
    }

    fn accept_waiting(&mut self) -> io::Result<Option<Accepted<Self::Io>>> {
        let Some((socket, _)) = accept_now(SockRef::from(&*self))? else { return Ok(None) };
        Ok(Some(Accepted::new(tokio::net::UnixStream::from_std(socket.into())?)))
    }
}

/// Accepts a connection without waiting. It asks the system, because the runtime may not know of the newest connections
/// yet.
pub(super) fn accept_now(listener: SockRef<'_>) -> io::Result<Option<(Socket, SockAddr)>> {
    match listener.accept() {
        Ok((socket, peer)) => {
            socket.set_nonblocking(true)?;
            Ok(Some((socket, peer)))
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// The number of `EPROTO` on Linux. It has no [`io::ErrorKind`].
#[cfg(target_os = "linux")]
const PROTOCOL_ERROR: Option<i32> = Some(71);
#[cfg(not(target_os = "linux"))]
const PROTOCOL_ERROR: Option<i32> = None;

/// Returns whether an error of `accept` concerns only a connection that was given up, or none. Linux returns the network
/// errors of a new connection from `accept`.
pub(super) fn concerns_one_connection(error: &io::Error) -> bool {
    let kinds = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::Interrupted
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::TimedOut
    );
    kinds || PROTOCOL_ERROR.is_some_and(|number| error.raw_os_error() == Some(number))
}

/// Returns whether `accept` has failed because the process or the system has too many open files. The numbers of these
/// errors are the same on all Unix systems.
pub(super) fn is_out_of_files(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    cfg!(unix) && matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn network_errors_concern_one_connection() {
        for (name, number) in
            [("EPROTO", 71), ("ENETDOWN", 100), ("ENETUNREACH", 101), ("ETIMEDOUT", 110), ("EHOSTUNREACH", 113)]
        {
            assert!(concerns_one_connection(&io::Error::from_raw_os_error(number)), "{name}");
        }
        const EMFILE: i32 = 24;
        assert!(!concerns_one_connection(&io::Error::from_raw_os_error(EMFILE)));
    }
}
