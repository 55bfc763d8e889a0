//! A stream that counts as an open connection until it is dropped.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    bytes::ConnectionBytes,
    status::{CloseReason, Counters},
};
use crate::connect::Stream;

/// What the holder of a connection tells its socket. The socket itself is inside the HTTP implementation.
#[derive(Debug, Default)]
pub(crate) struct Control {
    counters: Arc<Counters>,
    /// Whether the handshakes have succeeded. Other connections are not counted.
    is_opened: AtomicBool,
    /// 0: no reason yet. Otherwise the index of a [`CloseReason`] plus 1.
    reason: AtomicU8,
    /// Whether the next read asks the system for input, without waiting for tokio's driver.
    asks_system: AtomicBool,
    /// Whether the system has not accepted all output so far.
    is_blocked: AtomicBool,
}

impl Control {
    /// Called when requests can be sent on the connection.
    pub(super) fn opened(&self) {
        self.is_opened.store(true, Ordering::Relaxed);
        self.counters.opened();
    }

    /// Sets why the connection will be closed. The first reason counts.
    pub(crate) fn close_because(&self, reason: CloseReason) {
        let _ = self.reason.compare_exchange(0, reason as u8 + 1, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Makes the next read ask the system whether the peer has closed the connection.
    pub(crate) fn ask_system(&self) {
        self.asks_system.store(true, Ordering::Relaxed);
    }

    /// Returns whether the system has not accepted all output so far.
    pub(super) fn is_blocked(&self) -> bool {
        self.is_blocked.load(Ordering::Relaxed)
    }

    pub(super) fn reason(&self) -> Option<CloseReason> {
        let index = self.reason.load(Ordering::Relaxed).checked_sub(1);
        index.and_then(|index| CloseReason::ALL.get(usize::from(index)).copied())
    }
}

/// `S` is the slot of the connection. It is dropped with the socket, so a tunnel counts as open until its end.
pub(super) struct Socket<S> {
    stream: Stream,
    control: Arc<Control>,
    otherwise: CloseReason,
    bytes: ConnectionBytes,
    _slot: S,
}

impl<S> Socket<S> {
    pub(super) fn new(
        stream: Stream,
        slot: S,
        counters: Arc<Counters>,
        otherwise: CloseReason,
    ) -> (Self, Arc<Control>) {
        let bytes = counters.connection_bytes();
        let control = Arc::new(Control { counters, ..Control::default() });
        (Self { stream, control: Arc::clone(&control), otherwise, bytes, _slot: slot }, control)
    }
}

impl<S> Socket<S> {
    /// Takes note of bytes that were written, or of output that the system does not accept.
    fn written(&mut self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = polled {
            self.bytes.sent(bytes);
        }
        self.noted(polled)
    }

    /// Takes note of output that the system does not accept.
    fn noted<T>(&self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.control.is_blocked.store(polled.is_pending(), Ordering::Relaxed);
        polled
    }
}

impl<S> Drop for Socket<S> {
    fn drop(&mut self) {
        if self.control.is_opened.load(Ordering::Relaxed) {
            self.control.counters.closed(self.control.reason().unwrap_or(self.otherwise));
        }
    }
}

impl<S: Unpin> AsyncRead for Socket<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let asks_system = self.control.asks_system.load(Ordering::Relaxed);
        if asks_system {
            self.control.asks_system.store(false, Ordering::Relaxed);
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let read = if asks_system && read.is_pending() { self.stream.poll_read_now(cx, buf) } else { read };
        self.bytes.received(buf.filled().len().saturating_sub(before));
        read
    }
}

impl<S: Unpin> AsyncWrite for Socket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.noted(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
