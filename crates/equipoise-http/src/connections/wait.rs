//! Waiting for a connection, and giving to waiting requests what becomes free.

use std::{sync::Arc, time::Duration};

use tokio::{
    runtime::Handle,
    sync::oneshot,
    time::{Instant, timeout},
};

use super::{
    clock::millis,
    http1::Http1,
    open::Opening,
    owner::Owner,
    pool::{Connection, Connections, Demand},
    queue::{Answer, Entry, Lane, Queue, Ticket},
    slots::{Serve, Want},
    status::CloseReason,
};
use crate::error::{Busy, ConnectError, Error};

/// By how many milliseconds an attempt to open a connection may exceed its timeout. After it, it is assumed that the
/// runtime of the attempt is stuck, and requests no longer rely on the attempt.
const MAX_DELAY: u64 = 1_000;

/// A request in the queue. If it is given up, what it may have got is given to the next one.
struct Waiting<'a> {
    connections: &'a Arc<Connections>,
    lane: Lane,
    ticket: Ticket,
    receiver: oneshot::Receiver<Answer<Connection>>,
    runtime: Handle,
    /// Whether a connection was being opened for it when it joined the queue.
    is_covered: bool,
}

impl Connections {
    /// Waits for a connection: a new one, or one that becomes free. Adds the time to `waited`. If the request has waited
    /// before, for a connection that was then closed, its timeout is that much shorter.
    pub(super) async fn wait(
        self: &Arc<Self>,
        want: Want,
        demand: Demand,
        waited: &mut Duration,
    ) -> Result<Connection, Error> {
        let mut waiting = self.join(want, &demand)?;
        let settings = &self.settings;
        let opening = if waiting.is_covered { settings.connect_timeout } else { Default::default() };
        let limit = settings.wait_timeout.saturating_add(opening);
        let begun = Instant::now();
        let answered = timeout(limit.saturating_sub(*waited), async {
            loop {
                match (&mut waiting.receiver).await {
                    Ok(Ok(connection)) => match stale(connection, demand.is_checked).await {
                        Ok(connection) => return Ok(connection),
                        Err(stale) => {
                            waiting.join_again();
                            stale.close_because(CloseReason::Peer);
                            drop(stale);
                            Arc::clone(self).serve();
                        }
                    },
                    Ok(Err(error)) => return Err(ConnectError::Shared(error).into()),
                    // The runtime of this request was stuck.
                    Err(_) => return Err(ConnectError::Aborted.into()),
                }
            }
        });
        let answered = answered.await;
        *waited += begun.elapsed();
        answered.unwrap_or_else(|_| Err(Error::busy(Busy::TimedOut { timeout: limit })))
    }

