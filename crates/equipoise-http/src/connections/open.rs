//! Opening connections, in tasks of their own.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering},
};

use futures::FutureExt;
use tokio::{runtime::Handle, time::timeout};

use super::{
    clock::millis,
    http1::Http1,
    owner::{Client, Owner},
    pool::{Connection, Connections},
    queue::{Entry, Lane, Queue},
    slots::{Slot, Want},
    socket::Socket,
    status::CloseReason,
};
#[cfg(feature = "tls")]
use crate::origin::Place;
#[cfg(feature = "http2")]
use crate::settings::Version;
use crate::{
    connect::{Options, Stream, dial},
    error::ConnectError,
};

/// An attempt to open a connection.
pub(super) struct Opening {
    connections: Arc<Connections>,
    lane: Lane,
    /// Its number in the queue, which counts it until it has ended.
    number: u64,
    runtime: Handle,
    /// Taken when the attempt begins.
    slot: Option<Slot>,
    has_ended: bool,
}

impl Opening {
    /// Makes the attempt in a task.
    pub(super) fn start(mut self) {
        let runtime = self.runtime.clone();
        runtime.spawn(async move {
            let Some(slot) = self.slot.take() else { return };
            let connections = Arc::clone(&self.connections);
            connections.sweep();
            // No sweep has advanced the clock while there was no connection.
            connections.clock.tick();
            let limit = connections.settings.connect_timeout;
            // A panic is one of the user's resolver.
            let opened = AssertUnwindSafe(connections.open(&self.lane, slot)).catch_unwind();
            let opened = match timeout(limit, opened).await {
                Ok(opened) => opened.unwrap_or(Err(ConnectError::Aborted)),
                Err(_) => Err(ConnectError::TimedOut { timeout: limit }),
            };
            self.has_ended = true;
            connections.ended(&self, opened);
        });
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        if !self.has_ended {
            // The slot becomes free first.
            self.slot = None;
            self.connections.ended(self, Err(ConnectError::Aborted));
        }
    }
}

impl Connections {
    /// Returns whether the server selects the HTTP version.
    pub(super) fn server_selects(&self) -> bool {
        #[cfg(feature = "http2")]
        return self.origin.is_tls && self.settings.version == Version::Auto;
        #[cfg(not(feature = "http2"))]
        false
    }

    /// Returns whether requests with this want share a connection that is opened for them, as far as it is known.
    #[cfg(feature = "http2")]
    fn is_shared(&self, want: Want) -> bool {
        want == Want::Any && !self.speaks_http1()
    }

    /// Returns how many requests a connection is expected to serve at once that is opened for this want. If it is one,
    /// each request needs its own attempt.
    pub(super) fn served_by_one(&self, want: Want) -> usize {
        #[cfg(feature = "http2")]
        if self.is_shared(want) {
            return self.http2.expected_streams();
        }
        let _ = want;
        1
    }

    /// Begins to open a connection for requests that wait, if they need one and a slot is free. The caller starts the
    /// attempt after it has unlocked the queue.
    pub(super) fn begin_opening(self: &Arc<Self>, queue: &mut Queue<Connection>) -> Option<Opening> {
        let lane = self.needs_opening(queue)?.0.clone();
        let runtime = queue.runtime(&lane)?;
        let slot = self.slots.take()?;
        Some(self.opening(queue, lane, slot, runtime))
    }

