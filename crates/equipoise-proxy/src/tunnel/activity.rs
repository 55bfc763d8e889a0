use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use crate::timing::{SharedInstant, sleep_until};

/// Waits until no byte has passed through a tunnel for `timeout`. `latest` is when the latest byte has passed.
pub(super) async fn idle(latest: &SharedInstant, timeout: Option<Duration>) {
    loop {
        match timeout.and_then(|timeout| latest.get().checked_add(timeout)) {
            Some(end) if Instant::now() >= end => return,
            Some(end) => match sleep_until(end) {
                Some(sleep) => sleep.await,
                None => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }
}

/// One side of a tunnel. Notes when bytes are read from it or written to it.
#[derive(Debug)]
pub(super) struct Watched<'a, T> {
    inner: &'a mut T,
    latest: &'a SharedInstant,
}

impl<'a, T> Watched<'a, T> {
    pub(super) fn new(inner: &'a mut T, latest: &'a SharedInstant) -> Self {
        Self { inner, latest }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<'_, T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut *self.inner).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.latest.touch();
        }
        result
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<'_, T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut *self.inner).poll_write(cx, buffer);
        if result.is_ready() {
            self.latest.touch();
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_shutdown(cx)
    }
}
