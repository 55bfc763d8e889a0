//! What serves one listener: a task that reads the datagrams of clients and of endpoints, and ends sessions in time.

mod clients;
mod placing;
mod replies;

use std::{
    collections::VecDeque,
    io,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    address::Names,
    end::UdpEnd as End,
    listener::{Listening, UdpListener},
    place::Placer,
    ready::{Wakeups, Woken},
    session::Departure,
    settings::UdpSettings,
    shared::{Backend, Phase, Shared},
    socket::Buffers,
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
    /// For replies that are read while other buffers have the datagrams of a client.
    last_replies: Option<Box<Buffers>>,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, listener: UdpListener) -> io::Result<Self> {
        let listening = Listening::new(listener)?;
        let wakeups = Arc::new(Wakeups::default());
        shared.enter(&wakeups, listening.local);
        let names = Names::new(wakeups.waker(Woken::Names));
        let Backend { pool, settings } = Backend::clone(&shared.backend());
        Ok(Self {
            settings,
            placer: Placer { shared: Arc::clone(&shared), pool, names },
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
            last_replies: None,
        })
    }

    /// Does what there is to do, and returns `Ready` when a shutdown has ended it.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, buffers: &mut Buffers) -> Poll<()> {
        self.wakeups.take(&mut self.taken, cx.waker());
        self.woken.extend(self.taken.drain(..));
        self.now = Instant::now();
        Backend { pool: self.placer.pool, settings: self.settings } = Backend::clone(&self.shared.backend());
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
                    Some(Woken::Resolved(id)) => self.on_resolved(id),
                    None => 0,
                };
            }
        }
        clients || !self.woken.is_empty()
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
            let Some(session) = self.table.get_mut(id) else { continue };
            match session.connected() {
                Some(connected) if connected.has_replied => match connected.departure() {
                    // Its last datagram may be one that gets no reply.
                    Departure::None => self.table.wait_without_end(id),
                    Departure::Draining | Departure::Closed => self.end(id, End::EndpointClosing),
                },
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
        Placer::leave(&mut session, end, &self.settings, self.now);
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
