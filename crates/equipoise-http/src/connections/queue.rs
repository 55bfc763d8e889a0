//! The requests that wait for a connection of an endpoint, in order, and the attempts to open connections for them.

use std::{collections::BTreeMap, sync::Arc};

use tokio::{
    runtime::{Handle, Id},
    sync::oneshot,
};

use super::{
    owner::Owner,
    slots::{Slots, Want},
};
use crate::error::ConnectError;

/// What a waiting request gets: something of type `T` to send it on, or the error of the attempt to open a connection.
pub(super) type Answer<T> = Result<T, Arc<ConnectError>>;

/// The place of a request in the queue. Smaller tickets are served first. The first part is false for a request that is
/// sent again: it had a connection before any of the others, and is ahead of them.
pub(super) type Ticket = (bool, u64);

/// How many attempts to open a connection may go on that no longer count because their request was given up. If requests
/// are given up before an endpoint answers, each new request would begin another attempt.
const MAX_ABANDONED: usize = 16;

/// Which connections a waiting request can use: those for its want, with its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lane {
    pub(super) want: Want,
    pub(super) owner: Owner,
}

/// The requests that wait, by their lane, and the attempts to open connections for them. All operations cost at most a
/// logarithm of the number of requests, and are linear in the number of lanes: one for each runtime or, with the PROXY
/// protocol, for each client that waits.
pub(super) struct Queue<T> {
    /// Those with a request or an attempt.
    lanes: Vec<Requests<T>>,
    /// The last number of a ticket or an attempt.
    last: u64,
    /// How many attempts go on that no longer count.
    abandoned: usize,
    /// How many connections are being closed because waiting requests need their slots.
    closing: usize,
    /// Has the numbers of waiting requests, for those that do not lock the queue.
    slots: Arc<Slots>,
}

/// The requests of one lane.
struct Requests<T> {
    lane: Lane,
    /// The runtime of the lane. Its connections are opened there.
    runtime: Handle,
    waiting: BTreeMap<Ticket, Entry<T>>,
    /// The attempts that are expected to serve requests, by their number, with the time at which they began.
    opening: BTreeMap<u64, u64>,
}

/// A waiting request. It is answered or dropped while the queue is not locked, because both wake the task of the request.
pub(super) struct Entry<T>(oneshot::Sender<Answer<T>>);

impl<T> Entry<T> {
    /// Answers the request. The answer comes back if the request was given up.
    pub(super) fn answer(self, answer: Answer<T>) -> Result<(), Answer<T>> {
        self.0.send(answer)
    }
}

impl<T> Requests<T> {
    fn first(&self) -> Option<Ticket> {
        self.waiting.first_key_value().map(|(ticket, _)| *ticket)
    }
}

