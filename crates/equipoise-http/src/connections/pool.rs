use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

#[cfg(feature = "http2")]
use std::sync::atomic::AtomicU8;

use parking_lot::Mutex;
use tokio::runtime::Handle;

#[cfg(feature = "http2")]
use super::http2::{Http2Set, Stream as Http2Stream};
use super::{
    clock::CoarseClock,
    http1::Http1,
    idle::Idle,
    owner::{Client, Owner},
    queue::Queue,
    slots::{Slots, Want},
    status::{CloseReason, ConnectionStatus, Counters},
};
#[cfg(feature = "http2")]
use crate::settings::Version;
use crate::{
    error::{ConnectError, Error},
    origin::Origin,
    settings::Settings,
};

/// The values of [`Connections::known`].
#[cfg(feature = "http2")]
const UNKNOWN: u8 = 0;
#[cfg(feature = "http2")]
const HTTP1: u8 = 1;
#[cfg(feature = "http2")]
const HTTP2: u8 = 2;

/// What a request needs of its connection.
#[derive(Clone, Debug)]
pub(crate) struct Demand {
    /// Whether the system is asked if an idle HTTP/1.1 connection is still open.
    pub(crate) is_checked: bool,
    /// Whether the connection must be one of HTTP/1.1, if the endpoint can be asked for it.
    pub(crate) is_http1: bool,
    /// Whether the request is sent again, because the connection that it had was closed. It is then served before those
    /// that have had none.
    pub(crate) is_again: bool,
    /// The header of the PROXY protocol with which its connection must have begun, if connections begin with one.
    pub(crate) client: Option<Client>,
}

/// What a request is sent on.
pub(crate) enum Connection {
    Http1(Http1),
    #[cfg(feature = "http2")]
    Http2(Http2Stream),
}

/// The connections to one endpoint.
///
/// A request takes an idle connection or a stream ([`connection`](Self::connection)). If there is none, or if other
/// requests wait already, it joins the queue ([`wait`](Self::wait)). Connections are opened by tasks, and belong to no
/// request: each goes to the request that has waited longest, or becomes idle. Whatever becomes free is given to the
/// queue by [`serve`](super::slots::Serve::serve).
pub(crate) struct Connections {
    pub(crate) origin: Origin,
    pub(crate) settings: Settings,
    pub(super) slots: Arc<Slots>,
    /// The requests that wait. While it is locked, nothing may be dropped or called that can lead to
    /// [`Slots::freed`], which locks it too.
    pub(super) queue: Mutex<Queue<Connection>>,
    pub(super) idle: Idle<Http1>,
    pub(super) counters: Arc<Counters>,
    pub(super) clock: Arc<CoarseClock>,
    /// The HTTP version that the endpoint speaks, as far as it is known.
    #[cfg(feature = "http2")]
    known: AtomicU8,
    #[cfg(feature = "http2")]
    pub(super) http2: Arc<Http2Set>,
    /// Incremented when all connections must be closed. A connection of an earlier generation is closed when it becomes
    /// idle.
    generation: AtomicU64,
    /// Whether a task sweeps the idle connections.
    pub(super) is_swept: AtomicBool,
    /// Whether the first connections were opened, or are being opened.
    pub(super) is_warm: AtomicBool,
}

impl Connections {
    pub(crate) fn new(origin: Origin, settings: Settings) -> Arc<Self> {
        #[cfg(feature = "proxy-protocol")]
        let settings = match settings.proxy_protocol {
            // The clients are not known before their requests.
            Some(_) => settings.prewarm(0),
            None => settings,
        };
        Arc::new_cyclic(|this: &Weak<Self>| {
            let server: Weak<Self> = this.clone();
            let clock = Arc::new(CoarseClock::new());
            let slots = Slots::new(settings.max_connections, server);
            Self {
                #[cfg(feature = "http2")]
                known: AtomicU8::new(match settings.version {
                    Version::Auto if origin.is_tls => UNKNOWN,
                    Version::Http2 => HTTP2,
                    _ => HTTP1,
                }),
                #[cfg(feature = "http2")]
                http2: Http2Set::new(&settings, Arc::clone(&clock), Arc::clone(&slots)),
                queue: Mutex::new(Queue::new(Arc::clone(&slots))),
                slots,
                idle: Idle::new(settings.max_idle),
                counters: Arc::default(),
                clock,
                generation: AtomicU64::new(0),
                is_swept: AtomicBool::new(false),
                is_warm: AtomicBool::new(settings.prewarm == 0),
                origin,
                settings,
            }
        })
    }

    /// Returns whether requests without a special demand go over HTTP/1.1.
    pub(super) fn speaks_http1(&self) -> bool {
        #[cfg(feature = "http2")]
        return self.known.load(Ordering::Relaxed) == HTTP1;
        #[cfg(not(feature = "http2"))]
        true
    }

    /// Stores which version the server has selected.
    #[cfg(feature = "http2")]
    pub(super) fn learn(&self, is_http2: bool) {
        self.known.store(if is_http2 { HTTP2 } else { HTTP1 }, Ordering::Relaxed);
    }

