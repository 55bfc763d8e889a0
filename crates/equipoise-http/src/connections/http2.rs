//! The HTTP/2 connections of an endpoint. Each is run by a task and carries many requests.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use arc_swap::ArcSwap;
use equipoise_tower::FailureStage;
use http::Request;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    Responded,
    clock::CoarseClock,
    http2_driver::{Driver, Ended, Sender},
    owner::Owner,
    slots::Slots,
    socket::Control,
    status::CloseReason,
};
use crate::{
    body::RequestBody,
    error::ConnectError,
    settings::{MAX_WINDOW, Pings, Settings},
};

/// How long no further connection is opened after an attempt has failed while other connections work, in milliseconds.
/// Without the pause, requests that wait for a stream would repeat the attempt all the time.
const PAUSE: u64 = 1_000;

/// The value of [`Http2Set::failed_at`] if no attempt has failed.
const NEVER: u64 = u64::MAX;

/// How many connections are compared to find the one for a request. If there are more, the first one is chosen at
/// random, so that the time per request does not grow with the number of connections.
const COMPARED: usize = 16;

/// The value of [`Http2::streams`] if the connection is closed because its slot is needed.
const CLOSING: usize = usize::MAX;

/// Returns whether a connection has failed, instead of being closed by the server with GOAWAY.
fn is_failure(error: &hyper::Error) -> bool {
    FailureStage::of(error) != FailureStage::NotSent
}

/// An HTTP/2 connection.
pub(super) struct Http2 {
    /// `None` when no more requests may be sent. The senders of hyper must not be kept longer: if a request is sent while
    /// the connection ends, it can be left in hyper's channel, and is returned only when all senders are gone.
    sender: Mutex<Option<Sender>>,
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
    /// Only requests of this owner may use it. Its runtime is that of its task.
    owner: Owner,
    /// Whether the server accepts extended CONNECT requests (RFC 8441).
    has_extended_connect: bool,
}

