//! The idle connections of an endpoint.
//!
//! They are stored in several lists, so that threads seldom share a cache line. A thread has a list of its own, in which
//! it stores and looks first. If that list is empty, it takes a connection from another list, so that reuse is as high
//! as with a single list. The connection that was used last is used next (LIFO): the others become old and are closed.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    thread,
};

use parking_lot::Mutex;

/// The maximum number of lists.
const MAX_STRIPES: usize = 16;

/// The minimum share of a list. With a smaller share, threads would use the lists of others most of the time.
const MIN_SHARE: usize = 16;

/// The idle connections of an endpoint.
pub struct Idle<C> {
    stripes: Box<[Stripe<C>]>,
}

// Two cache lines, because processors load pairs of lines.
#[repr(align(128))]
struct Stripe<C> {
    list: Mutex<Vec<C>>,
    /// The maximum length of the list. The sum over all lists is the maximum number of idle connections.
    max: usize,
    /// The length of the list, so that empty lists are skipped without a lock.
    len: AtomicUsize,
    /// The requests that the threads of this stripe have sent.
    requests: AtomicU64,
}

impl<C> Idle<C> {
    pub(crate) fn new(max: usize) -> Self {
        Self::with_stripes(max, thread::available_parallelism().map_or(1, usize::from))
    }

    /// Creates lists for at most `max` connections and for so many threads.
    #[must_use]
    pub fn with_stripes(max: usize, threads: usize) -> Self {
        // The number of stripes is a power of two.
        let useful = (max / MIN_SHARE).clamp(1, MAX_STRIPES);
        let stripes = threads.next_power_of_two().min(1 << useful.ilog2());
        let stripe = |at| Stripe {
            list: Mutex::default(),
            max: max / stripes + usize::from(at < max % stripes),
            len: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
        };
        Self { stripes: (0..stripes).map(stripe).collect() }
    }

    /// Stores a connection in the list of this thread. If that list has its share already, stores it in another one.
    /// Returns it if all lists are full.
    pub fn push(&self, connection: C) -> Option<C> {
        let mut connection = Some(connection);
        for stripe in self.own_first() {
            connection = stripe.push(connection?);
        }
        connection
    }

    /// Takes the usable connection that was stored last by this thread, or one of another thread.
    pub fn pop(&self, is_usable: impl Fn(&C) -> bool) -> Option<C> {
        self.own_first().find_map(|stripe| stripe.pop(&is_usable))
    }

    /// Takes the connection that was stored first by this thread, or one of another thread.
    pub(crate) fn shift(&self) -> Option<C> {
        self.own_first().find_map(Stripe::shift)
    }

    /// Stores a connection in place of the one that was stored first in the list of this thread, and returns the latter.
    /// Returns the connection itself if the list is empty.
    pub(crate) fn displace(&self, connection: C) -> C {
        self.own().displace(connection)
    }

    /// Removes and returns the connections for which `expired` returns true. It is called with the oldest first.
    pub(crate) fn remove_if(&self, mut expired: impl FnMut(&mut C) -> bool) -> Vec<C> {
        let mut removed = Vec::new();
        for stripe in &self.stripes {
            let mut list = stripe.list.lock();
            removed.extend(list.extract_if(.., |connection| expired(connection)));
            stripe.len.store(list.len(), Ordering::Relaxed);
        }
        removed
    }

    pub(crate) fn len(&self) -> usize {
        self.stripes.iter().map(|stripe| stripe.len.load(Ordering::Relaxed)).sum()
    }