    /// Returns the lane for which a connection should be opened next, and how many are missing for it.
    fn needs_opening<'q>(&self, queue: &'q Queue<Connection>) -> Option<(&'q Lane, usize)> {
        let missing = |lane: &Lane| {
            let each = self.served_by_one(lane.want);
            let missing = queue.uncovered(lane, each).div_ceil(each);
            #[cfg(feature = "http2")]
            if missing > 0 && self.is_shared(lane.want) && self.http2.is_paused(&lane.owner) {
                return 0;
            }
            missing
        };
        let lane = queue.first(|lane| missing(lane) > 0)?;
        Some((lane, missing(lane)))
    }

    fn opening(self: &Arc<Self>, queue: &mut Queue<Connection>, lane: Lane, slot: Slot, runtime: Handle) -> Opening {
        let number = queue.begin_opening(&lane, &runtime, self.clock.tick());
        Opening { connections: Arc::clone(self), lane, number, runtime, slot: Some(slot), has_ended: false }
    }

    /// Opens the connections that waiting requests need, as far as slots are free. If none is free, idle connections are
    /// closed that these requests cannot use.
    pub(super) fn open_for_waiting(self: &Arc<Self>) {
        loop {
            // Not in the condition of the loop, which would lock the queue while the attempt starts.
            let begun = self.begin_opening(&mut self.queue.lock());
            match begun {
                Some(opening) => opening.start(),
                None => break,
            }
        }
        self.make_room();
    }

    /// Waiting requests may need slots that are held by idle connections of the other HTTP version, or of another runtime.
    /// Closes such connections. The requests would have got any that they can use.
    fn make_room(&self) {
        let mut idle = Vec::new();
        #[cfg(feature = "http2")]
        let mut ended = Vec::new();
        {
            let mut queue = self.queue.lock();
            let Some((_, missing)) = self.needs_opening(&queue) else { return };
            let missing = missing.saturating_sub(queue.closing());
            idle.extend(std::iter::from_fn(|| self.idle.shift()).take(missing));
            queue.begin_closing(idle.len());
            #[cfg(feature = "http2")]
            {
                self.http2.close_idle(missing - idle.len(), &mut ended);
                queue.begin_closing(ended.len());
            }
        }
        // Each slot that becomes free is given to the requests that wait.
        for connection in idle {
            connection.close_because(CloseReason::TooManyIdle);
        }
    }

    /// Opens another HTTP/2 connection before the present ones are full, unless requests wait for its slot. Does nothing
    /// outside a tokio runtime.
    #[cfg(feature = "http2")]
    pub(super) fn open_ahead(self: &Arc<Self>, owner: Owner) {
        if self.slots.open() >= self.settings.max_connections || self.slots.has_waiting() {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        let lane = Lane { want: Want::Any, owner };
        if self.http2.is_paused(&lane.owner) {
            return;
        }
        let opening = {
            let mut queue = self.queue.lock();
            let slot = if queue.opening(&lane) == 0 { self.slots.take() } else { None };
            slot.map(|slot| self.opening(&mut queue, lane, slot, runtime))
        };
        if let Some(opening) = opening {
            opening.start();
        }
    }

    /// Opens the first connections, in tasks. Does nothing outside a tokio runtime.
    pub(crate) fn warm(self: &Arc<Self>) {
        if let Ok(runtime) = Handle::try_current()
            && !self.is_warm.swap(true, Ordering::Relaxed)
        {
            self.prewarm(&runtime);
        }
    }

    /// Opens connections until the configured number is open or being opened. While the endpoint may speak HTTP/2, that
    /// is one, because others follow before it is full.
    fn prewarm(self: &Arc<Self>, runtime: &Handle) {
        let settings = &self.settings;
        let most = settings.prewarm.min(settings.max_connections);
        let most = if self.speaks_http1() { most.min(settings.max_idle) } else { most.min(1) };
        for _ in self.slots.open()..most {
            let lane = Lane { want: Want::Any, owner: Owner::runtime(runtime.id()) };
            let opening = {
                let mut queue = self.queue.lock();
                self.slots.take().map(|slot| self.opening(&mut queue, lane, slot, runtime.clone()))
            };
            let Some(opening) = opening else { return };
            opening.start();
        }
    }

    /// Ends an attempt to open a connection. If it has failed, requests with nothing else to wait for get the error.
    fn ended(self: &Arc<Self>, opening: &Opening, opened: Result<(), ConnectError>) {
        let lane = &opening.lane;
        let failed: Vec<Entry<Connection>> = {
            let mut queue = self.queue.lock();
            let counted = queue.end_opening(lane, opening.number);
            match &opened {
                Ok(()) => Vec::new(),
                // The runtime has ended. Another attempt there would end at once, too.
                Err(_) if !opening.has_ended => queue.take(lane),
                Err(_) => {
                    let victims = self.victims(&queue, lane, counted);
                    std::iter::from_fn(|| queue.pop(lane)).take(victims).collect()
                }
            }
        };
        if let Err(error) = opened {
            self.counters.failed();
            let error = Arc::new(error);
            // A request that cannot be told was given up.
            failed.into_iter().for_each(|request| drop(request.answer(Err(Arc::clone(&error)))));
        }
        self.slots.freed();
    }

    /// Returns how many requests a failed attempt ends: those that it was expected to serve if it still `counted`, unless
    /// other attempts are expected to serve them too. So each attempt that fails ends requests, until none needs another
    /// attempt.
    fn victims(&self, queue: &Queue<Connection>, lane: &Lane, counted: bool) -> usize {
        #[cfg(feature = "http2")]
        if self.is_shared(lane.want) && !self.http2.is_empty(&lane.owner) {
            // The requests wait for a stream of another connection.
            self.http2.pause();
            return 0;
        }
        let each = self.served_by_one(lane.want);
        if counted { queue.uncovered(lane, each).min(each) } else { 0 }
    }

    /// Opens a connection, and gives it to a waiting request or stores it.
    async fn open(self: &Arc<Self>, lane: &Lane, slot: Slot) -> Result<(), ConnectError> {
        let generation = self.generation();
        let owner = lane.owner.clone();
        let (stream, is_http2) =
            self.connect(self.protocols(lane.want), owner.client.as_ref().map(Client::header)).await?;
        #[cfg(feature = "http2")]
        {
            let must_be_http2 = self.settings.version == Version::Http2;
            if self.origin.is_tls && must_be_http2 && !is_http2 {
                return Err(ConnectError::NoHttp2);
            }
            if is_http2 || must_be_http2 {
                let (socket, control) = Socket::new(stream, slot, Arc::clone(&self.counters), CloseReason::Peer);
                self.learn(true);
                self.http2.handshake(socket, control, self.expiry(), generation, owner).await?;
                // All connections may have been closed meanwhile.
                if self.generation() != generation {
                    self.close_idle();
                }
                return Ok(());
            }
        }
        let _ = is_http2;
        let (socket, control) = Socket::new(stream, slot, Arc::clone(&self.counters), CloseReason::Abandoned);
        let max_head = self.settings.max_response_head;
        let mut connection = Http1::handshake(socket, control, max_head, self.expiry(), generation, owner).await?;
        if !connection.is_alive() {
            return Err(ConnectError::Handshake { source: "the peer has closed the connection".into() });
        }
        connection.opened();
        #[cfg(feature = "http2")]
        if lane.want == Want::Any && !self.speaks_http1() {
            self.learn(false);
            if self.is_warm.load(Ordering::Relaxed) {
                self.prewarm(&Handle::current());
            }
        }
        self.put_back(connection);
        Ok(())
    }

    /// Returns the protocols that are offered by ALPN.
    fn protocols(&self, want: Want) -> &'static [&'static [u8]] {
        #[cfg(feature = "http2")]
        match self.settings.version {
            Version::Auto if want == Want::Any => return &[b"h2", b"http/1.1"],
            Version::Http2 => return &[b"h2"],
            _ => {}
        }
        let _ = want;
        &[b"http/1.1"]
    }

    /// Opens a stream of bytes to the endpoint, with TLS if its address demands it. Returns whether the server has
    /// selected HTTP/2 among `protocols`. `first` is sent before anything else.
    async fn connect(&self, protocols: &[&[u8]], first: Option<&[u8]>) -> Result<(Stream, bool), ConnectError> {
        let settings = &self.settings;
        let options = Options { nodelay: settings.nodelay, keep_alive: settings.tcp_keep_alive };
        #[cfg_attr(not(feature = "proxy-protocol"), expect(unused_mut, reason = "nothing is sent before TLS"))]
        let secure = async |mut stream: Stream| {
            #[cfg(feature = "proxy-protocol")]
            if let Some(first) = first {
                let sent = tokio::io::AsyncWriteExt::write_all(&mut stream, first).await;
                sent.map_err(|source| ConnectError::ProxyHeader { source })?;
            }
            let _ = first;
            #[cfg(feature = "tls")]
            if let Place::Tcp { host, .. } = &self.origin.place
                && self.origin.is_tls
            {
                return settings.tls.handshake(stream, host, protocols).await;
            }
            let _ = protocols;
            Ok((stream, false))
        };
        dial(&self.origin.place, &*settings.resolver, options, secure).await
    }

    /// Returns when the lifetime of a connection ends that is opened now.
    fn expiry(&self) -> u64 {
        let Some(lifetime) = self.settings.max_lifetime else { return u64::MAX };
        let lifetime = millis(lifetime);
        self.clock.tick().saturating_add(lifetime - rand::random_range(0..=lifetime / 10))
    }
}
