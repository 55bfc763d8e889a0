//! The requests that wait for a connection of an endpoint, in order, and the attempts to open connections for them.

use std::{collections::BTreeMap, sync::Arc};

use tokio::{
    runtime::{Handle, Id},
    sync::oneshot,
};

use super::slots::{Slots, Want};
use crate::error::ConnectError;

/// What a waiting request gets: something of type `T` to send it on, or the error of the attempt to open a connection.
pub(super) type Answer<T> = Result<T, Arc<ConnectError>>;

/// The place of a request in the queue. Smaller tickets are served first. The first part is false for a request that is
/// sent again: it had a connection before any of the others, and is ahead of them.
pub(super) type Ticket = (bool, u64);

/// The requests that wait, by what they want, and the attempts to open connections for them. All operations cost at most
/// a logarithm of the number of requests, except [`remove_runtime`](Self::remove_runtime).
pub(super) struct Queue<T> {
    waiting: [BTreeMap<Ticket, Entry<T>>; Want::ALL.len()],
    /// The attempts that are expected to serve requests, by their number, with the time at which they began.
    opening: [BTreeMap<u64, u64>; Want::ALL.len()],
    /// The last number of a ticket or an attempt.
    last: u64,
    /// How many connections are being closed because waiting requests need their slots.
    closing: usize,
    /// Has the numbers of waiting requests, for those that do not lock the queue.
    slots: Arc<Slots>,
}

/// A waiting request. It is answered or dropped while the queue is not locked, because both wake the task of the request.
pub(super) struct Entry<T> {
    sender: oneshot::Sender<Answer<T>>,
    /// The runtime of the request. A connection for it is opened there.
    runtime: Handle,
}

impl<T> Entry<T> {
    /// Answers the request. The answer comes back if the request was given up.
    pub(super) fn answer(self, answer: Answer<T>) -> Result<(), Answer<T>> {
        self.sender.send(answer)
    }
}

impl<T> Queue<T> {
    pub(super) fn new(slots: Arc<Slots>) -> Self {
        Self { waiting: Default::default(), opening: Default::default(), last: 0, closing: 0, slots }
    }

    /// Returns the ticket of a new request. It is behind all others, or only behind those that are sent again, if this
    /// one is sent again.
    pub(super) fn ticket(&mut self, is_again: bool) -> Ticket {
        (!is_again, self.number())
    }

    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Adds a request. Returns the end of its channel at which it receives the answer. The caller must then look for
    /// what is free, because it may have become free before the request was in the queue.
    pub(super) fn join(&mut self, want: Want, ticket: Ticket, runtime: Handle) -> oneshot::Receiver<Answer<T>> {
        let (sender, receiver) = oneshot::channel();
        self.waiting[want as usize].insert(ticket, Entry { sender, runtime });
        self.publish(want);
        receiver
    }

