//! The limit on open connections, and the numbers of waiting requests.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicUsize, Ordering, fence},
};

/// Which connections a waiting request can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// Those of the HTTP version that the endpoint speaks.
    Any,
    /// Those of HTTP/1.1, although the endpoint may speak HTTP/2.
    Http1,
}

impl Want {
    pub(super) const ALL: [Self; 2] = [Self::Any, Self::Http1];
}

/// Gives requests that wait what has become free.
pub(super) trait Serve: Send + Sync {
    fn serve(self: Arc<Self>);
}

/// Counts the open connections of an endpoint and its waiting requests.
///
/// A connection or stream becomes free in one thread while a request begins to wait in another one. No wake-up is lost:
/// one thread makes it free and then looks whether a request waits ([`freed`](Self::freed)). The other one counts the
/// request ([`set_waiting`](Self::set_waiting)) and then looks for what is free. There is a fence between the two steps
/// of each thread, so at least one of the threads sees what the other one has done. While no request waits, `freed`
/// costs the fence and two loads.
pub(super) struct Slots {
    max: usize,
    open: AtomicUsize,
    waiting: [AtomicUsize; Want::ALL.len()],
    /// Serves the requests that wait.
    server: Weak<dyn Serve>,
}

/// The right to have one open connection.
pub(super) struct Slot(Arc<Slots>);

impl Slots {
    pub(super) fn new(max: usize, server: Weak<dyn Serve>) -> Arc<Self> {
        Arc::new(Self { max, open: AtomicUsize::new(0), waiting: Default::default(), server })
    }

    /// Takes a slot, if one is free.
    pub(super) fn take(self: &Arc<Self>) -> Option<Slot> {
        let more = |open| (open < self.max).then_some(open + 1);
        let taken = self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        taken.then(|| Slot(Arc::clone(self)))
    }

    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    pub(super) fn waiting(&self, want: Want) -> usize {
        self.waiting[want as usize].load(Ordering::Relaxed)
    }

    pub(super) fn has_waiting(&self) -> bool {
        Want::ALL.into_iter().any(|want| self.waiting(want) > 0)
    }

    /// Sets how many requests wait. After it, the caller looks for what is free.
    pub(super) fn set_waiting(&self, want: Want, waiting: usize) {
        self.waiting[want as usize].store(waiting, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Serves the requests that wait. Called after a connection, a stream or a slot has become free.
    pub(super) fn freed(&self) {
        fence(Ordering::SeqCst);
        if self.has_waiting()
            && let Some(server) = self.server.upgrade()
        {
            server.serve();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.freed();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Counts how often it is called.
    #[derive(Default)]
    pub(in super::super) struct Calls(AtomicUsize);

    impl Serve for Calls {
        fn serve(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn slots_are_limited_and_become_free_again() {
        let slots = Slots::new(2, Weak::<Calls>::new());
        let (first, second) = (slots.take(), slots.take());
        assert!(first.is_some() && second.is_some() && slots.take().is_none());
        drop(first);
        assert_eq!(slots.open(), 1);
        assert!(slots.take().is_some());
    }

    #[test]
    fn requests_are_served_when_a_slot_becomes_free_and_only_if_they_wait() {
        let calls = Arc::new(Calls::default());
        let server: Weak<Calls> = Arc::downgrade(&calls);
        let slots = Slots::new(1, server);
        drop(slots.take());
        assert_eq!(calls.0.load(Ordering::Relaxed), 0);
        slots.set_waiting(Want::Http1, 1);
        drop(slots.take());
        assert_eq!(calls.0.load(Ordering::Relaxed), 1);
    }
}
