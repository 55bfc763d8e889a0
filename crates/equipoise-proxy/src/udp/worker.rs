//! What serves one listener: a task that reads the datagrams of clients and of endpoints, and ends sessions in time.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use equipoise_core::Failure;
use quinn_udp::BATCH_SIZE;
use tokio::time::Instant;

use super::{
    address::Names,
    end::UdpEnd as End,
    key::{Identity, OwnedIdentity},
    limits::{AtLimit, Permit},
    listener::{Listening, UdpListener},
    place::{Moment, Peers, Placed, Placer},
    ready::{Wakeups, Woken},
    session::{Endpoint, Session},
    settings::UdpSettings,
    shared::{Phase, Shared},
    socket::{Buffers, Datagrams, is_unreachable},
    stats::UdpStats,
    table::Table,
};
use crate::timing::Alarm;

/// How many messages are received in one poll, at most one batch more. A message is a datagram, or several that the system
/// has joined. Then other tasks of the runtime have their turn. A message takes some microseconds.
const MAX_MESSAGES: usize = 256;

/// How many sessions are looked at between two batches of the listener.
const SESSIONS_PER_BATCH: usize = 32;

/// How many sessions are ended in one poll because their time is over.
const MAX_ENDED: usize = 256;

/// The pause after an error of the listener.
const PAUSE: Duration = Duration::from_millis(10);

