//! An HTTP/1.1 connection. No task runs it: the tasks of its requests do.
//!
//! hyper's connection is a future that does the I/O, the *driver*. It makes progress only while it is polled:
//!
//! | while | it is polled by | with the waker of |
//! | --- | --- | --- |
//! | it is being opened | the task that opens it, once ([`Http1::is_alive`]) | no task |
//! | it is idle | the sweep, and a request that needs an open one ([`Http1::is_open`]) | no task |
//! | a request waits for the head of its response | the task of the request ([`Http1::poll_response`]) | that task |
//! | the body of a response is not complete | the task that polls the body ([`Http1::drive`]) | that task |
//! | the head of a response has arrived before the request was sent | a task of its own ([`Http1::finish`]) | that task |
//! | it is a tunnel | a task of its own ([`Http1::into_tunnel`]) | that task |
//!
//! Request, response and body frames go through channels of hyper between the driver and the same task, so these
//! channels need no waker: after the driver was polled, they are polled too. Two rules follow:
//!
//! - The driver ends at most once ([`Http1::is_over`]) and is not polled again. What is still in its channels can then
//!   be received only after the driver was dropped.
//! - A connection that becomes idle forgets the waker of the last task ([`Http1::rest`]).

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures::task::AtomicWaker;
use http::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Responded, owner::Owner, socket::Control, status::CloseReason};
use crate::{body::RequestBody, error::ConnectError};

/// Does the I/O of a connection while it is polled. It ends when the connection is closed or has become a tunnel.
pub(crate) type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// An HTTP/1.1 connection, which carries one request at a time. Dropping it closes it.
pub(crate) struct Http1 {
    sender: http1::SendRequest<RequestBody>,
    /// Holds the socket, and is therefore dropped only with the connection: its reason to close may be set after its end.
    driver: Driver,
    /// The waker that the driver gets.
    waker: Waker,
    /// Passes the wake-ups of the driver on.
    relay: Arc<Relay>,
    /// Whether the driver has ended.
    is_over: bool,
    control: Arc<Control>,
    /// Only requests of this owner may use it.
    pub(super) owner: Owner,
    /// Held by the body of the request, until hyper drops it.
    upload: Arc<()>,
    /// Whether it was idle before. The server may have closed such a connection meanwhile.
    pub(crate) is_reused: bool,
    /// The number of requests that were sent.
    pub(super) requests: u64,
    /// When it became idle, in milliseconds of the coarse clock.
    pub(super) idle_since: u64,
    /// When its lifetime ends, in milliseconds of the coarse clock.
    pub(super) expires_at: u64,
    /// The generation of the endpoint's connections in which it was opened.
    pub(super) generation: u64,
}

/// Passes the wake-ups of a connection on to the task that polls it now. hyper hands requests and body frames over
/// through channels, which wake the other side. Here, both sides are the same task, which would be polled once more in
/// vain. The relay suppresses these wake-ups.
#[derive(Debug, Default)]
struct Relay {
    task: AtomicWaker,
    /// [`QUIET`] while wake-ups are suppressed, and [`WOKEN`] if there was one meanwhile.
    state: AtomicU8,
}

const QUIET: u8 = 1;
const WOKEN: u8 = 2;

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.fetch_or(WOKEN, Ordering::AcqRel) & QUIET == 0 {
            self.task.wake();
        }
    }
}

