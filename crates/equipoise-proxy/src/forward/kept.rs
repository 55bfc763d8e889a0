use std::{
    collections::VecDeque,
    fmt,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use equipoise_tower::BoxError;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::client::conn::http1::SendRequest;
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep};

use super::{accounts::Client, destination::Destination};
use crate::timing::sleep_until;

/// The body of a request as connections send it.
pub(super) type SentBody = UnsyncBoxBody<Bytes, BoxError>;

/// Where a connection leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// The server of a destination, for one client: with NTLM and Negotiate, a server authenticates a connection and not a
    /// request (RFC 4559, section 6). The address is the one that the rules have allowed.
    Server(Client, Destination, SocketAddr),
    /// An upstream proxy, by the address of its endpoint, for one client.
    Upstream(Client, String),
}

/// An HTTP/1.1 connection that can take a request.
pub(super) struct Connection {
    pub(super) peer: Peer,
    pub(super) sender: SendRequest<SentBody>,
}

/// The connections without a request. There are at most as many as the settings say, so they are searched one by one.
pub(super) struct Kept {
    max: usize,
    timeout: Duration,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    /// The one that has waited longest is first.
    connections: VecDeque<(Instant, Connection)>,
    /// Whether a task waits until the first one must be closed.
    is_swept: bool,
}

impl Kept {
    pub(super) fn new(max: usize, timeout: Duration) -> Arc<Self> {
        Arc::new(Self { max, timeout, idle: Mutex::default() })
    }

    /// Takes the connection that was used last among those to a peer that is `wanted`.
    pub(super) fn take(&self, wanted: impl Fn(&Peer) -> bool) -> Option<Connection> {
        let connections = &mut self.idle.lock().connections;
        connections.retain(|(_, connection)| !connection.sender.is_closed());
        let at = connections.iter().rposition(|(_, Connection { peer, .. })| wanted(peer))?;
        connections.remove(at).map(|(_, connection)| connection)
    }

    /// Keeps a connection when its response has been read.
    pub(super) fn keep(self: &Arc<Self>, mut connection: Connection) {
        if self.max == 0 {
            return;
        }
        if connection.sender.is_ready() {
            return self.put(connection);
        }
        let kept = Arc::downgrade(self);
        tokio::spawn(async move {
            // An error means that the connection is closed.
            if connection.sender.ready().await.is_ok()
                && let Some(kept) = kept.upgrade()
            {
                kept.put(connection);
            }
        });
    }

    fn put(self: &Arc<Self>, connection: Connection) {
        let mut idle = self.idle.lock();
        idle.connections.push_back((Instant::now(), connection));
        let surplus = idle.connections.len().saturating_sub(self.max);
        idle.connections.drain(..surplus);
        if !std::mem::replace(&mut idle.is_swept, true) {
            tokio::spawn(Self::sweep(Arc::downgrade(self)));
        }
    }

    /// Closes connections that have waited for too long, until there is none.
    async fn sweep(kept: Weak<Self>) {
        while let Some(sleep) = kept.upgrade().and_then(|kept| kept.next_sweep()) {
            sleep.await;
        }
    }

    /// Closes connections that have waited for too long. Returns when the next one must be closed.
    fn next_sweep(&self) -> Option<Pin<Box<Sleep>>> {
        let (now, mut idle) = (Instant::now(), self.idle.lock());
        let is_late = |(since, _): &(Instant, Connection)| now.duration_since(*since) >= self.timeout;
        let late = idle.connections.iter().take_while(|connection| is_late(connection)).count();
        idle.connections.drain(..late);
        let end = idle.connections.front().and_then(|(since, _)| since.checked_add(self.timeout));
        let sleep = end.and_then(sleep_until);
        idle.is_swept = sleep.is_some();
        sleep
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("max", &self.max).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}
