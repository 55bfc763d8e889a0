//! The HTTP/2 connections of an endpoint. Each is run by a task and carries many requests.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::Poll,
};

use arc_swap::ArcSwap;
use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{clock::CoarseClock, slots::Slots, socket::Control, status::CloseReason};
use crate::{
    body::RequestBody,
    error::ConnectError,
    settings::{Pings, Settings},
};

/// How long no further connection is opened after an attempt has failed while other connections work, in milliseconds.
/// Without the pause, requests that wait for a stream would repeat the attempt all the time.
const PAUSE: u64 = 1_000;

/// The value of [`Http2Set::failed_at`] if no attempt has failed.
const NEVER: u64 = u64::MAX;

/// An HTTP/2 connection.
pub(super) struct Http2 {
    /// `None` when no more requests may be sent. The senders of hyper must not be kept longer: if a request is sent while
    /// the connection ends, it can be left in hyper's channel, and is returned only when all senders are gone.
    sender: Mutex<Option<http2::SendRequest<RequestBody>>>,
    control: Arc<Control>,
    /// The number of open streams that this crate knows of.
    streams: AtomicUsize,
    /// The maximum number of open streams: that of the settings, or that of the server if it is smaller.
    limit: AtomicUsize,
    requests: AtomicU64,
    /// When the last stream ended, in milliseconds of the coarse clock.
    idle_since: AtomicU64,
    /// When its lifetime ends, in milliseconds of the coarse clock.
    expires_at: u64,
    /// The generation of the endpoint's connections in which it was opened.
    generation: u64,
    /// Whether the server accepts extended CONNECT requests (RFC 8441).
    has_extended_connect: bool,
}

/// The HTTP/2 connections of one endpoint.
pub(super) struct Http2Set {
    list: ArcSwap<Vec<Arc<Http2>>>,
    changes: Mutex<()>,
    max_streams: usize,
    max_requests: Option<u64>,
    pings: Pings,
    /// When an attempt to open a connection has failed last, in milliseconds of the coarse clock.
    failed_at: AtomicU64,
    clock: Arc<CoarseClock>,
    /// Told when a stream may have become free.
    slots: Arc<Slots>,
}

/// One stream of a connection: the right to send one request on it.
pub(crate) struct Stream {
    open: OpenStream,
    /// Whether the connection has had earlier requests.
    is_reused: bool,
    sender: http2::SendRequest<RequestBody>,
}

/// A stream on which a request was sent. It counts until it is dropped.
pub(crate) struct OpenStream {
    connection: Arc<Http2>,
    set: Arc<Http2Set>,
}

impl Http2Set {
    pub(super) fn new(settings: &Settings, clock: Arc<CoarseClock>, slots: Arc<Slots>) -> Arc<Self> {
        Arc::new(Self {
            list: ArcSwap::default(),
            changes: Mutex::default(),
            max_streams: settings.max_streams,
            max_requests: settings.max_requests,
            pings: settings.pings,
            failed_at: AtomicU64::new(NEVER),
            clock,
            slots,
        })
    }

