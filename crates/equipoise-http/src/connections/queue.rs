//! The requests that wait for a connection of an endpoint, in order.

use std::{collections::BTreeMap, sync::Arc};

use tokio::{runtime::Handle, sync::oneshot};

use super::slots::{Slots, Want};
use crate::error::ConnectError;

/// What a waiting request gets: something of type `T` to send it on, or the error of the attempt to open a connection.
pub(super) type Answer<T> = Result<T, Arc<ConnectError>>;

/// The end of a waiting request's channel at which it is answered. An answer that cannot be sent comes back, because
/// the request was given up.
pub(super) type Sender<T> = oneshot::Sender<Answer<T>>;

/// The place of a request in the queue. Smaller tickets are served first.
pub(super) type Ticket = u64;

/// The requests that wait, by what they want, and the connections that are being opened for them. All operations cost
/// at most a logarithm of the number of requests.
pub(super) struct Queue<T> {
    waiting: [BTreeMap<Ticket, Waiting<T>>; Want::ALL.len()],
    opening: [usize; Want::ALL.len()],
    next: Ticket,
    /// Has the numbers of waiting requests, for those that do not lock the queue.
    slots: Arc<Slots>,
}

struct Waiting<T> {
    sender: Sender<T>,
    /// The runtime of the request. A connection for it is opened there.
    runtime: Handle,
}

impl<T> Queue<T> {
    pub(super) fn new(slots: Arc<Slots>) -> Self {
        Self { waiting: Default::default(), opening: Default::default(), next: 0, slots }
    }

    /// Returns the ticket of a new request, which is behind all others.
    pub(super) fn ticket(&mut self) -> Ticket {
        self.next += 1;
        self.next
    }

    /// Adds a request. Returns the end of its channel at which it receives the answer. The caller must then look for
    /// what is free, because it may have become free before the request was in the queue.
    pub(super) fn join(&mut self, want: Want, ticket: Ticket, runtime: Handle) -> oneshot::Receiver<Answer<T>> {
        let (sender, receiver) = oneshot::channel();
        self.waiting[want as usize].insert(ticket, Waiting { sender, runtime });
        self.publish(want);
        receiver
    }

    /// Removes a request that is given up. Returns whether it was there. Otherwise it was answered, or will be at once.
    pub(super) fn leave(&mut self, want: Want, ticket: Ticket) -> bool {
        let left = self.waiting[want as usize].remove(&ticket).is_some();
        self.publish(want);
        left
    }

    /// Returns the number of requests that wait.
    pub(super) fn len(&self, want: Want) -> usize {
        self.waiting[want as usize].len()
    }

    /// Returns which of these wants the first request has.
    pub(super) fn first(&self, wants: &[Want]) -> Option<Want> {
        let first = |want: Want| self.waiting[want as usize].first_key_value().map(|(ticket, _)| (*ticket, want));
        wants.iter().filter_map(|want| first(*want)).min_by_key(|(ticket, _)| *ticket).map(|(_, want)| want)
    }

    /// Removes and returns the first request with this want.
    pub(super) fn pop(&mut self, want: Want) -> Option<Sender<T>> {
        let first = self.waiting[want as usize].pop_first();
        self.publish(want);
        first.map(|(_, waiting)| waiting.sender)
    }

    fn publish(&self, want: Want) {
        self.slots.set_waiting(want, self.len(want));
    }

    /// Returns the runtime of the first request with this want.
    pub(super) fn runtime(&self, want: Want) -> Option<Handle> {
        self.waiting[want as usize].first_key_value().map(|(_, waiting)| waiting.runtime.clone())
    }

    /// Returns the number of connections that are being opened.
    pub(super) fn opening(&self, want: Want) -> usize {
        self.opening[want as usize]
    }

    /// Counts a connection that is being opened.
    pub(super) fn begin_opening(&mut self, want: Want) {
        self.opening[want as usize] += 1;
    }

    /// Ends the effect of one [`begin_opening`](Self::begin_opening).
    pub(super) fn end_opening(&mut self, want: Want) {
        self.opening[want as usize] -= 1;
    }

    /// Returns how many requests with this want wait although each connection that is being opened is expected to serve
    /// `each` of them.
    pub(super) fn uncovered(&self, want: Want, each: usize) -> usize {
        self.len(want).saturating_sub(self.opening(want).saturating_mul(each))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connections::slots::tests::Calls;

    fn queue() -> Queue<u32> {
        Queue::new(Slots::new(1, std::sync::Weak::<Calls>::new()))
    }

    #[tokio::test]
    async fn requests_are_served_in_the_order_of_their_tickets() {
        let mut queue = queue();
        let tickets: Vec<_> = (0..3).map(|_| queue.ticket()).collect();
        let wants = [Want::Http1, Want::Any, Want::Http1];
        let mut join = |at: usize| queue.join(wants[at], tickets[at], Handle::current());
        let (mut first, _second, mut third) = (join(0), join(1), join(2));
        assert_eq!((queue.first(&Want::ALL), queue.first(&[Want::Any])), (Some(Want::Http1), Some(Want::Any)));
        assert!(queue.pop(Want::Http1).unwrap().send(Ok(7)).is_ok());
        assert_eq!(queue.first(&Want::ALL), Some(Want::Any));
        assert!(first.try_recv().unwrap().is_ok() && third.try_recv().is_err());
        // A request that comes back with its ticket is first again.
        let _again = queue.join(Want::Http1, tickets[0], Handle::current());
        assert_eq!(queue.first(&Want::ALL), Some(Want::Http1));
    }

    #[tokio::test]
    async fn a_request_that_is_given_up_leaves_nothing_behind() {
        let mut queue = queue();
        let ticket = queue.ticket();
        drop(queue.join(Want::Any, ticket, Handle::current()));
        assert!(queue.leave(Want::Any, ticket) && !queue.leave(Want::Any, ticket));
        assert_eq!((queue.len(Want::Any), queue.first(&Want::ALL)), (0, None));
    }

    #[tokio::test]
    async fn connections_that_are_being_opened_cover_requests() {
        let mut queue = queue();
        let _waiting: Vec<_> = (0..5).map(|ticket| queue.join(Want::Any, ticket, Handle::current())).collect();
        queue.begin_opening(Want::Any);
        assert_eq!((queue.uncovered(Want::Any, 1), queue.uncovered(Want::Any, 100)), (4, 0));
        queue.end_opening(Want::Any);
        assert_eq!(queue.uncovered(Want::Any, 100), 5);
    }
}
