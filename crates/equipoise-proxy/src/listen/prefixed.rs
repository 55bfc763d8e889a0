use std::{
    future::poll_fn,
    io::{self, IoSlice},
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream of which some bytes were read before, for example to find out for which server they are. Reads return these
/// bytes first.
#[derive(Debug)]
pub struct Prefixed<Io> {
    prefix: Bytes,
    io: Io,
}

impl<Io> Prefixed<Io> {
    /// Creates a stream. `prefix` is what was read from `io` and has not been used.
    #[must_use]
    pub const fn new(prefix: Bytes, io: Io) -> Self {
        Self { prefix, io }
    }

    /// Returns the bytes that the next reads return, and the stream behind them.
    #[must_use]
    pub fn into_parts(self) -> (Bytes, Io) {
        (self.prefix, self.io)
    }

    /// Returns the stream behind the bytes that were read before. `None` while some of these bytes have not been read
    /// again.
    pub fn inner(&self) -> Option<&Io> {
        self.prefix.is_empty().then_some(&self.io)
    }
}

/// The maximum number of bytes that [`read_more`] reads at once.
const ONE_READ: usize = 4096;

/// Reads bytes and appends them to `bytes`. Returns their number: 0 at the end of the stream. While none have arrived, it
/// needs no memory for them.
pub(crate) async fn read_more<Io: AsyncRead + Unpin>(io: &mut Io, bytes: &mut BytesMut) -> io::Result<usize> {
    poll_fn(|cx| {
        let mut buffer = [MaybeUninit::uninit(); ONE_READ];
        let mut buffer = ReadBuf::uninit(&mut buffer);
        ready!(Pin::new(&mut *io).poll_read(cx, &mut buffer))?;
        bytes.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    })
    .await
}

impl<Io: AsyncRead + Unpin> AsyncRead for Prefixed<Io> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buffer);
        }
        let count = self.prefix.len().min(buffer.remaining());
        buffer.put_slice(&self.prefix[..count]);
        self.prefix.advance(count);
        if self.prefix.is_empty() {
            // An empty slice keeps its whole buffer too.
            self.prefix = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Prefixed<Io> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn what_was_read_before_is_read_first() {
        let (mut client, server) = duplex(64);
        client.write_all(b"last").await.expect("open");
        let mut stream = Prefixed::new(Bytes::from_static(b"first"), server);
        let mut read = [0; 3];
        stream.read_exact(&mut read).await.expect("open");
        assert!(stream.inner().is_none());
        let mut rest = [0; 6];
        stream.read_exact(&mut rest).await.expect("open");
        assert_eq!([&read[..], &rest].concat(), b"firstlast");
        assert!(stream.inner().is_some());
    }
}
