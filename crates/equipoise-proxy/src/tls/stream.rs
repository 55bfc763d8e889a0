use std::{
    fmt,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use rustls::ServerConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::session::TlsSession;

/// A TLS connection of a client.
///
/// The end of reading without an error means that the client has sent `close_notify`. If the connection ends without it,
/// reading fails with [`UnexpectedEof`](io::ErrorKind::UnexpectedEof), because somebody else may have cut off the end.
/// `shutdown` sends `close_notify` and closes the direction to the client. The other direction stays open.
pub struct TlsStream<Io> {
    /// Boxed because it is more than a kilobyte, and is moved several times.
    inner: Box<tokio_rustls::server::TlsStream<Io>>,
    session: Arc<TlsSession>,
}

impl<Io> TlsStream<Io> {
    pub(super) fn new(inner: tokio_rustls::server::TlsStream<Io>, session: TlsSession) -> Self {
        Self { inner: Box::new(inner), session: Arc::new(session) }
    }

    /// Returns what the handshake has agreed on.
    pub fn session(&self) -> &Arc<TlsSession> {
        &self.session
    }

    /// Returns the stream below, and the connection of rustls.
    pub fn get_ref(&self) -> (&Io, &ServerConnection) {
        self.inner.get_ref()
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<Io> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_read(cx, buffer)
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<Io> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.inner).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_shutdown(cx)
    }
}

impl<Io> fmt::Debug for TlsStream<Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").field("session", &self.session).finish_non_exhaustive()
    }
}