    /// Returns a connection for one request, with the HTTP version of the endpoint. `waited` is how long the request has
    /// waited for connections.
    pub(crate) async fn connection(
        self: &Arc<Self>,
        demand: Demand,
        waited: &mut Duration,
    ) -> Result<Connection, Error> {
        if !self.is_warm.load(Ordering::Relaxed) {
            self.warm();
        }
        let runtime = Handle::try_current().map_err(|_| ConnectError::Aborted)?.id();
        let owner = Owner { runtime, client: demand.client.clone() };
        // Elsewhere, the version does not depend on the request.
        let want = if demand.is_http1 && self.server_selects() { Want::Http1 } else { Want::Any };
        let free = std::future::poll_fn(|cx| Poll::Ready(self.take_free(cx, want, &owner, demand.is_checked)));
        match free.await {
            Some(connection) => Ok(connection),
            // The future of what is rare is large. A box keeps it out of the future of each request.
            None => Box::pin(self.wait(want, demand, waited)).await,
        }
    }

    /// Returns what is free now, unless other requests wait for it.
    fn take_free(self: &Arc<Self>, cx: &mut Context<'_>, want: Want, owner: &Owner, check: bool) -> Option<Connection> {
        let speaks_http1 = self.speaks_http1();
        if self.slots.waiting(want) > 0 || (speaks_http1 && self.slots.has_waiting()) {
            return None;
        }
        #[cfg(feature = "http2")]
        if want == Want::Any && !speaks_http1 {
            let stream = self.http2.take(owner, &mut Vec::new())?;
            if self.http2.is_nearly_full(&stream) {
                self.open_ahead(owner.clone());
            }
            return Some(Connection::Http2(stream));
        }
        loop {
            let mut connection = self.idle.pop(|connection| connection.owner == *owner)?;
            // Without a check, the request itself finds out. It is sent again if the connection is closed.
            if !check || connection.is_open(cx) {
                return Some(Connection::Http1(connection));
            }
            connection.close_because(CloseReason::Peer);
        }
    }

    /// Takes back a connection whose response is complete.
    pub(crate) fn after_response(&self, mut connection: Http1) {
        connection.is_reused = true;
        if connection.is_ready() {
            self.put_back(connection);
        } else if connection.is_over() {
            connection.close_because(CloseReason::Peer);
        }
        // Otherwise, a part of the request is not sent yet, and the server does not want it.
    }

    /// Gives a connection without a request to a waiting one, stores it, or closes it.
    pub(super) fn put_back(&self, mut connection: Http1) {
        let now = self.clock.now();
        match self.end_of(&connection, now) {
            None => {}
            // Otherwise, a request that waits would need another connection, whose lifetime might be over at once, too.
            Some(CloseReason::Lifetime) if connection.requests == 0 => {}
            Some(reason) => return connection.close_because(reason),
        }
        connection.rest();
        connection.idle_since = now;
        let generation = connection.generation;
        let Some(mut connection) = self.offer(connection) else { return };
        connection.is_reused = true;
        let has_client = connection.owner.client.is_some();
        if let Some(excess) = self.idle.push(connection) {
            if !has_client {
                return excess.close_because(CloseReason::TooManyIdle);
            }
            // The client of an older connection may be gone.
            self.idle.displace(excess).close_because(CloseReason::TooManyIdle);
        }
        self.slots.freed();
        // All connections may have been closed before this one was stored.
        if self.generation.load(Ordering::SeqCst) != generation {
            self.close_idle();
        }
    }

    /// Returns why a connection must not carry another request.
    pub(super) fn end_of(&self, connection: &Http1, now: u64) -> Option<CloseReason> {
        if let Some(reason) = connection.reason() {
            Some(reason)
        } else if connection.generation != self.generation() {
            Some(CloseReason::Removed)
        } else if connection.expires_at <= now {
            Some(CloseReason::Lifetime)
        } else {
            let max = self.settings.max_requests?;
            (connection.requests >= max).then_some(CloseReason::MaxRequests)
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Closes the connections that are idle now, and those that are in use when their requests end.
    pub(crate) fn close(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.close_idle();
    }

    /// Closes the idle connections of earlier generations.
    pub(super) fn close_idle(&self) {
        let generation = self.generation.load(Ordering::SeqCst);
        #[cfg(feature = "http2")]
        self.http2.retire_if(|connection| (connection.generation() != generation).then_some(CloseReason::Removed));
        let removed = self.idle.remove_if(|connection| {
            let is_old = connection.generation != generation;
            if is_old {
                connection.close_because(CloseReason::Removed);
            }
            is_old
        });
        drop(removed);
    }

    /// Counts a request.
    pub(crate) fn count_request(&self) {
        self.idle.count_request();
    }

    pub(crate) fn status(&self) -> ConnectionStatus {
        let (opened, failed, closed) = self.counters.read();
        let bytes = self.counters.bytes();
        let idle = self.idle.len();
        #[cfg(feature = "http2")]
        let idle = idle + self.http2.idle();
        ConnectionStatus {
            open: self.slots.open(),
            idle,
            waiting: Want::ALL.into_iter().map(|want| self.slots.waiting(want)).sum(),
            opened,
            failed,
            bytes_sent: bytes.sent,
            bytes_received: bytes.received,
            requests: self.idle.requests(),
            closed,
        }
    }
}