    /// Removes a request that is given up. `None` if it is not there: then it was answered, or will be at once. If more
    /// attempts to open a connection remain than requests, of which an attempt serves `each`, the oldest attempt no
    /// longer counts: its end may be far away, so later requests do not rely on it.
    pub(super) fn leave(&mut self, want: Want, ticket: Ticket, each: usize) -> Option<Entry<T>> {
        let left = self.waiting[want as usize].remove(&ticket)?;
        self.publish(want);
        if self.opening(want) > self.len(want).div_ceil(each) {
            self.opening[want as usize].pop_first();
        }
        Some(left)
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
    pub(super) fn pop(&mut self, want: Want) -> Option<Entry<T>> {
        let first = self.waiting[want as usize].pop_first();
        self.publish(want);
        first.map(|(_, entry)| entry)
    }

    /// Removes and returns the requests with this want and of this runtime. Its time is linear in the number of requests.
    pub(super) fn remove_runtime(&mut self, want: Want, runtime: Id) -> Vec<Entry<T>> {
        let all = std::mem::take(&mut self.waiting[want as usize]);
        let (removed, kept) = all.into_iter().partition(|(_, entry)| entry.runtime.id() == runtime);
        self.waiting[want as usize] = kept;
        self.publish(want);
        let removed: BTreeMap<_, _> = removed;
        removed.into_values().collect()
    }

    fn publish(&self, want: Want) {
        self.slots.set_waiting(want, self.len(want));
    }

    /// Returns the runtime of the last request with this want. It is the one that most probably still makes progress.
    pub(super) fn runtime(&self, want: Want) -> Option<Handle> {
        self.waiting[want as usize].last_key_value().map(|(_, entry)| entry.runtime.clone())
    }

    /// Returns the number of attempts that are expected to serve requests.
    pub(super) fn opening(&self, want: Want) -> usize {
        self.opening[want as usize].len()
    }

    /// Counts an attempt that begins at this time. It has taken a slot. Returns its number.
    pub(super) fn begin_opening(&mut self, want: Want, now: u64) -> u64 {
        self.closing = self.closing.saturating_sub(1);
        let number = self.number();
        self.opening[want as usize].insert(number, now);
        number
    }

    /// Ends the effect of [`begin_opening`](Self::begin_opening). Returns whether the attempt still counted.
    pub(super) fn end_opening(&mut self, want: Want, number: u64) -> bool {
        self.opening[want as usize].remove(&number).is_some()
    }

    /// Ends the effect of [`begin_opening`](Self::begin_opening) for the attempts that began before this time. They
    /// would have ended if their runtime made progress.
    pub(super) fn forget_opening(&mut self, before: u64) {
        for opening in &mut self.opening {
            while opening.first_key_value().is_some_and(|(_, begun)| *begun < before) {
                opening.pop_first();
            }
        }
    }

    /// Returns how many waiting requests remain if each connection being opened serves `each` of them.
    pub(super) fn uncovered(&self, want: Want, each: usize) -> usize {
        self.len(want).saturating_sub(self.opening(want).saturating_mul(each))
    }

    /// Returns how many connections are being closed because waiting requests need their slots.
    #[cfg(feature = "http2")]
    pub(super) fn closing(&self) -> usize {
        self.closing
    }

    /// Counts connections that are closed because waiting requests need their slots. A connection no longer counts when
    /// an attempt has taken a slot.
    #[cfg(feature = "http2")]
    pub(super) fn begin_closing(&mut self, connections: usize) {
        self.closing += connections;
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
        let tickets: Vec<_> = (0..3).map(|_| queue.ticket(false)).collect();
        let wants = [Want::Http1, Want::Any, Want::Http1];
        let mut join = |at: usize| queue.join(wants[at], tickets[at], Handle::current());
        let (mut first, _second, mut third) = (join(0), join(1), join(2));
        assert_eq!((queue.first(&Want::ALL), queue.first(&[Want::Any])), (Some(Want::Http1), Some(Want::Any)));
        assert!(queue.pop(Want::Http1).unwrap().answer(Ok(7)).is_ok());
        assert_eq!(queue.first(&Want::ALL), Some(Want::Any));
        assert!(first.try_recv().unwrap().is_ok() && third.try_recv().is_err());
        // A request that comes back with its ticket is first again.
        let _again = queue.join(Want::Http1, tickets[0], Handle::current());
        assert_eq!(queue.first(&Want::ALL), Some(Want::Http1));
        // A request that is sent again is ahead of all others.
        let again = queue.ticket(true);
        let _again = queue.join(Want::Any, again, Handle::current());
        assert!(again < tickets[0] && queue.first(&Want::ALL) == Some(Want::Any));
    }

    #[tokio::test]
    async fn a_request_that_is_given_up_leaves_nothing_behind() {
        let mut queue = queue();
        let ticket = queue.ticket(false);
        drop(queue.join(Want::Any, ticket, Handle::current()));
        assert!(queue.leave(Want::Any, ticket, 1).is_some() && queue.leave(Want::Any, ticket, 1).is_none());
        assert_eq!((queue.len(Want::Any), queue.first(&Want::ALL)), (0, None));
    }

    #[tokio::test]
    async fn connections_that_are_being_opened_cover_requests() {
        let mut queue = queue();
        let join = |queue: &mut Queue<u32>| {
            let ticket = queue.ticket(false);
            queue.join(Want::Any, ticket, Handle::current())
        };
        let _waiting: Vec<_> = (0..5).map(|_| join(&mut queue)).collect();
        let number = queue.begin_opening(Want::Any, 0);
        assert_eq!((queue.uncovered(Want::Any, 1), queue.uncovered(Want::Any, 100)), (4, 0));
        assert!(queue.end_opening(Want::Any, number) && !queue.end_opening(Want::Any, number));
        assert_eq!(queue.uncovered(Want::Any, 100), 5);
    }

    #[tokio::test]
    async fn attempts_without_a_request_and_attempts_that_should_have_ended_do_not_count() {
        let mut queue = queue();
        let tickets = [queue.ticket(false), queue.ticket(false)];
        let _waiting = tickets.map(|ticket| queue.join(Want::Any, ticket, Handle::current()));
        let attempts = [1, 2].map(|now| queue.begin_opening(Want::Any, now));
        assert!(queue.leave(Want::Any, tickets[0], 1).is_some());
        assert_eq!((queue.opening(Want::Any), queue.uncovered(Want::Any, 1)), (1, 0));
        assert!(!queue.end_opening(Want::Any, attempts[0]));
        queue.forget_opening(2);
        assert_eq!(queue.opening(Want::Any), 1);
        queue.forget_opening(3);
        assert_eq!((queue.opening(Want::Any), queue.uncovered(Want::Any, 1)), (0, 1));
    }

    #[tokio::test]
    async fn the_requests_of_a_runtime_are_removed() {
        let (mut queue, other) = (queue(), tokio::runtime::Builder::new_current_thread().build().unwrap());
        let runtimes = [Handle::current(), other.handle().clone(), Handle::current()];
        let _waiting = runtimes.map(|runtime| {
            let ticket = queue.ticket(false);
            queue.join(Want::Any, ticket, runtime)
        });
        let removed = queue.remove_runtime(Want::Any, Handle::current().id());
        assert_eq!((removed.len(), queue.len(Want::Any)), (2, 1));
        assert_eq!(queue.runtime(Want::Any).map(|runtime| runtime.id()), Some(other.handle().id()));
        other.shutdown_background();
    }
}