    /// Adds a request to the queue, and begins to open a connection for it if that is possible.
    fn join(self: &Arc<Self>, want: Want, demand: &Demand) -> Result<Waiting<'_>, Error> {
        let runtime = Handle::try_current().map_err(|_| ConnectError::Aborted)?;
        let max_waiting = self.settings.max_waiting;
        let mut openings = Vec::new();
        // Dropped after the lock is released.
        let mut refused = None;
        let stuck;
        let joined = {
            let mut queue = self.queue.lock();
            let ticket = queue.ticket(demand.is_again);
            let lane = Lane { want, owner: Owner { runtime: runtime.id(), client: demand.client.clone() } };
            let receiver = queue.join(&lane, ticket, &runtime);
            let longest = millis(self.settings.connect_timeout).saturating_add(MAX_DELAY);
            stuck = queue.forget_opening(self.clock.tick().saturating_sub(longest), lane.owner.runtime);
            openings.extend(std::iter::from_fn(|| self.begin_opening(&mut queue)));
            let uncovered = |lane: &Lane| queue.uncovered(lane, self.served_by_one(lane.want));
            if queue.lanes().map(uncovered).sum::<usize>() <= max_waiting {
                let is_covered = uncovered(&lane) == 0;
                Some(Waiting { connections: self, lane, ticket, receiver, runtime, is_covered })
            } else {
                refused = queue.leave(&lane, ticket, self.served_by_one(want));
                None
            }
        };
        drop((refused, stuck));
        openings.into_iter().for_each(Opening::start);
        let waiting = joined.ok_or_else(|| Error::busy(Busy::TooManyWaiting { max_waiting }))?;
        // Something may have become free before the request was in the queue.
        Arc::clone(self).serve();
        Ok(waiting)
    }

    /// Gives a connection to the first request that can use it. Returns it if there is none.
    pub(super) fn offer(&self, connection: Http1) -> Option<Http1> {
        let owner = connection.owner.clone();
        let mut answer = Ok(Connection::Http1(connection));
        while self.slots.has_waiting() {
            let first = {
                let mut queue = self.queue.lock();
                self.user_of_http1(&queue, &owner).cloned().and_then(|lane| queue.pop(&lane))
            };
            let Some(first) = first else { break };
            match first.answer(answer) {
                Ok(()) => return None,
                // This request was given up.
                Err(back) => answer = back,
            }
        }
        match answer {
            Ok(Connection::Http1(connection)) => Some(connection),
            _ => None,
        }
    }

    /// Takes back what a request got and does not use.
    fn take_back(&self, connection: Connection) {
        match connection {
            Connection::Http1(connection) => self.put_back(connection),
            // Its stream becomes free.
            #[cfg(feature = "http2")]
            Connection::Http2(_) => {}
        }
    }

    /// Returns the lane of the first request that may use an HTTP/1.1 connection of this owner. If the endpoint speaks
    /// HTTP/2, only those that need HTTP/1.1 may.
    fn user_of_http1<'q>(&self, queue: &'q Queue<Connection>, owner: &Owner) -> Option<&'q Lane> {
        let is_any = self.speaks_http1();
        queue.first(|lane| lane.owner == *owner && (is_any || lane.want == Want::Http1))
    }

    /// Removes a request from the queue, and returns it with a free connection that it can use.
    fn pair(&self) -> Option<(Entry<Connection>, Connection)> {
        // Dropped after the lock is released.
        #[cfg(feature = "http2")]
        let mut ended = Vec::new();
        let mut queue = self.queue.lock();
        #[cfg_attr(not(feature = "http2"), expect(unused_mut, reason = "it changes `ended`"))]
        let mut free = |owner: &Owner| {
            #[cfg(feature = "http2")]
            if let Some(lane) = queue.first(|lane| lane.want == Want::Any && lane.owner == *owner)
                && let Some(stream) = self.http2.take(owner, &mut ended)
            {
                return Some((lane.clone(), Connection::Http2(stream)));
            }
            let lane = self.user_of_http1(&queue, owner)?;
            let connection = self.idle.pop(|connection| connection.owner == *owner)?;
            Some((lane.clone(), Connection::Http1(connection)))
        };
        let (lane, connection) = queue.lanes().find_map(|lane| free(&lane.owner))?;
        queue.pop(&lane).map(|first| (first, connection))
    }
}

impl Serve for Connections {
    fn serve(self: Arc<Self>) {
        while let Some((first, connection)) = self.pair() {
            if let Err(Ok(back)) = first.answer(Ok(connection)) {
                self.take_back(back);
            }
        }
        self.open_for_waiting();
    }
}

impl Waiting<'_> {
    /// Joins the queue again at the place where the request was.
    fn join_again(&mut self) {
        let receiver = self.connections.queue.lock().join(&self.lane, self.ticket, &self.runtime);
        self.receiver = receiver;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let each = self.connections.served_by_one(self.lane.want);
        let left = self.connections.queue.lock().leave(&self.lane, self.ticket, each);
        if left.is_some() {
            return;
        }
        self.receiver.close();
        if let Ok(Ok(connection)) = self.receiver.try_recv() {
            self.connections.take_back(connection);
        }
    }
}

/// Returns an HTTP/1.1 connection as an error if the server has closed it while it was idle.
async fn stale(connection: Connection, check: bool) -> Result<Connection, Http1> {
    match connection {
        Connection::Http1(mut connection) if check && connection.is_reused => {
            let is_open = std::future::poll_fn(|cx| std::task::Poll::Ready(connection.is_open(cx))).await;
            if is_open { Ok(Connection::Http1(connection)) } else { Err(connection) }
        }
        // A server that closes each of its new connections must not keep a request busy here. The request finds it out.
        Connection::Http1(connection) if check => {
            connection.ask_system();
            Ok(Connection::Http1(connection))
        }
        other => Ok(other),
    }
}
