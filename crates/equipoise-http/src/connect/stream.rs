//! The byte stream of a connection.

use std::{
    io::{self, IoSlice, Read},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// A TCP connection, a Unix socket, or TLS over one of them.
pub enum Stream {
    /// A TCP connection.
    Tcp(TcpStream),
    /// A connection of a Unix socket.
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
    /// TLS over one of the others. Boxed because it is about a kilobyte.
    #[cfg(feature = "tls")]
    Tls(Box<tokio_rustls::client::TlsStream<Stream>>),
}

impl Stream {
    /// Reads what the system has received. `poll_read` returns it only after tokio's driver has run. To be called after
    /// `poll_read` has returned `Pending`, so that the task is woken by later input. Costs a system call.
    pub(crate) fn poll_read_now(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        #[cfg(feature = "tls")]
        if let Self::Tls(stream) = self {
            let (raw, session) = stream.get_mut();
            loop {
                match session.read_tls(&mut Now(raw)) {
                    Ok(0) => break,
                    Ok(_) => {
                        let state = session.process_new_packets();
                        let state = state.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                        if state.plaintext_bytes_to_read() > 0 {
                            break;
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            // Session tickets, for example, are no data.
            return Pin::new(stream).poll_read(cx, buf);
        }
        let _ = cx;
        let mut bytes = [0; 64];
        let most = bytes.len().min(buf.remaining());
        match Now(self).read(&mut bytes[..most]) {
            Ok(read) => {
                buf.put_slice(&bytes[..read]);
                Poll::Ready(Ok(()))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

/// Reads from the system without asking tokio whether there is something to read.
struct Now<'a>(&'a Stream);

impl Read for Now<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self.0 {
            Stream::Tcp(stream) => (&*socket2::SockRef::from(stream)).read(bytes),
            #[cfg(unix)]
            Stream::Unix(stream) => (&*socket2::SockRef::from(stream)).read(bytes),
            // Its bytes are not those of the system.
            #[cfg(feature = "tls")]
            Stream::Tls(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

macro_rules! delegate {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Tcp(inner) => {
                let $stream = Pin::new(inner);
                $call
            }
            #[cfg(unix)]
            Stream::Unix(inner) => {
                let $stream = Pin::new(inner);
                $call
            }
            #[cfg(feature = "tls")]
            Stream::Tls(inner) => {
                let $stream = Pin::new(&mut **inner);
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        delegate!(self, stream => stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, stream => stream.poll_write_vectored(cx, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            #[cfg(unix)]
            Self::Unix(stream) => stream.is_write_vectored(),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_shutdown(cx))
    }
}
