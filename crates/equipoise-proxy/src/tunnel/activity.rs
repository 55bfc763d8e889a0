use std::{
    io,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use crate::timing::sleep_until;

/// When a byte has last passed through a tunnel.
#[derive(Debug)]
pub(super) struct Activity {
    began: Instant,
    /// Milliseconds from `began` to the latest byte.
    latest: AtomicU64,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), latest: AtomicU64::new(0) }
    }

    fn note(&self) {
        let elapsed = self.began.elapsed().as_millis();
        self.latest.store(elapsed.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Waits until no byte has passed for `timeout`.
    pub(super) async fn idle(&self, timeout: Option<Duration>) {
        loop {
            let latest = self.began + Duration::from_millis(self.latest.load(Ordering::Relaxed));
            match timeout.and_then(|timeout| latest.checked_add(timeout)) {
                Some(end) if Instant::now() >= end => return,
                Some(end) => match sleep_until(end) {
                    Some(sleep) => sleep.await,
                    None => std::future::pending().await,
                },
                None => std::future::pending().await,
            }
        }
    }
}

/// One side of a tunnel. Notes when bytes are read from it or written to it.
#[derive(Debug)]
pub(super) struct Watched<'a, T> {
    inner: &'a mut T,
    activity: &'a Activity,
}

impl<'a, T> Watched<'a, T> {
    pub(super) fn new(inner: &'a mut T, activity: &'a Activity) -> Self {
        Self { inner, activity }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<'_, T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut *self.inner).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.activity.note();
        }
        result
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<'_, T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut *self.inner).poll_write(cx, buffer);
        if result.is_ready() {
            self.activity.note();
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
