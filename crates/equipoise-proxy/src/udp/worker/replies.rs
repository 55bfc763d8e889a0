//! What endpoints reply.

use std::task::{Context, Poll};

use equipoise_core::Failure;

use super::{
    super::{end::UdpEnd as End, ready::Woken, session::Endpoint, socket::Buffers},
    Worker,
};

/// How many batches of replies are read before a session leaves its endpoint.
const MAX_LAST_BATCHES: usize = 64;

/// What was read from the socket of a session.
enum Replies {
    /// Nothing. The task is woken when there is something.
    None,
    /// An error, which is noted. There may be replies after it.
    Error,
    /// Nothing, and the endpoint is unreachable.
    Broken,
    /// `more`: whether there may be more.
    Some { received: usize, more: bool },
}

impl Worker {
    /// Receives one batch of replies, and sends them to the client. Returns the number of messages.
    pub(super) fn on_readable(&mut self, id: usize, buffers: &mut Buffers) -> usize {
        match self.read_replies(id, buffers) {
            Replies::None => {
                self.after_last_reply(id);
                0
            }
            Replies::Error => {
                self.woken.push_back(Woken::Readable(id));
                1
            }
            Replies::Broken => {
                self.on_broken(id);
                1
            }
            Replies::Some { received, more } => {
                if more {
                    self.woken.push_back(Woken::Readable(id));
                }
                self.after_replies(id, more);
                received
            }
        }
    }

    fn read_replies(&mut self, id: usize, buffers: &mut Buffers) -> Replies {
        let Some(session) = self.table.get_mut(id) else { return Replies::None };
        let Endpoint::Connected(connected) = &mut session.endpoint else { return Replies::None };
        let mut cx = Context::from_waker(&session.readable);
        let batch = connected.batch;
        let received = match connected.socket.poll_receive(&mut cx, &self.listening.state, buffers, batch) {
            Poll::Pending if connected.is_broken => return Replies::Broken,
            Poll::Pending => return Replies::None,
            Poll::Ready(Ok(received)) => received,
            Poll::Ready(Err(error)) => {
                // It fails when the replies before the error are read. Another error is that of a datagram, for example of
                // one that was too large for the network.
                connected.on_error(Some(error), &self.listening.state);
                return Replies::Error;
            }
        };
        let more = received == batch || connected.socket.poll_readable(&mut cx).is_ready() || connected.is_broken;
        let (mut count, mut bytes) = (0, 0);
        for index in 0..received {
            let Some((_, datagrams)) = buffers.get(index) else { continue };
            let sent = self.listening.send(session.client, session.asked, datagrams);
            self.counted.to_clients += sent.datagrams;
            self.counted.bytes_to_clients += sent.bytes;
            self.counted.dropped.to_client += sent.failed;
            count += datagrams.count() as u64;
            bytes += datagrams.bytes.len() as u64;
        }
        session.on_replies(received, count, bytes, self.now);
        self.table.touch(id, self.now);
        self.table.stop_waiting(id);
        Replies::Some { received, more }
    }

    /// Ends a session that has had its last reply. `more`: whether there may be more replies already.
    fn after_replies(&mut self, id: usize, more: bool) {
        let Some(session) = self.table.get_mut(id) else { return };
        let max = self.settings.max_replies;
        let has_all = session.replies >= max.saturating_mul(session.sent);
        let leave_by = session.connected().and_then(|connected| connected.leave_by);
        if has_all {
            self.end(id, End::Answered);
        } else if let Some(leave_by) = leave_by {
            if self.now >= leave_by || max == u64::MAX && !more {
                self.end(id, End::EndpointClosing);
            } else if max != u64::MAX {
                self.table.wait(id, self.now);
            }
        }
    }

    /// Ends a session that leaves its endpoint, if it waits for no reply.
    fn after_last_reply(&mut self, id: usize) {
        let Some(session) = self.table.get_mut(id) else { return };
        let waits = session.waiting_since.is_some();
        if !waits && session.connected().is_some_and(|connected| connected.leave_by.is_some()) {
            self.end(id, End::EndpointClosing);
        }
    }

    /// Reads the replies that a socket has got before its error.
    pub(super) fn read_last_replies(&mut self, id: usize) {
        let mut buffers = self.last_replies.take().unwrap_or_else(Buffers::new);
        for _ in 0..MAX_LAST_BATCHES {
            if matches!(self.read_replies(id, &mut buffers), Replies::None | Replies::Broken) {
                break;
            }
        }
        self.last_replies = Some(buffers);
    }

    /// Handles that the endpoint of a session is unreachable, after its last replies.
    fn on_broken(&mut self, id: usize) {
        let Some(session) = self.table.get_mut(id) else { return };
        let has_kept = session.kept().is_some();
        match session.connected() {
            // The endpoint may have state of the session, and the error may pass. The next datagram tells.
            Some(connected) if connected.has_replied && !(has_kept && connected.is_refused) => {
                self.suspect(id);
            }
            _ => self.fail(id, Failure::Connect, None),
        }
    }
}
