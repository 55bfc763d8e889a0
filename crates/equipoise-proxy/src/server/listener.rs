use std::{io, net::SocketAddr};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::headers::ConnectionInfo;

/// The maximum number of connections that are accepted when a listener is closed. It is as large as the backlog of usual
/// systems. Without it, clients that connect faster than they are accepted would keep the listener open.
const MAX_WAITING: usize = 4096;

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

    /// Closes the listener, and returns the connections that the system has accepted and [`accept`](Self::accept) has
    /// not returned yet. The server serves them. Default: none, so the system resets them.
    fn close(self) -> Vec<Accepted<Self::Io>>
    where
        Self: Sized,
    {
        Vec::new()
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

    fn close(self) -> Vec<Accepted<Self::Io>> {
        let Ok(listener) = self.into_std() else { return Vec::new() };
        let waiting = accept_waiting(|| listener.accept()).filter_map(|(stream, _)| {
            stream.set_nonblocking(true).ok()?;
            Some(Accepted::new(tokio::net::UnixStream::from_std(stream).ok()?))
        });
        waiting.collect()
    }
}

/// Accepts the connections that wait, with the `accept` of a listener that does not block. It is the system's, because
/// the runtime may not know of the newest connections yet.
pub(super) fn accept_waiting<T>(mut accept: impl FnMut() -> io::Result<T>) -> impl Iterator<Item = T> {
    let attempts = std::iter::repeat_with(move || match accept() {
        Ok(connection) => Some(Some(connection)),
        Err(error) => concerns_one_connection(&error).then_some(None),
    });
    attempts.take(MAX_WAITING).map_while(|attempt| attempt).flatten()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_was_given_up_does_not_hide_those_behind_it() {
        let mut results = vec![
            Ok(3),
            Err(io::ErrorKind::WouldBlock),
            Ok(2),
            Err(io::ErrorKind::Interrupted),
            Err(io::ErrorKind::ConnectionAborted),
            Ok(1),
        ];
        let accept = || results.pop().expect("not asked again").map_err(io::Error::from);
        assert_eq!(accept_waiting(accept).collect::<Vec<_>>(), [1, 2]);
    }

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

    #[test]
    fn clients_that_connect_without_end_do_not_keep_a_listener_open() {
        assert_eq!(accept_waiting(|| Ok(())).count(), MAX_WAITING);
        let mut errors = 0;
        let accept = || -> io::Result<()> {
            errors += 1;
            Err(io::ErrorKind::ConnectionAborted.into())
        };
        assert_eq!(accept_waiting(accept).count(), 0);
        assert_eq!(errors, MAX_WAITING);
    }
}