/// The HTTP/2 connections of one endpoint.
pub(super) struct Http2Set {
    list: ArcSwap<Vec<Arc<Http2>>>,
    changes: Mutex<()>,
    max_streams: usize,
    /// The number of streams that a new connection is expected to have: the limit of the connection that was opened or
    /// has changed its limit last.
    expected_streams: AtomicUsize,
    max_requests: u64,
    stream_window: u32,
    max_response_head: u32,
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
    sender: Sender,
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
            expected_streams: AtomicUsize::new(settings.max_streams),
            max_requests: settings.max_requests.unwrap_or(u64::MAX),
            stream_window: settings.stream_window,
            max_response_head: settings.max_response_head,
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
        owner: Owner,
    ) -> Result<(), ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, mut driver) = Driver::handshake(socket, |builder| {
            builder.initial_stream_window_size(self.stream_window);
            builder.initial_connection_window_size(self.connection_window());
            builder.max_header_list_size(self.max_response_head);
            builder.keep_alive_interval(self.pings.interval);
            builder.keep_alive_timeout(self.pings.timeout).keep_alive_while_idle(self.pings.while_idle);
        })
        .await?;
        control.opened();
        let opened = Arc::new(Http2 {
            sender: Mutex::new(Some(sender)),
            control,
            streams: AtomicUsize::new(0),
            limit: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            idle_since: AtomicU64::new(self.clock.now()),
            expires_at,
            generation,
            owner,
            has_extended_connect: driver.has_extended_connect(),
        });
        let max_streams = self.max_streams;
        self.set_limit(&opened, max_streams.min(driver.max_streams()));
        self.change(|list| list.push(Arc::clone(&opened)));
        // Weak, so that the connection ends when it is neither in the set nor in use.
        let (watched, set) = (Arc::downgrade(&opened), Arc::downgrade(self));
        tokio::spawn(async move {
            let mut was_used = false;
            let run = std::future::poll_fn(|cx| {
                let opened = watched.upgrade();
                was_used = opened.as_ref().is_some_and(|opened| opened.is_used());
                let polled = driver.poll(cx);
                if let Some(opened) = opened {
                    let limit = max_streams.min(driver.max_streams());
                    if opened.limit.load(Ordering::Relaxed) != limit
                        && let Some(set) = set.upgrade()
                    {
                        set.set_limit(&opened, limit);
                        set.slots.freed();
                    }
                }
                polled
            });
            let ended = run.await;
            if let (Some(connection), Some(set)) = (watched.upgrade(), set.upgrade()) {
                let reason = match ended {
                    Ended::PingTimeout => CloseReason::PingTimeout,
                    // An error is reported to the requests too.
                    Ended::Closed(Err(error)) if was_used && is_failure(&error) => CloseReason::Failed,
                    Ended::Closed(_) => CloseReason::Peer,
                };
                set.retire(&connection, reason);
            }
            driver.finish().await;
        });
        Ok(())
    }

    /// Returns how many bytes of all responses together the server may send before they are read: as many as all streams
    /// may. If it were less, as with hyper's defaults (2 MiB of each stream, 5 MiB in all), three responses that are not
    /// read would stop all others on the connection.
    fn connection_window(&self) -> u32 {
        let streams = u32::try_from(self.max_streams).unwrap_or(u32::MAX);
        self.stream_window.saturating_mul(streams).min(MAX_WINDOW)
    }

    /// Sets the maximum number of streams of a connection. The next connection is expected to have the same, unless it is
    /// 0: then the server wants no more requests on this connection.
    fn set_limit(&self, connection: &Http2, limit: usize) {
        connection.limit.store(limit, Ordering::Relaxed);
        if limit > 0 {
            self.expected_streams.store(limit, Ordering::Relaxed);
        }
    }

    /// Returns how many streams a new connection is expected to have. At least 1.
    pub(super) fn expected_streams(&self) -> usize {
        self.expected_streams.load(Ordering::Relaxed)
    }

    /// Takes a stream of the connection of this owner with the fewest open streams. `None` if all are full. Its time is constant, unless
    /// many connections are full. Serves no request that waits, so that it can be called under the lock of the queue. The
    /// senders of connections that are no longer used are added to `ended`.
    pub(super) fn take(self: &Arc<Self>, owner: &Owner, ended: &mut Vec<Sender>) -> Option<Stream> {
        loop {
            let list = self.list.load();
            let connection = self.emptiest(&list, owner)?;
            let Some(sender) = connection.sender() else {
                // It was closed. Retired connections are no longer in the list that is loaded next.
                ended.extend(self.remove(connection, CloseReason::Peer));
                continue;
            };
            let limit = connection.limit.load(Ordering::Relaxed);
            // `then`, not `then_some`: `CLOSING + 1` would overflow.
            let more = |streams: usize| (streams < limit).then(|| streams + 1);
            if connection.streams.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
                continue;
            }
            let more = |requests| (requests < self.max_requests).then_some(requests + 1);
            let Ok(earlier) = connection.requests.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) else {
                connection.streams.fetch_sub(1, Ordering::Relaxed);
                continue;
            };
            let open = OpenStream { connection: Arc::clone(connection), set: Arc::clone(self) };
            if earlier + 1 >= self.max_requests {
                ended.extend(self.remove(connection, CloseReason::MaxRequests));
            }
            return Some(Stream { sender, open, is_reused: earlier > 0 });
        }
    }

    /// Returns the connection of this owner with the fewest open streams, among [`COMPARED`] ones, or the first one with
    /// a free stream if all of these are full.
    fn emptiest<'a>(&self, list: &'a [Arc<Http2>], owner: &Owner) -> Option<&'a Arc<Http2>> {
        let first = if list.len() > COMPARED { rand::random_range(0..list.len()) } else { 0 };
        let mut emptiest: Option<(usize, &Arc<Http2>)> = None;
        for (at, connection) in list[first..].iter().chain(&list[..first]).enumerate() {
            if at >= COMPARED && emptiest.is_some() {
                break;
            }
            let streams = connection.streams.load(Ordering::Relaxed);
            let is_free = connection.owner == *owner
                && streams < connection.limit.load(Ordering::Relaxed)
                && connection.requests.load(Ordering::Relaxed) < self.max_requests;
            if is_free && emptiest.is_none_or(|(least, _)| streams < least) {
                emptiest = Some((streams, connection));
            }
        }
        emptiest.map(|(_, connection)| connection)
    }

    /// Returns whether another connection should be opened, because there is none that takes requests, or the one with
    /// the fewest streams, from which this stream was taken, is nearly full.
    pub(super) fn is_nearly_full(&self, taken: &Stream) -> bool {
        let connection = &taken.open.connection;
        let (limit, streams) = (connection.limit.load(Ordering::Relaxed), connection.streams.load(Ordering::Relaxed));
        // One eighth is left.
        limit.saturating_sub(streams).saturating_mul(8) <= limit || self.is_empty(&connection.owner)
    }

    /// Returns whether there is no connection that requests of this owner could use.
    pub(super) fn is_empty(&self, owner: &Owner) -> bool {
        !self.list.load().iter().any(|connection| connection.owner == *owner)
    }

    /// Begins the pause after an attempt to open a connection has failed.
    pub(super) fn pause(&self) {
        self.failed_at.store(self.clock.tick(), Ordering::Relaxed);
    }

    /// Returns whether no connection should be opened for this owner, because an attempt has failed within [`PAUSE`] and
    /// other connections of the owner work.
    pub(super) fn is_paused(&self, owner: &Owner) -> bool {
        let failed_at = self.failed_at.load(Ordering::Relaxed);
        failed_at != NEVER && !self.is_empty(owner) && self.clock.tick().saturating_sub(failed_at) < PAUSE
    }

    /// Ends a pause whose time is over. Returns whether there was one: requests may wait for its end.
    pub(super) fn end_pause(&self) -> bool {
        let failed_at = self.failed_at.load(Ordering::Relaxed);
        failed_at != NEVER
            && self.clock.now().saturating_sub(failed_at) >= PAUSE
            && self.failed_at.compare_exchange(failed_at, NEVER, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Takes the connections out of use for which `reason` returns a reason. Requests on them are finished.
    pub(super) fn retire_if(&self, mut reason: impl FnMut(&Http2) -> Option<CloseReason>) {
        for connection in self.list.load().iter() {
            if let Some(reason) = reason(connection) {
                self.retire(connection, reason);
            }
        }
    }

    /// Closes connections without streams, at most so many, because their slots are needed. Adds a sender of each to
    /// `ended`.
    pub(super) fn close_idle(&self, most: usize, ended: &mut Vec<Sender>) {
        let most = ended.len() + most;
        for connection in self.list.load().iter() {
            if ended.len() >= most {
                break;
            }
            // From now on, no stream can be taken, so the connection does close.
            let claim = connection.streams.compare_exchange(0, CLOSING, Ordering::Relaxed, Ordering::Relaxed);
            if claim.is_ok() {
                ended.extend(self.remove(connection, CloseReason::TooManyIdle));
            }
        }
    }

    /// Takes a connection out of use. Requests that wait need another one.
    fn retire(&self, connection: &Arc<Http2>, reason: CloseReason) {
        drop(self.remove(connection, reason));
        self.slots.freed();
    }

    /// Removes a connection from the set. Returns its sender. `None` if it was removed before.
    fn remove(&self, connection: &Arc<Http2>, reason: CloseReason) -> Option<Sender> {
        connection.control.close_because(reason);
        self.change(|list| list.retain(|other| !Arc::ptr_eq(other, connection)));
        connection.sender.lock().take()
    }

    /// Returns the number of connections without streams.
    pub(super) fn idle(&self) -> usize {
        self.list.load().iter().filter(|connection| !connection.is_used()).count()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.list.load().len()
    }

    #[cfg(test)]
    pub(super) fn has_room(&self, owner: &Owner) -> bool {
        self.emptiest(&self.list.load(), owner).is_some()
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<Http2>>)) {
        let _only = self.changes.lock();
        let mut list = self.list.load().to_vec();
        change(&mut list);
        self.list.store(Arc::new(list));
    }
}

