//! What happens next.

use std::{cmp::Ordering, collections::BinaryHeap};

/// Nanoseconds on the run's clock.
pub(super) type Nanos = u64;

/// Names an attempt for as long as it lives: places are used again, numbers are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TryId {
    pub(super) place: u32,
    pub(super) number: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// A request comes to a client.
    Arrival { client: u32 },
    /// An attempt reaches its server.
    FailureStage(TryId),
    /// A server is done with a job, unless its plans have changed since.
    Done { server: u32, plan: u32 },
    /// A server answers an attempt without having worked on it.
    Sunk(TryId),
    /// An answer reaches its client.
    Answer(TryId),
    /// A fault begins or ends.
    Fault { at: u32, begins: bool },
    /// The others on a server's machine change.
    Antagonists { server: u32 },
    /// A probe reaches its server, or comes back.
    Probe { at: u32 },
    /// A health check reaches its server, or comes back.
    Check { at: u32 },
    /// A client's health machine wants to be woken.
    Tend { client: u32 },
    /// The board is filled.
    Board,
    /// What is measured begins or ends.
    Border,
    /// A sample of the series is complete.
    Sample,
}

/// Events in the order of their time; those of one moment in the order in which they were planned.
#[derive(Default)]
pub(super) struct Events {
    heap: BinaryHeap<Entry>,
    planned: u64,
}

struct Entry {
    at: Nanos,
    order: u64,
    event: Event,
}

impl Events {
    pub(super) fn plan(&mut self, at: Nanos, event: Event) {
        self.planned += 1;
        self.heap.push(Entry { at, order: self.planned, event });
    }

    pub(super) fn next_at(&self) -> Option<Nanos> {
        self.heap.peek().map(|entry| entry.at)
    }

    pub(super) fn next(&mut self) -> Option<(Nanos, Event)> {
        self.heap.pop().map(|entry| (entry.at, entry.event))
    }
}

impl Ord for Entry {
    /// The earliest is the greatest: that is what the heap gives out first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}