/// The task of one listener.
pub(super) struct Worker {
    shared: Arc<Shared>,
    settings: Arc<UdpSettings>,
    listening: Listening,
    wakeups: Arc<Wakeups>,
    /// The wakeups that are to be handled.
    woken: VecDeque<Woken>,
    taken: Vec<Woken>,
    table: Table,
    placer: Placer,
    alarm: Alarm,
    paused_until: Option<Instant>,
    /// The time of this poll.
    now: Instant,
    /// What has been counted in this poll.
    counted: UdpStats,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, listener: UdpListener) -> io::Result<Self> {
        let listening = Listening::new(listener)?;
        let wakeups = Arc::new(Wakeups::default());
        shared.enter(&wakeups, listening.local);
        let names = Names::new(wakeups.waker(Woken::Names));
        Ok(Self {
            settings: shared.settings(),
            placer: Placer { shared: Arc::clone(&shared), names, peers: Peers::default() },
            shared,
            listening,
            wakeups,
            woken: VecDeque::new(),
            taken: Vec::new(),
            table: Table::default(),
            alarm: Alarm::default(),
            paused_until: None,
            now: Instant::now(),
            counted: UdpStats::default(),
        })
    }

    /// Does what there is to do, and returns `Ready` when a shutdown has ended it.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, buffers: &mut Buffers) -> Poll<()> {
        self.wakeups.take(&mut self.taken, cx.waker());
        self.woken.extend(self.taken.drain(..));
        self.now = Instant::now();
        self.settings = self.shared.settings();
        // After the wakeups: a later shutdown wakes this task.
        let phase = self.shared.phase();
        let mut more = self.relay(cx, buffers, phase);
        more |= self.end_in_time();
        let is_over = match phase {
            Phase::Serving => false,
            Phase::Draining => self.table.len() == 0,
            Phase::Aborting => {
                self.end_all();
                true
            }
        };
        self.shared.counters.add(&mut self.counted);
        if is_over {
            return Poll::Ready(());
        }
        if more || self.next_deadline().is_some_and(|at| self.alarm.poll(cx, at).is_ready()) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Reads the listener and the sessions by turns. Returns whether there is more to read.
    fn relay(&mut self, cx: &mut Context<'_>, buffers: &mut Buffers, phase: Phase) -> bool {
        let (mut messages, mut clients) = (0, self.paused_until.is_none_or(|until| self.now >= until));
        while messages < MAX_MESSAGES && (clients || !self.woken.is_empty()) {
            if clients {
                let received = self.receive(cx, buffers, phase);
                messages += received;
                clients = received > 0;
            }
            // Those that have more to read are added to the end.
            for _ in 0..self.woken.len().min(SESSIONS_PER_BATCH) {
                if messages >= MAX_MESSAGES {
                    break;
                }
                messages += match self.woken.pop_front() {
                    Some(Woken::Readable(id)) => self.on_readable(id, buffers),
                    Some(Woken::Ending(id)) => self.on_ending(id),
                    Some(Woken::Names) => self.on_names(),
                    None => 0,
                };
            }
        }
        clients || !self.woken.is_empty()
    }

    /// Receives one batch of the datagrams of clients. Returns the number of messages. If there is none, the task is woken
    /// when there is one.
    fn receive(&mut self, cx: &mut Context<'_>, buffers: &mut Buffers, phase: Phase) -> usize {
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
        let Some(id) = found.or_else(|| self.open(identity, client, asked, datagrams.count() as u64, phase)) else {
            return;
        };
        self.table.touch(id, self.now);
        let Some(session) = self.table.get_mut(id) else { return };
        (session.client, session.asked) = (client, asked);
        if session.replies > 0 && !session.is_proven {
            self.table.prove(id);
        }
        if self.is_silent(id) {
            self.fail(id, Failure::Timeout, Some(datagrams));
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

    /// Returns whether the endpoint of a session has replied before, does so no longer, and has been found unhealthy.
    fn is_silent(&mut self, id: usize) -> bool {
        let Some(session) = self.table.get_mut(id) else { return false };
        let (timeout, since) = (self.settings.reply_timeout, session.waiting_since);
        if since.is_none_or(|since| self.now.saturating_duration_since(since) < timeout) {
            return false;
        }
        match session.connected() {
            Some(connected) if connected.has_replied => {
                let is_unhealthy = self.placer.is_unhealthy(connected.lease.endpoint().id());
                if !is_unhealthy {
                    // It is asked again after this time.
                    self.table.wait(id, self.now);
                }
                is_unhealthy
            }
            // A new session ends at this time.
            _ => false,
        }
    }

    /// Sends datagrams to the endpoint of a session, or to another one if it does not get them.
    fn send(&mut self, id: usize, datagrams: Datagrams<'_>) {
        let Some(session) = self.table.get_mut(id) else { return };
        let prefix = session.prefix.clone();
        let Some(connected) = session.connected() else { return };
        match connected.send(&self.listening.state, &prefix, datagrams) {
            Ok(sent) => {
                self.counted.to_endpoints += sent.datagrams;
                self.counted.bytes_to_endpoints += sent.bytes;
                session.sent_bytes += sent.bytes;
                self.counted.dropped.to_endpoint += sent.failed;
                session.sent += sent.datagrams;
                if session.waiting_since.is_none() && sent.datagrams > 0 {
                    session.keep(datagrams.first());
                    self.table.wait(id, self.now);
                }
            }
            Err(_) => self.fail(id, Failure::Connect, Some(datagrams)),
        }
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
        if self.shared.is_own(client, asked) || self.placer.peers.contains(client) {
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

    fn drop_unplaced(&mut self, placed: Placed, count: u64) {
        match placed {
            Placed::NoSocket => self.counted.dropped.full += count,
            _ => self.counted.dropped.no_endpoint += count,
        }
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

    /// Ends the session that is least wanted, unless it was in use just now, or is `own`.
    fn displace(&mut self, own: Option<usize>) -> bool {
        let Some((id, at)) = self.table.least_wanted() else { return false };
        let is_idle = self.now.saturating_duration_since(at) >= self.settings.displace_timeout;
        if Some(id) == own || !is_idle {
            return false;
        }
        self.end(id, End::Displaced);
        true
    }

    /// Places a session that has no endpoint. If no file can be opened, another session ends for it.
    fn place(&mut self, id: usize) -> Placed {
        let placed = self.try_place(id, Placer::place);
        match placed == Placed::NoSocket && self.displace(Some(id)) {
            true => self.try_place(id, Placer::place),
            false => placed,
        }
    }

    fn try_place(&mut self, id: usize, place: fn(&mut Placer, &mut Session, &mut Moment<'_>) -> Placed) -> Placed {
        let Some(session) = self.table.get_mut(id) else { return Placed::Nowhere };
        let (state, settings, counted) = (&self.listening.state, &*self.settings, &mut self.counted);
        let mut moment = Moment { state, now: self.now, settings, counted };
        place(&mut self.placer, session, &mut moment)
    }

    /// Gives up the endpoint of a session, and sends the datagrams that it did not get to another one. If none is at hand,
    /// the session ends.
    fn fail(&mut self, id: usize, failure: Failure, at_hand: Option<Datagrams<'_>>) {
        let mut failure = failure;
        loop {
            let Some(session) = self.table.get_mut(id) else { return };
            let connected = match std::mem::replace(&mut session.endpoint, Endpoint::None) {
                Endpoint::Connected(connected) => connected,
                other => {
                    session.endpoint = other;
                    return;
                }
            };
            match failure {
                Failure::Timeout => {
                    self.counted.reply_timeouts += 1;
                    // It is too old to be of use.
                    session.forget_kept();
                }
                _ => self.counted.unreachable += 1,
            }
            let dropped = at_hand.map_or(0, Datagrams::count) as u64 + u64::from(session.kept().is_some());
            self.placer.judge(session, connected, failure);
            if dropped == 0 {
                self.end(id, End::NoEndpoint);
                return;
            }
            let placed = self.place(id);
            match placed {
                Placed::Connected if self.send_again(id, at_hand) => return,
                Placed::Connected => failure = Failure::Connect,
                Placed::Resolving => {
                    self.wait_again(id, at_hand);
                    return;
                }
                Placed::Nowhere | Placed::NoSocket => {
                    self.drop_unplaced(placed, dropped);
                    self.end(id, End::NoEndpoint);
                    return;
                }
            }
        }
    }

    /// Sends the datagrams that an endpoint did not get to the one that was picked after it. Returns whether it can be
    /// reached.
    fn send_again(&mut self, id: usize, at_hand: Option<Datagrams<'_>>) -> bool {
        let Some(session) = self.table.get_mut(id) else { return true };
        let Endpoint::Connected(connected) = &session.endpoint else { return true };
        let mut bytes = 0;
        for datagrams in session.kept().map(Datagrams::one).into_iter().chain(at_hand) {
            let Ok(sent) = connected.send(&self.listening.state, &session.prefix, datagrams) else { return false };
            self.counted.to_endpoints += sent.datagrams;
            self.counted.bytes_to_endpoints += sent.bytes;
            bytes += sent.bytes;
            self.counted.dropped.to_endpoint += sent.failed;
        }
        session.sent_bytes += bytes;
        self.wait_again(id, at_hand);
        true
    }

    /// Notes that a session waits for another endpoint.
    fn wait_again(&mut self, id: usize, at_hand: Option<Datagrams<'_>>) {
        let Some(session) = self.table.get_mut(id) else { return };
        let count = at_hand.map_or(0, Datagrams::count) as u64;
        let kept = u64::from(at_hand.is_some_and(|datagrams| session.keep(datagrams.first())));
        if session.connected().is_some() {
            session.sent += count;
        } else {
            session.sent += kept;
            self.counted.dropped.resolving += count - kept;
        }
        self.counted.failovers += 1;
        self.table.wait(id, self.now);
    }

    /// Receives one batch of replies, and sends them to the client. Returns the number of messages.
    fn on_readable(&mut self, id: usize, buffers: &mut Buffers) -> usize {
        let Some(session) = self.table.get_mut(id) else { return 0 };
        let Endpoint::Connected(connected) = &mut session.endpoint else { return 0 };
        let mut cx = Context::from_waker(&session.readable);
        let batch = connected.batch;
        let received = match connected.socket.poll_receive(&mut cx, &self.listening.state, buffers, batch) {
            Poll::Pending if connected.is_broken => {
                self.fail(id, Failure::Connect, None);
                return 1;
            }
            Poll::Pending => return 0,
            Poll::Ready(Ok(received)) => received,
            Poll::Ready(Err(error)) => {
                // It fails when the replies before the error are read. Another error is that of a datagram, for example of
                // one that was too large for the network.
                connected.is_broken |= is_unreachable(&error);
                connected.clear_errors(&self.listening.state);
                self.woken.push_back(Woken::Readable(id));
                return 1;
            }
        };
        if received == batch || connected.socket.poll_readable(&mut cx).is_ready() || connected.is_broken {
            self.woken.push_back(Woken::Readable(id));
        }
        let mut count = 0;
        for index in 0..received {
            let Some((_, datagrams)) = buffers.get(index) else { continue };
            let sent = self.listening.send(session.client, session.asked, datagrams);
            self.counted.to_clients += sent.datagrams;
            self.counted.bytes_to_clients += sent.bytes;
            session.received_bytes += sent.bytes;
            self.counted.dropped.to_client += sent.failed;
            count += datagrams.count() as u64;
        }
        session.on_replies(received, count, self.now);
        let has_all = session.replies >= self.settings.max_replies.saturating_mul(session.sent);
        let is_closing = session.connected().is_some_and(|connected| connected.is_closing());
        self.table.touch(id, self.now);
        self.table.stop_waiting(id);
        match (has_all, is_closing) {
            (true, _) => self.end(id, End::Answered),
            (false, true) => self.end(id, End::EndpointClosing),
            (false, false) => {}
        }
        received
    }

    /// Ends a session whose endpoint is closing or cannot be reached. Returns the cost in messages.
    fn on_ending(&mut self, id: usize) -> usize {
        let Some(session) = self.table.get_mut(id) else { return 0 };
        let Endpoint::Connected(connected) = &mut session.endpoint else { return 0 };
        let mut cx = Context::from_waker(&session.ending);
        if connected.poll_broken(&mut cx, &self.listening.state) {
            self.woken.push_back(Woken::Readable(id));
        }
        // An endpoint that drains still replies to what it has got.
        let waits = self.settings.leave_draining && session.waiting_since.is_some();
        if connected.poll_closing(&mut cx) && !waits {
            self.end(id, End::EndpointClosing);
        }
        1
    }

    /// Connects the sessions that have waited for the address of their endpoint. Returns the cost in messages.
    fn on_names(&mut self) -> usize {
        if !self.placer.names.poll(self.now) {
            return 1;
        }
        let is_resolving =
            |id: &usize| self.table.get(*id).is_some_and(|session| matches!(session.endpoint, Endpoint::Resolving(_)));
        let waiting: Vec<_> = self.table.ids().into_iter().filter(is_resolving).collect();
        for id in &waiting {
            let mut placed = self.try_place(*id, Placer::resume);
            if placed == Placed::NoSocket {
                placed = self.place(*id);
            }
            let Some(session) = self.table.get_mut(*id) else { continue };
            match placed {
                Placed::Resolving => {}
                Placed::Connected => {
                    let Some(kept) = session.kept().map(<[u8]>::to_vec) else { continue };
                    session.forget_kept();
                    // Both are set again when it is sent.
                    (session.sent, session.waiting_since) = (session.sent.saturating_sub(1), None);
                    self.send(*id, Datagrams::one(&kept));
                }
                Placed::Nowhere | Placed::NoSocket => {
                    let count = u64::from(session.kept().is_some());
                    self.drop_unplaced(placed, count);
                    self.end(*id, End::NoEndpoint);
                }
            }
        }
        waiting.len()
    }

    /// Ends sessions that are idle, and those whose endpoint has not replied. Returns whether there may be more.
    fn end_in_time(&mut self) -> bool {
        let UdpSettings { idle_timeout, reply_timeout, .. } = *self.settings;
        let now = self.now;
        let has_passed = |at: Instant, timeout| now.saturating_duration_since(at) >= timeout;
        for _ in 0..MAX_ENDED {
            let idle = self.table.least_active().filter(|(_, at)| has_passed(*at, idle_timeout));
            if let Some((id, _)) = idle {
                self.end(id, End::Idle);
                continue;
            }
            let waiting = self.table.longest_waiting().filter(|(_, at)| has_passed(*at, reply_timeout));
            let Some((id, _)) = waiting else { return false };
            self.table.stop_waiting(id);
            let Some(session) = self.table.get_mut(id) else { continue };
            match session.connected() {
                // Its last datagram may be one that gets no reply.
                Some(connected) if connected.has_replied && !connected.is_closing() => {}
                _ => self.end(id, End::Silent),
            }
        }
        true
    }

    /// Returns when the next session may have to end, or the listener is read again.
    fn next_deadline(&self) -> Option<Instant> {
        let idle = self.table.least_active().and_then(|(_, at)| at.checked_add(self.settings.idle_timeout));
        let silent = self.table.longest_waiting().and_then(|(_, at)| at.checked_add(self.settings.reply_timeout));
        [idle, silent, self.paused_until].into_iter().flatten().min()
    }

    fn end(&mut self, id: usize, end: End) {
        let Some(mut session) = self.table.remove(id) else { return };
        if let Some(hook) = &self.settings.on_end {
            hook.call(&session.report(end, self.now));
        }
        let counted = &mut self.counted;
        match end {
            End::Idle => counted.idle_timeouts += 1,
            End::Silent => counted.reply_timeouts += 1,
            End::EndpointClosing => counted.closed += 1,
            End::Displaced => counted.displaced += 1,
            End::Aborted => counted.aborted += 1,
            End::Answered | End::NoEndpoint => {}
        }
        // A session that ends for another one, or before the timeout for replies, has waited for as long as it could.
        let is_silence = matches!(end, End::Idle | End::Silent | End::Displaced);
        self.placer.leave(&mut session, is_silence && self.settings.reply_timeout != Duration::MAX);
    }

    fn end_all(&mut self) {
        for id in self.table.ids() {
            self.end(id, End::Aborted);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.end_all();
        self.shared.counters.add(&mut self.counted);
        self.shared.leave(&self.wakeups);
    }
}
