//! The datagrams of clients: which session they belong to, and whether one is opened.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use equipoise_core::Failure;
use quinn_udp::BATCH_SIZE;

use super::{
    super::{
        end::UdpEnd as End,
        key::{Identity, OwnedIdentity},
        limits::{AtLimit, Permit},
        place::Placed,
        ready::Woken,
        session::Session,
        shared::Phase,
        socket::{Buffers, Datagrams},
    },
    PAUSE, Worker,
};

impl Worker {
    /// Receives one batch of the datagrams of clients. Returns the number of messages. If there is none, the task is woken
    /// when there is one.
    pub(super) fn receive(&mut self, cx: &mut Context<'_>, buffers: &mut Buffers, phase: Phase) -> usize {
        self.paused_until = None;
        let received = match self.listening.socket.poll_receive(cx, &self.listening.state, buffers, BATCH_SIZE) {
            Poll::Pending => return 0,
            Poll::Ready(Ok(received)) => received,
            Poll::Ready(Err(error)) => {
                tracing::debug!(%error, "no datagrams could be received");
                self.counted.receive_errors += 1;
                self.paused_until = self.now.checked_add(PAUSE);
                return 0;
            }
        };
        for index in 0..received {
            if let Some((meta, datagrams)) = buffers.get(index) {
                self.on_datagrams(meta.addr, self.listening.asked(meta.dst_ip), datagrams, phase);
            }
        }
        received
    }

    fn on_datagrams(&mut self, client: SocketAddr, asked: Option<IpAddr>, datagrams: Datagrams<'_>, phase: Phase) {
        if self.settings.session_key.reads_datagrams() {
            for datagram in datagrams.iter() {
                self.forward(client, asked, Datagrams::one(datagram), phase);
            }
        } else {
            self.forward(client, asked, datagrams, phase);
        }
    }

    /// Sends datagrams of one session to its endpoint.
    fn forward(&mut self, client: SocketAddr, asked: Option<IpAddr>, datagrams: Datagrams<'_>, phase: Phase) {
        let settings = Arc::clone(&self.settings);
        let identity = settings.session_key.of(client, asked, datagrams.first());
        let found = self.table.find(identity);
        // The endpoint itself would answer the replies.
        if self.shared.peers.contains(client) {
            self.counted.dropped.own_address += datagrams.count() as u64;
            let is_of_client = |id: &usize| self.table.get(*id).is_some_and(|session| session.client == client);
            if let Some(id) = found.filter(is_of_client) {
                self.end(id, End::NoEndpoint);
            }
            return;
        }
        let Some(id) = found.or_else(|| self.open(identity, client, asked, datagrams.count() as u64, phase)) else {
            return;
        };
        self.table.touch(id, self.now);
        let Some(session) = self.table.get(id) else { return };
        let moved = (session.client, session.asked) != (client, asked);
        let prefix = moved.then(|| self.prefix(client, asked));
        let Some(session) = self.table.get_mut(id) else { return };
        if let Some(prefix) = prefix {
            (session.client, session.asked, session.prefix) = (client, asked, prefix);
        }
        if session.replies > 0 && !session.is_proven {
            self.table.prove(id);
        }
        if let Some(failure) = self.has_failed(id) {
            self.fail(id, failure, Some(datagrams));
            return;
        }
        let Some(session) = self.table.get_mut(id) else { return };
        if session.connected().is_some() {
            self.send(id, datagrams);
            return;
        }
        let kept = u64::from(session.keep(datagrams.first()));
        session.sent += kept;
        self.counted.dropped.resolving += datagrams.count() as u64 - kept;
        if session.waiting_since.is_none() {
            self.table.wait(id, self.now);
        }
    }

    /// Returns how the endpoint of a session that has replied before has failed: it was unreachable since its last reply, or
    /// it is silent and was found unhealthy.
    fn has_failed(&mut self, id: usize) -> Option<Failure> {
        let session = self.table.get_mut(id)?;
        let (timeout, since) = (self.settings.reply_timeout, session.waiting_since);
        let connected = session.connected()?;
        if connected.has_failed {
            return Some(Failure::Connect);
        }
        let is_silent = since.is_some_and(|since| self.now.saturating_duration_since(since) >= timeout);
        // A new session ends at this time.
        if !is_silent || !connected.has_replied {
            return None;
        }
        if connected.picked.pool.is_unhealthy(connected.picked.lease.endpoint().id()) {
            return Some(Failure::Timeout);
        }
        // It is asked again after this time.
        self.table.wait(id, self.now);
        None
    }

    /// Opens a session, and places it. Returns `None`, and counts the datagrams as dropped, if it cannot be opened.
    fn open(
        &mut self,
        identity: Identity<'_>,
        client: SocketAddr,
        asked: Option<IpAddr>,
        count: u64,
        phase: Phase,
    ) -> Option<usize> {
        let dropped = &mut self.counted.dropped;
        if phase != Phase::Serving {
            dropped.shutting_down += count;
            return None;
        }
        if client.port() == 0 {
            dropped.no_port += count;
            return None;
        }
        if self.shared.is_own(client, asked) {
            dropped.own_address += count;
            return None;
        }
        let permit = self.permit(client, count)?;
        let id = self.table.next_id();
        let wakers = [self.wakeups.waker(Woken::Readable(id)), self.wakeups.waker(Woken::Ending(id))];
        let mut session = Session::new(OwnedIdentity::from(identity), client, asked, wakers, self.now, permit);
        session.prefix = self.prefix(client, asked);
        let id = self.table.insert(session);
        let placed = self.place(id);
        if matches!(placed, Placed::Connected | Placed::Resolving) {
            self.counted.opened += 1;
            return Some(id);
        }
        self.drop_unplaced(placed, count);
        self.end(id, End::NoEndpoint);
        None
    }

    /// Takes the permit for a new session. At the limit, another session ends for it.
    fn permit(&mut self, client: SocketAddr, count: u64) -> Option<Permit> {
        let max = self.settings.max_sessions;
        let source = self.settings.max_sessions_per_source.map(|(max, prefix)| (prefix.key(client.ip()), max));
        let mut permit = self.shared.sessions.permit(max, source);
        if matches!(permit, Err(AtLimit::All)) && self.displace(None) {
            permit = self.shared.sessions.permit(max, source);
        }
        match permit {
            Ok(permit) => return Some(permit),
            Err(AtLimit::All) => self.counted.dropped.full += count,
            Err(AtLimit::Source) => self.counted.dropped.source_full += count,
        }
        None
    }

    /// Ends the session that is least wanted, unless all were in use just now, or it is `own`.
    pub(super) fn displace(&mut self, own: Option<usize>) -> bool {
        let unproven = self.settings.displace_timeout;
        let proven = unproven.max(self.settings.idle_timeout / 2);
        let [unproven, proven] = [unproven, proven].map(|timeout| self.now.checked_sub(timeout));
        let Some(id) = self.table.least_wanted(unproven, proven).filter(|id| Some(*id) != own) else { return false };
        self.end(id, End::Displaced);
        true
    }

    /// Returns what the datagrams of a client begin with.
    fn prefix(&self, client: SocketAddr, asked: Option<IpAddr>) -> Bytes {
        #[cfg(feature = "proxy-protocol")]
        if self.settings.proxy_protocol {
            use equipoise_http::proxy_protocol::{ProxyHeader, Version};

            let local = self.listening.local;
            let destination = asked.map_or(local, |ip| SocketAddr::new(ip, local.port()));
            return ProxyHeader::datagram(client, destination).encode(Version::V2);
        }
        let _ = (client, asked);
        Bytes::new()
    }
}