impl Http1 {
    pub(super) async fn handshake<S>(
        socket: S,
        control: Arc<Control>,
        max_response_head: u32,
        expires_at: u64,
        generation: u64,
        owner: Owner,
    ) -> Result<Self, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = http1::Builder::new();
        let shaken = builder.max_buf_size(max_response_head as usize).handshake(TokioIo::new(socket)).await;
        let (sender, connection) = shaken.map_err(|error| ConnectError::Handshake { source: error.into() })?;
        let driver: Driver = Box::pin(connection.with_upgrades());
        let relay = Arc::new(Relay::default());
        Ok(Self {
            sender,
            driver,
            waker: Arc::clone(&relay).into(),
            relay,
            is_over: false,
            control,
            owner,
            upload: Arc::default(),
            is_reused: false,
            requests: 0,
            idle_since: 0,
            expires_at,
            generation,
        })
    }

    /// Counts the connection as opened.
    pub(super) fn opened(&self) {
        self.control.opened();
    }

    /// Does what I/O is possible now. Returns whether the connection still works.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.is_over {
            self.relay.task.register(cx.waker());
            // An error is reported to the request too.
            self.is_over = self.driver.as_mut().poll(&mut Context::from_waker(&self.waker)).is_ready();
        }
        !self.is_over
    }

    /// Ends the wake-ups for the task that has polled the connection last.
    pub(crate) fn rest(&self) {
        drop(self.relay.task.take());
    }

    /// Calls `poll`, which exchanges something with the driver, without waking the own task. If it returns `Pending`, the
    /// wake-ups meanwhile are made up for, because the socket may have caused them.
    pub(crate) fn quietly<T>(&self, cx: &mut Context<'_>, poll: impl FnOnce() -> Poll<T>) -> Poll<T> {
        self.relay.state.store(QUIET, Ordering::Release);
        let polled = poll();
        let state = self.relay.state.swap(0, Ordering::AcqRel);
        if polled.is_pending() && state & WOKEN != 0 {
            cx.waker().wake_by_ref();
        }
        polled
    }

    /// Returns whether another request can be sent: the last one is complete in both directions, and the server has
    /// not closed the connection.
    pub(crate) fn is_ready(&self) -> bool {
        !self.is_over && self.sender.is_ready()
    }

    /// Returns whether a part of the request is not written yet.
    pub(crate) fn is_sending(&self) -> bool {
        Arc::strong_count(&self.upload) > 1 || self.control.is_blocked()
    }

    /// Drives the connection until the request and its response are complete, or the connection has ended.
    pub(crate) async fn finish(&mut self) {
        std::future::poll_fn(|cx| {
            let is_over = !self.drive(cx) || self.is_ready();
            if is_over { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Returns whether the connection is closed.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Returns whether an idle connection is still open.
    pub(super) fn is_alive(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()))
    }

    /// Makes the next read ask the system whether the server has closed the connection.
    pub(super) fn ask_system(&self) {
        self.control.ask_system();
    }

    /// Asks the system whether the server has closed an idle connection. Returns whether a request can be sent.
    pub(super) fn is_open(&mut self, cx: &mut Context<'_>) -> bool {
        self.ask_system();
        self.drive(cx) && self.is_ready()
    }

    /// Sets why the connection will be closed. It carries no further request.
    pub(crate) fn close_because(&self, reason: CloseReason) {
        self.control.close_because(reason);
    }

    pub(crate) fn control(&self) -> Arc<Control> {
        Arc::clone(&self.control)
    }

    /// Returns why the connection will be closed, if this is known already.
    pub(super) fn reason(&self) -> Option<CloseReason> {
        self.control.reason()
    }

    /// Begins to send a request. Poll the returned future with [`poll_response`](Self::poll_response).
    pub(crate) fn begin(&mut self, mut request: Request<RequestBody>) -> impl Future<Output = Responded> + use<> {
        self.requests += 1;
        request.body_mut().hold(Arc::clone(&self.upload) as _);
        self.rest();
        // Only the driver, in the same task, makes the response ready. So the response must not return `Pending` because
        // of tokio's budget.
        tokio::task::unconstrained(self.sender.try_send_request(request))
    }

    /// Drives the connection until the head of the response.
    pub(crate) fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
        mut response: Pin<&mut impl Future<Output = Responded>>,
    ) -> Poll<Responded> {
        self.drive(cx);
        // The response needs no waker, for the same reason.
        let silent = &mut Context::from_waker(Waker::noop());
        let polled = response.as_mut().poll(silent);
        if polled.is_pending() && self.is_over {
            self.discard_driver();
            return response.as_mut().poll(silent);
        }
        polled
    }

    /// Returns the request to its future if the driver has ended without taking it, because the server had closed the
    /// connection before. Until then, the driver holds the channel with the request.
    fn discard_driver(&mut self) {
        self.control.close_because(CloseReason::Peer);
        self.driver = Box::pin(std::future::ready(Ok(())));
    }

    /// Lets a connection that becomes a tunnel run by itself.
    pub(crate) fn into_tunnel(self) -> Option<Driver> {
        self.control.close_because(CloseReason::Tunnel);
        (!self.is_over).then_some(self.driver)
    }
}