impl Http2 {
    /// Returns a sender, if requests may still be sent.
    fn sender(&self) -> Option<Sender> {
        self.sender.lock().clone().filter(|sender| !sender.is_closed())
    }

    /// Returns whether it has streams.
    fn is_used(&self) -> bool {
        self.streams.load(Ordering::Relaxed) > 0
    }

    pub(super) fn expires_at(&self) -> u64 {
        self.expires_at
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns since when the connection has no stream. `None` if it has one.
    pub(super) fn idle_since(&self) -> Option<u64> {
        (!self.is_used()).then(|| self.idle_since.load(Ordering::Relaxed))
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

    /// Begins to send a request. The returned future ends with the head of the response. The stream counts until it is
    /// dropped, and until the body of the request was sent.
    pub(crate) fn begin(self, mut request: Request<RequestBody>) -> (Arc<OpenStream>, impl Future<Output = Responded>) {
        let Self { mut sender, open, .. } = self;
        let open = Arc::new(open);
        request.body_mut().hold(Arc::clone(&open) as _);
        (open, sender.try_send_request(request))
    }
}

impl OpenStream {
    /// Takes the connection out of use, because it takes no more requests.
    pub(crate) fn retire(&self) {
        self.set.retire(&self.connection, CloseReason::Peer);
    }

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
