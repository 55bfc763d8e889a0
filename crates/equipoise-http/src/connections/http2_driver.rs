//! Drives an HTTP/2 connection in one task.
//!
//! hyper makes two futures of a connection: one does the I/O, the other one opens streams for requests. It would spawn the
//! first one. Here, one task polls both:
//!
//! - h2 wakes only the first one when the server sends GOAWAY or changes its limit on streams. The second one has to
//!   learn it at once, because a request must not be sent after GOAWAY.
//! - While the second one opens a stream, no GOAWAY is read. Otherwise, hyper could report GOAWAY for a request that the
//!   server may process, as if the server had refused it.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use hyper::{
    client::conn::http2::{Builder, Connection, SendRequest},
    rt::Executor,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{body::RequestBody, error::ConnectError};

/// hyper's end of a connection that sends requests. The last one that is dropped wakes the task of the connection, so it
/// is dropped while the queue is not locked.
pub(super) type Sender = SendRequest<RequestBody>;

/// A future that hyper spawns.
type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Spawns the futures of a connection, except the first one: it does the I/O, and hyper spawns it in the handshake.
#[derive(Clone, Default)]
pub(super) struct Tasks(Arc<OnceLock<Mutex<Option<Task>>>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, future: F) {
        if self.0.get().is_none() {
            // hyper has no other thread yet.
            self.0.get_or_init(|| Mutex::new(Some(Box::pin(future))));
        } else {
            tokio::spawn(future);
        }
    }
}

/// Why a connection takes no more requests.
pub(super) enum Ended {
    /// It was closed by the server or by this side, or has failed.
    Closed(hyper::Result<()>),
    /// The server has not answered a PING.
    PingTimeout,
}

/// Both futures of a connection. Dropping it closes the connection.
pub(super) struct Driver<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    /// Holds the socket, and is therefore dropped only with the connection: its reason to close may be set after its end.
    io: Task,
    is_io_over: bool,
    requests: Connection<TokioIo<S>, RequestBody, Tasks>,
}

impl<S> Driver<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    /// Makes the HTTP/2 handshake, and waits for the limit on streams that the server announces.
    pub(super) async fn handshake(
        socket: S,
        configure: impl FnOnce(&mut Builder<Tasks>),
    ) -> Result<(Sender, Self), ConnectError> {
        let tasks = Tasks::default();
        let mut builder = Builder::new(tasks.clone());
        // No stream is opened before the server's limit is known.
        builder.timer(TokioTimer::new()).initial_max_send_streams(0);
        configure(&mut builder);
        let shaken = builder.handshake(TokioIo::new(socket)).await;
        let (sender, requests) = shaken.map_err(|error| ConnectError::Handshake { source: error.into() })?;
        let io = tasks.0.get().and_then(|io| io.lock().take());
        let io = io.ok_or_else(|| ConnectError::Handshake { source: "hyper has spawned no task".into() })?;
        let mut driver = Self { io, is_io_over: false, requests };
        let announced = std::future::poll_fn(|cx| {
            let ended = driver.poll(cx);
            match ended {
                _ if driver.max_streams() > 0 => Poll::Ready(Ok(())),
                Poll::Ready(Ended::Closed(Err(error))) => Poll::Ready(Err(error.into())),
                Poll::Ready(_) => Poll::Ready(Err("the peer has closed the connection".into())),
                Poll::Pending => Poll::Pending,
            }
        });
        announced.await.map_err(|source| ConnectError::Handshake { source })?;
        Ok((sender, driver))
    }

    /// Returns how many streams the server allows at a time. 0 if this is not known yet.
    pub(super) fn max_streams(&self) -> usize {
        self.requests.current_max_send_streams()
    }

    /// Returns whether the server accepts extended CONNECT requests (RFC 8441).
    pub(super) fn has_extended_connect(&self) -> bool {
        self.requests.is_extended_connect_protocol_enabled()
    }

    /// Does what is possible now. Ready when no more requests can be sent.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        if !self.is_io_over {
            self.is_io_over = self.io.as_mut().poll(cx).is_ready();
        }
        match Pin::new(&mut self.requests).poll(cx) {
            Poll::Ready(ended) => Poll::Ready(Ended::Closed(ended)),
            // Only then, hyper ends the I/O without an error of the connection.
            Poll::Pending if self.is_io_over => Poll::Ready(Ended::PingTimeout),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Finishes the requests that were sent, when no more can be sent.
    pub(super) async fn finish(self) {
        // What is left in the channel of the requests is returned.
        drop(self.requests);
        if !self.is_io_over {
            self.io.await;
        }
    }
}
