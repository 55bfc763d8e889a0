use std::{fmt, io, net::SocketAddr, pin::Pin};

use equipoise_tower::BoxError;
use socket2::{SockAddr, SockRef, Socket};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::headers::ConnectionInfo;

/// Accepts connections. Implemented for [`Tcp`](super::Tcp), and for tokio's `TcpListener` and `UnixListener`.
///
/// Implement it for a listener of your own, such as one that limits the connections of a client. A listener must not
/// wait for bytes of a client in [`accept`](Self::accept): meanwhile, no other connection would be accepted. Return a
/// connection that is [established later](Accepted::later) instead.
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

/// A connection that a [`Listener`] has accepted. Bytes may have to be exchanged before it can be used, such as those of
/// a TLS handshake.
///
/// A listener around another listener accepts from the inner one, and returns a connection that is established later:
///
/// ```
/// use std::io;
/// use equipoise_proxy::listen::{Accepted, Established, Listener};
/// use tokio::io::AsyncReadExt;
///
/// /// Expects a byte at the start of each connection.
/// struct Greeted<L>(L);
///
/// impl<L: Listener> Listener for Greeted<L> {
///     type Io = L::Io;
///
///     async fn accept(&mut self) -> io::Result<Accepted<L::Io>> {
///         let accepted = self.0.accept().await?;
///         Ok(Accepted::later(async move {
///             let mut connection = accepted.established().await?;
///             if connection.io.read_u8().await? != b'!' {
///                 return Err("the connection did not begin with an exclamation mark".into());
///             }
///             Ok(connection)
///         }))
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Accepted<Io>(State<Io>);

enum State<Io> {
    Now(Established<Io>),
    Later(Handshake<Io>),
}

type Handshake<Io> = Pin<Box<dyn Future<Output = Result<Established<Io>, BoxError>> + Send>>;

impl<Io> fmt::Debug for State<Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Now(_) => "Now",
            Self::Later(_) => "Later",
        })
    }
}

impl<Io> Accepted<Io> {
    /// Creates a connection that `handshake` establishes. It runs in the task of the connection, which counts as one of
    /// the server's connections meanwhile. Its error closes the connection. The future should end within a timeout.
    #[must_use]
    pub fn later(handshake: impl Future<Output = Result<Established<Io>, BoxError>> + Send + 'static) -> Self {
        Self(State::Later(Box::pin(handshake)))
    }

    /// Waits until the connection is established. Ends at once if no handshake is needed.
    ///
    /// # Errors
    ///
    /// The error of the handshake.
    pub async fn established(self) -> Result<Established<Io>, BoxError> {
        match self.0 {
            State::Now(established) => Ok(established),
            State::Later(handshake) => handshake.await,
        }
    }
}

impl<Io> From<Established<Io>> for Accepted<Io> {
    fn from(established: Established<Io>) -> Self {
        Self(State::Now(established))
    }
}

/// A connection that can be used, and what is known about it.
///
/// ```
/// use equipoise_proxy::{headers::ConnectionInfo, listen::Established};
///
/// let (stream, _client) = tokio::io::duplex(1024);
/// let connection = Established::new(stream).peer("192.0.2.7:40312".parse()?).info(ConnectionInfo::new().tls(true));
/// assert!(connection.info.is_tls());
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Established<Io> {
    /// The stream of the connection.
    pub io: Io,
    /// The address of the client. Requests get it as the extension
    /// [`PeerAddr`](equipoise_affinity::source::PeerAddr), unless it is `None`, which means not known.
    pub peer: Option<SocketAddr>,
    /// What else is known about the connection. Requests get it as an extension.
    pub info: ConnectionInfo,
}

impl<Io> Established<Io> {
    /// Creates a connection of a client whose address is not known.
    #[must_use]
    pub const fn new(io: Io) -> Self {
        Self { io, peer: None, info: ConnectionInfo::new() }
    }

    /// Sets the address of the client. Default: not known.
    #[must_use]
    pub fn peer(mut self, address: SocketAddr) -> Self {
        self.peer = Some(address);
        self
    }

    /// Sets what else is known about the connection. Default: [`ConnectionInfo::new`].
    #[must_use]
    pub fn info(mut self, info: ConnectionInfo) -> Self {
        self.info = info;
        self
    }

    /// Replaces the stream, for example by one over it.
    #[must_use]
    pub fn map<T>(self, map: impl FnOnce(Io) -> T) -> Established<T> {
        Established { io: map(self.io), peer: self.peer, info: self.info }
    }
}

/// Requests get no `PeerAddr`, because clients of Unix sockets have no address.
#[cfg(unix)]
impl Listener for tokio::net::UnixListener {
    type Io = tokio::net::UnixStream;

    async fn accept(&mut self) -> io::Result<Accepted<Self::Io>> {
        let (stream, _) = Self::accept(self).await?;
        Ok(Established::new(stream).into())
    }

    fn accept_waiting(&mut self) -> io::Result<Option<Accepted<Self::Io>>> {
        let Some((socket, _)) = accept_now(SockRef::from(&*self))? else { return Ok(None) };
        Ok(Some(Established::new(tokio::net::UnixStream::from_std(socket.into())?).into()))
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
pub(crate) fn is_out_of_files(error: &io::Error) -> bool {
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