    /// Counts a request.
    pub(crate) fn count_request(&self) {
        self.own().requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of requests that were counted.
    pub(crate) fn requests(&self) -> u64 {
        self.stripes.iter().map(|stripe| stripe.requests.load(Ordering::Relaxed)).sum()
    }

    fn own(&self) -> &Stripe<C> {
        &self.stripes[index() & (self.stripes.len() - 1)]
    }

    /// Returns all stripes, beginning with that of this thread.
    fn own_first(&self) -> impl Iterator<Item = &Stripe<C>> {
        let own = index() & (self.stripes.len() - 1);
        self.stripes[own..].iter().chain(&self.stripes[..own])
    }
}

impl<C> Stripe<C> {
    fn push(&self, connection: C) -> Option<C> {
        if self.len.load(Ordering::Relaxed) >= self.max {
            return Some(connection);
        }
        let mut list = self.list.lock();
        if list.len() >= self.max {
            return Some(connection);
        }
        list.push(connection);
        self.len.store(list.len(), Ordering::Relaxed);
        None
    }

    fn pop(&self, is_usable: impl Fn(&C) -> bool) -> Option<C> {
        if self.len.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut list = self.list.lock();
        let last = list.iter().rposition(is_usable).map(|at| list.remove(at));
        self.len.store(list.len(), Ordering::Relaxed);
        last
    }

    fn shift(&self) -> Option<C> {
        if self.len.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut list = self.list.lock();
        let first = (!list.is_empty()).then(|| list.remove(0));
        self.len.store(list.len(), Ordering::Relaxed);
        first
    }

    fn displace(&self, connection: C) -> C {
        let mut list = self.list.lock();
        if list.is_empty() {
            return connection;
        }
        list.push(connection);
        list.remove(0)
    }
}

/// Returns the number of this thread, counted from 0.
fn index() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static INDEX: Cell<Option<usize>> = const { Cell::new(None) });
    // A thread whose local storage is gone already takes the first list.
    let known = INDEX.try_with(|index| {
        index.get().unwrap_or_else(|| {
            let new = THREADS.fetch_add(1, Ordering::Relaxed);
            index.set(Some(new));
            new
        })
    });
    known.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_used_last_is_used_next() {
        let idle = Idle::new(8);
        for connection in 0..3 {
            assert_eq!(idle.push(connection), None);
        }
        assert_eq!((idle.pop(|_| true), idle.len()), (Some(2), 2));
        assert_eq!((idle.pop(|connection| *connection == 0), idle.len()), (Some(0), 1));
    }

    #[test]
    fn the_oldest_connection_is_taken_or_displaced() {
        let idle = Idle::new(2);
        assert_eq!((idle.shift(), idle.displace(0)), (None, 0));
        assert_eq!((idle.push(1), idle.push(2)), (None, None));
        assert_eq!((idle.displace(3), idle.len()), (1, 2));
        assert_eq!((idle.shift(), idle.pop(|_| true), idle.len()), (Some(2), Some(3), 0));
    }

    #[test]
    fn a_thread_takes_the_connections_of_other_threads() {
        let idle = Idle::new(8);
        thread::scope(|scope| {
            scope.spawn(|| assert_eq!(idle.push(1), None));
        });
        assert_eq!(thread::scope(|scope| scope.spawn(|| idle.pop(|_| true)).join().expect("no panic")), Some(1));
    }

    #[test]
    fn connections_beyond_the_maximum_are_returned() {
        let idle = Idle::new(3);
        for connection in 0..3 {
            assert_eq!(idle.push(connection), None);
        }
        assert_eq!((idle.push(3), idle.len()), (Some(3), 3));
        assert_eq!(Idle::new(0).push(1), Some(1));
    }

    #[test]
    fn many_threads_do_not_exceed_the_maximum_and_reach_it() {
        let idle = Idle::with_stripes(100, 4);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..50).filter_map(|connection| idle.push(connection)).count());
            }
        });
        assert_eq!((idle.stripes.len(), idle.len()), (4, 100));
    }

    #[test]
    fn expired_connections_are_removed() {
        let idle = Idle::new(8);
        (0..4).for_each(|connection| assert_eq!(idle.push(connection), None));
        assert_eq!(idle.remove_if(|connection| *connection % 2 == 0), [0, 2]);
        assert_eq!((idle.len(), idle.pop(|_| true)), (2, Some(3)));
    }
}