    /// Makes the HTTP/2 handshake, starts the task of the connection, and adds it to the set.
    pub(super) async fn handshake<S>(
        self: &Arc<Self>,
        socket: S,
        control: Arc<Control>,
        expires_at: u64,
        generation: u64,
    ) -> Result<(), ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        // No stream is opened before the server's limit is known.
        builder.timer(TokioTimer::new()).initial_max_send_streams(0);
        builder.keep_alive_interval(self.pings.interval);
        builder.keep_alive_timeout(self.pings.timeout).keep_alive_while_idle(self.pings.while_idle);
        let shaken = builder.handshake(TokioIo::new(socket)).await;
        let (sender, mut connection) = shaken.map_err(|error| ConnectError::Handshake { source: error.into() })?;
        let settings = std::future::poll_fn(|cx| {
            control.watch_input(cx.waker());
            let ended = std::pin::Pin::new(&mut connection).poll(cx);
            match ended {
                _ if connection.current_max_send_streams() > 0 => Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => Poll::Ready(Err("the peer has closed the connection".into())),
                Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
                Poll::Pending => Poll::Pending,
            }
        });
        settings.await.map_err(|source| ConnectError::Handshake { source })?;
        control.ignore_input();
        if self.pings.interval.is_some() {
            control.sends_pings();
        }
        let opened = Arc::new(Http2 {
            sender: Mutex::new(Some(sender)),
            control,
            streams: AtomicUsize::new(0),
            limit: AtomicUsize::new(self.max_streams.min(connection.current_max_send_streams())),
            requests: AtomicU64::new(0),
            idle_since: AtomicU64::new(self.clock.now()),
            expires_at,
            generation,
            has_extended_connect: connection.is_extended_connect_protocol_enabled(),
        });
        self.change(|list| list.push(Arc::clone(&opened)));
        // Weak, so that the connection ends when it is neither in the set nor in use.
        let (watched, set) = (Arc::downgrade(&opened), Arc::downgrade(self));
        let max_streams = self.max_streams;
        tokio::spawn(async move {
            let run = std::future::poll_fn(|cx| {
                let polled = std::pin::Pin::new(&mut connection).poll(cx);
                if let Some(opened) = watched.upgrade() {
                    let limit = max_streams.min(connection.current_max_send_streams());
                    if opened.limit.swap(limit, Ordering::Relaxed) < limit
                        && let Some(set) = set.upgrade()
                    {
                        set.slots.freed();
                    }
                }
                polled
            });
            // An error is reported to the requests too.
            let _ = run.await;
            if let (Some(ended), Some(set)) = (watched.upgrade(), set.upgrade()) {
                set.retire(&ended, CloseReason::Peer);
            }
        });
        Ok(())
    }

    /// Takes a stream of the connection with the fewest open streams. `None` if all are full. Serves no
    /// request that waits, so that it can be called under the lock of the queue.
    pub(super) fn take(self: &Arc<Self>) -> Option<Stream> {
        loop {
            let list = self.list.load();
            let free = list.iter().filter(|connection| connection.has_room());
            let connection = free.min_by_key(|connection| connection.streams.load(Ordering::Relaxed))?;
            let Some(sender) = connection.sender() else {
                // It was closed. Retired connections are no longer in the list that is loaded next.
                self.remove(connection, CloseReason::Peer);
                continue;
            };
            let limit = connection.limit.load(Ordering::Relaxed);
            let more = |streams| (streams < limit).then_some(streams + 1);
            if connection.streams.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
                continue;
            }
            let open = OpenStream { connection: Arc::clone(connection), set: Arc::clone(self) };
            let requests = connection.requests.fetch_add(1, Ordering::Relaxed) + 1;
            if self.max_requests.is_some_and(|max| requests >= max) {
                self.remove(connection, CloseReason::MaxRequests);
            }
            return Some(Stream { sender, open, is_reused: requests > 1 });
        }
    }

    /// Returns whether another connection should be opened, because the present ones are full or nearly so.
    pub(super) fn is_nearly_full(&self) -> bool {
        let list = self.list.load();
        let of = |value: fn(&Http2) -> &AtomicUsize| {
            list.iter().fold(0, |sum: usize, connection| sum.saturating_add(value(connection).load(Ordering::Relaxed)))
        };
        let (limit, streams) = (of(|connection| &connection.limit), of(|connection| &connection.streams));
        // One eighth is left.
        limit.saturating_sub(streams).saturating_mul(8) <= limit
    }

    /// Returns whether the endpoint has no connection that requests could use.
    pub(super) fn is_empty(&self) -> bool {
        self.list.load().is_empty()
    }

    /// Begins the pause after an attempt to open a connection has failed.
    pub(super) fn pause(&self) {
        self.failed_at.store(self.clock.tick(), Ordering::Relaxed);
    }

    /// Returns whether no connection should be opened, because an attempt has failed within [`PAUSE`] and other
    /// connections work.
    pub(super) fn is_paused(&self) -> bool {
        let failed_at = self.failed_at.load(Ordering::Relaxed);
        failed_at != NEVER && !self.is_empty() && self.clock.tick().saturating_sub(failed_at) < PAUSE
    }

    /// Takes the connections out of use for which `reason` returns a reason. Requests on them are finished.
    pub(super) fn retire_if(&self, mut reason: impl FnMut(&Http2) -> Option<CloseReason>) {
        for connection in self.list.load().iter() {
            if let Some(reason) = reason(connection) {
                self.retire(connection, reason);
            }
        }
    }

    /// Closes a connection without streams, if there is one, because its slot is needed.
    pub(super) fn retire_idle(&self) {
        let list = self.list.load();
        if let Some(idle) = list.iter().find(|connection| connection.idle_since().is_some()) {
            self.retire(idle, CloseReason::TooManyIdle);
        }
    }

    /// Takes a connection out of use. Requests that wait need another one.
    fn retire(&self, connection: &Arc<Http2>, reason: CloseReason) {
        self.remove(connection, reason);
        self.slots.freed();
    }

    fn remove(&self, connection: &Arc<Http2>, reason: CloseReason) {
        connection.control.close_because(reason);
        // Dropped after the lock is released.
        let sender = connection.sender.lock().take();
        drop(sender);
        self.change(|list| list.retain(|other| !Arc::ptr_eq(other, connection)));
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<Http2>>)) {
        let _only = self.changes.lock();
        let mut list = self.list.load().to_vec();
        change(&mut list);
        self.list.store(Arc::new(list));
    }
}