impl<T> Queue<T> {
    pub(super) fn new(slots: Arc<Slots>) -> Self {
        Self { lanes: Vec::new(), last: 0, abandoned: 0, closing: 0, slots }
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
    pub(super) fn join(&mut self, lane: &Lane, ticket: Ticket, runtime: &Handle) -> oneshot::Receiver<Answer<T>> {
        let (sender, receiver) = oneshot::channel();
        self.entry(lane, runtime).waiting.insert(ticket, Entry(sender));
        self.publish(lane.want);
        receiver
    }

    /// Removes a request that is given up. `None` if it is not there: then it was answered, or will be at once. If more
    /// attempts to open a connection remain than requests, of which an attempt serves `each`, the oldest attempt no
    /// longer counts: its end may be far away, so later requests do not rely on it. At most [`MAX_ABANDONED`] attempts go
    /// on so.
    pub(super) fn leave(&mut self, lane: &Lane, ticket: Ticket, each: usize) -> Option<Entry<T>> {
        let may_abandon = self.abandoned < MAX_ABANDONED;
        let requests = self.get_mut(lane)?;
        let left = requests.waiting.remove(&ticket)?;
        if may_abandon && requests.opening.len() > requests.waiting.len().div_ceil(each) {
            requests.opening.pop_first();
            self.abandoned += 1;
        }
        self.publish(lane.want);
        Some(left)
    }

    /// Returns the lanes with a request or an attempt.
    pub(super) fn lanes(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.iter().map(|requests| &requests.lane)
    }

    /// Returns the lane of the first request among these lanes.
    pub(super) fn first(&self, is_among: impl Fn(&Lane) -> bool) -> Option<&Lane> {
        let lanes = self.lanes.iter().filter(|requests| is_among(&requests.lane));
        let firsts = lanes.filter_map(|requests| Some((requests.first()?, &requests.lane)));
        firsts.min_by_key(|(ticket, _)| *ticket).map(|(_, lane)| lane)
    }

    /// Removes and returns the first request of a lane.
    pub(super) fn pop(&mut self, lane: &Lane) -> Option<Entry<T>> {
        let first = self.get_mut(lane)?.waiting.pop_first();
        self.publish(lane.want);
        first.map(|(_, entry)| entry)
    }

    /// Removes and returns the requests of a lane.
    pub(super) fn take(&mut self, lane: &Lane) -> Vec<Entry<T>> {
        let taken = self.get_mut(lane).map(|requests| std::mem::take(&mut requests.waiting));
        self.publish(lane.want);
        taken.unwrap_or_default().into_values().collect()
    }

    /// Publishes how many requests have this want, and forgets empty lanes.
    fn publish(&mut self, want: Want) {
        self.lanes.retain(|requests| !requests.waiting.is_empty() || !requests.opening.is_empty());
        let of_want = self.lanes.iter().filter(|requests| requests.lane.want == want);
        self.slots.set_waiting(want, of_want.map(|requests| requests.waiting.len()).sum());
    }

    fn get(&self, lane: &Lane) -> Option<&Requests<T>> {
        self.lanes.iter().find(|requests| requests.lane == *lane)
    }

    fn get_mut(&mut self, lane: &Lane) -> Option<&mut Requests<T>> {
        self.lanes.iter_mut().find(|requests| requests.lane == *lane)
    }

    fn entry(&mut self, lane: &Lane, runtime: &Handle) -> &mut Requests<T> {
        let at = self.lanes.iter().position(|requests| requests.lane == *lane).unwrap_or(self.lanes.len());
        if at == self.lanes.len() {
            let (waiting, opening) = Default::default();
            self.lanes.push(Requests { lane: lane.clone(), runtime: runtime.clone(), waiting, opening });
        }
        &mut self.lanes[at]
    }

    /// Returns the runtime of a lane.
    pub(super) fn runtime(&self, lane: &Lane) -> Option<Handle> {
        self.get(lane).map(|requests| requests.runtime.clone())
    }

    /// Returns the number of attempts that are expected to serve requests of a lane.
    #[cfg(any(feature = "http2", test))]
    pub(super) fn opening(&self, lane: &Lane) -> usize {
        self.get(lane).map_or(0, |requests| requests.opening.len())
    }

    /// Counts an attempt that begins at this time. It has taken a slot. Returns its number.
    pub(super) fn begin_opening(&mut self, lane: &Lane, runtime: &Handle, now: u64) -> u64 {
        self.closing = self.closing.saturating_sub(1);
        let number = self.number();
        self.entry(lane, runtime).opening.insert(number, now);
        number
    }

    /// Ends the effect of [`begin_opening`](Self::begin_opening). Returns whether the attempt still counted.
    pub(super) fn end_opening(&mut self, lane: &Lane, number: u64) -> bool {
        let has_counted = self.get_mut(lane).is_some_and(|requests| requests.opening.remove(&number).is_some());
        if !has_counted {
            self.abandoned = self.abandoned.saturating_sub(1);
        }
        self.publish(lane.want);
        has_counted
    }

    /// Ends the effect of [`begin_opening`](Self::begin_opening) for the attempts that began before this time. They
    /// would have ended if their runtime made progress. Another runtime than the `present` one is still stuck: more
    /// attempts there would take more slots, so its requests are removed and returned.
    pub(super) fn forget_opening(&mut self, before: u64, present: Id) -> Vec<Entry<T>> {
        let mut removed = Vec::new();
        for requests in &mut self.lanes {
            let all = requests.opening.len();
            requests.opening.retain(|_, begun| *begun >= before);
            self.abandoned += all - requests.opening.len();
            if requests.opening.len() < all && requests.lane.owner.runtime != present {
                removed.extend(std::mem::take(&mut requests.waiting).into_values());
            }
        }
        if !removed.is_empty() {
            Want::ALL.into_iter().for_each(|want| self.publish(want));
        }
        removed
    }

    /// Returns how many waiting requests of a lane remain if each connection being opened serves `each` of them.
    pub(super) fn uncovered(&self, lane: &Lane, each: usize) -> usize {
        let Some(requests) = self.get(lane) else { return 0 };
        requests.waiting.len().saturating_sub(requests.opening.len().saturating_mul(each))
    }

    /// Returns how many connections are being closed because waiting requests need their slots.
    pub(super) fn closing(&self) -> usize {
        self.closing
    }

    /// Counts connections that are closed because waiting requests need their slots. A connection no longer counts when
    /// an attempt has taken a slot.
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

    fn lane(want: Want) -> Lane {
        Lane { want, owner: Owner::runtime(Handle::current().id()) }
    }

    #[tokio::test]
    async fn requests_are_served_in_the_order_of_their_tickets() {
        let mut queue = queue();
        let tickets: Vec<_> = (0..3).map(|_| queue.ticket(false)).collect();
        let wants = [Want::Http1, Want::Any, Want::Http1];
        let mut join = |at: usize| queue.join(&lane(wants[at]), tickets[at], &Handle::current());
        let (mut first, _second, mut third) = (join(0), join(1), join(2));
        let of_any = queue.first(|lane| lane.want == Want::Any);
        assert_eq!((queue.first(|_| true), of_any), (Some(&lane(Want::Http1)), Some(&lane(Want::Any))));
        assert!(queue.pop(&lane(Want::Http1)).unwrap().answer(Ok(7)).is_ok());
        assert_eq!(queue.first(|_| true), Some(&lane(Want::Any)));
        assert!(first.try_recv().unwrap().is_ok() && third.try_recv().is_err());
        // A request that comes back with its ticket is first again.
        let _again = queue.join(&lane(Want::Http1), tickets[0], &Handle::current());
        assert_eq!(queue.first(|_| true), Some(&lane(Want::Http1)));
        // A request that is sent again is ahead of all others.
        let again = queue.ticket(true);
        let _again = queue.join(&lane(Want::Any), again, &Handle::current());
        assert!(again < tickets[0] && queue.first(|_| true) == Some(&lane(Want::Any)));
    }

    #[tokio::test]
    async fn a_request_that_is_given_up_leaves_nothing_behind() {
        let (mut queue, lane) = (queue(), lane(Want::Any));
        let ticket = queue.ticket(false);
        drop(queue.join(&lane, ticket, &Handle::current()));
        assert!(queue.leave(&lane, ticket, 1).is_some() && queue.leave(&lane, ticket, 1).is_none());
        assert_eq!((queue.lanes().count(), queue.first(|_| true)), (0, None));
    }

    #[tokio::test]
    async fn connections_that_are_being_opened_cover_requests() {
        let (mut queue, lane) = (queue(), lane(Want::Any));
        let join = |queue: &mut Queue<u32>| {
            let ticket = queue.ticket(false);
            queue.join(&lane, ticket, &Handle::current())
        };
        let _waiting: Vec<_> = (0..5).map(|_| join(&mut queue)).collect();
        let number = queue.begin_opening(&lane, &Handle::current(), 0);
        assert_eq!((queue.uncovered(&lane, 1), queue.uncovered(&lane, 100)), (4, 0));
        assert!(queue.end_opening(&lane, number) && !queue.end_opening(&lane, number));
        assert_eq!(queue.uncovered(&lane, 100), 5);
    }

    #[tokio::test]
    async fn attempts_without_a_request_and_attempts_that_should_have_ended_do_not_count() {
        let (mut queue, lane) = (queue(), lane(Want::Any));
        let tickets = [queue.ticket(false), queue.ticket(false)];
        let _waiting = tickets.map(|ticket| queue.join(&lane, ticket, &Handle::current()));
        let attempts = [1, 2].map(|now| queue.begin_opening(&lane, &Handle::current(), now));
        assert!(queue.leave(&lane, tickets[0], 1).is_some());
        assert_eq!((queue.opening(&lane), queue.uncovered(&lane, 1)), (1, 0));
        assert!(!queue.end_opening(&lane, attempts[0]));
        assert!(queue.forget_opening(2, lane.owner.runtime).is_empty());
        assert_eq!(queue.opening(&lane), 1);
        assert!(queue.forget_opening(3, lane.owner.runtime).is_empty());
        assert_eq!((queue.opening(&lane), queue.uncovered(&lane, 1)), (0, 1));
    }

    #[tokio::test]
    async fn few_attempts_go_on_without_a_request() {
        let (mut queue, lane) = (queue(), lane(Want::Any));
        let mut attempts = Vec::new();
        for _ in 0..2 * MAX_ABANDONED {
            let ticket = queue.ticket(false);
            let _waits = queue.join(&lane, ticket, &Handle::current());
            if queue.uncovered(&lane, 1) > 0 {
                attempts.push(queue.begin_opening(&lane, &Handle::current(), 0));
            }
            assert!(queue.leave(&lane, ticket, 1).is_some());
        }
        // The last one counts, so later requests rely on it.
        assert_eq!((attempts.len(), queue.opening(&lane)), (MAX_ABANDONED + 1, 1));
        queue.end_opening(&lane, attempts[0]);
        let ticket = queue.ticket(false);
        let _waits = queue.join(&lane, ticket, &Handle::current());
        assert!(queue.leave(&lane, ticket, 1).is_some());
        assert_eq!(queue.opening(&lane), 0);
    }

    #[tokio::test]
    async fn each_runtime_has_its_own_requests_and_attempts() {
        let (mut queue, other) = (queue(), tokio::runtime::Builder::new_current_thread().build().unwrap());
        let of = |runtime: &Handle| Lane { want: Want::Any, owner: Owner::runtime(runtime.id()) };
        let runtimes = [Handle::current(), other.handle().clone(), Handle::current()];
        let _waiting = runtimes.map(|runtime| {
            let ticket = queue.ticket(false);
            queue.join(&of(&runtime), ticket, &runtime)
        });
        let (own, others) = (lane(Want::Any), of(other.handle()));
        queue.begin_opening(&others, other.handle(), 0);
        assert_eq!((queue.uncovered(&own, 1), queue.uncovered(&others, 1)), (2, 0));
        assert_eq!(queue.first(|lane| lane.owner == others.owner), Some(&others));
        // The other runtime is stuck.
        assert_eq!((queue.forget_opening(1, own.owner.runtime).len(), queue.slots.waiting(Want::Any)), (1, 2));
        let ticket = queue.ticket(false);
        let _again = queue.join(&others, ticket, other.handle());
        assert_eq!((queue.take(&own).len(), queue.slots.waiting(Want::Any)), (2, 1));
        assert_eq!(queue.runtime(&others).map(|runtime| runtime.id()), Some(others.owner.runtime));
        other.shutdown_background();
    }
}