impl Http2 {
    fn has_room(&self) -> bool {
        self.streams.load(Ordering::Relaxed) < self.limit.load(Ordering::Relaxed)
    }

    /// Returns a sender, if requests may still be sent.
    fn sender(&self) -> Option<http2::SendRequest<RequestBody>> {
        self.sender.lock().clone().filter(|sender| !sender.is_closed())
    }

    pub(super) fn expires_at(&self) -> u64 {
        self.expires_at
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns since when the connection has no stream. `None` if it has one.
    pub(super) fn idle_since(&self) -> Option<u64> {
        (self.streams.load(Ordering::Relaxed) == 0).then(|| self.idle_since.load(Ordering::Relaxed))
    }
}

impl Stream {
    /// Returns whether the server accepts extended CONNECT requests.
    pub(crate) fn has_extended_connect(&self) -> bool {
        self.open.connection.has_extended_connect
    }

    /// Returns whether the connection has had earlier requests. The server may end such a connection at any time.
    pub(crate) fn is_reused(&self) -> bool {
        self.is_reused
    }

    /// Sends a request and waits for the head of the response. The stream counts until it is dropped.
    pub(crate) async fn send(
        self,
        request: Request<RequestBody>,
    ) -> (OpenStream, Result<Response<Incoming>, TrySendError<Request<RequestBody>>>) {
        let Self { mut sender, open, .. } = self;
        let response = sender.try_send_request(request);
        drop(sender);
        let response = response.await;
        if let Err(error) = &response
            && error.message().is_some()
        {
            // The connection takes no more requests.
            open.set.retire(&open.connection, CloseReason::Peer);
        }
        (open, response)
    }
}

impl OpenStream {
    /// Takes the connection out of use for further requests, because the stream has become a tunnel. Its end cannot be
    /// seen, so the connection would seem to have more free streams than it has.
    pub(crate) fn become_tunnel(&self) {
        self.set.retire(&self.connection, CloseReason::Tunnel);
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.connection.idle_since.store(self.set.clock.now(), Ordering::Relaxed);
        self.connection.streams.fetch_sub(1, Ordering::Relaxed);
        self.set.slots.freed();
    }
}
