//! The queue of future events, and time as the engine counts it.

use std::{cmp::Ordering, collections::BinaryHeap, time::Duration};

/// Nanoseconds on the run's clock.
pub(super) type Nanos = u64;

/// When a run begins. Not 0, because pools read a timestamp of 0 as "never".
pub(super) const ORIGIN: Nanos = 1_000_000_000;

pub(super) fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Identifies an attempt. Places are reused for later attempts, numbers are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AttemptId {
    pub(super) place: u32,
    pub(super) number: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// A request arrives at a client.
    Arrival { client: u32 },
    /// An attempt arrives at its server.
    AtServer(AttemptId),
    /// A server finishes a job, unless the plan has changed since.
    Done { server: u32, plan: u32 },
    /// A server answers an attempt with an error, without work.
    FailedFast(AttemptId),
    /// An answer reaches its client.
    Answer(AttemptId),
    /// The body of a response ends or breaks off.
    BodyEnds(AttemptId),
    /// A request has waited in the queue of its pool for as long as it may. `call` is its slab entry.
    QueueTimeout { call: u32, number: u32 },
    /// A caller stops waiting for a response.
    GivesUp { call: u32, number: u32 },
    /// A fault begins or ends.
    Fault { at: u32, begins: bool },
    /// The usable cores of a server change.
    Antagonists { server: u32 },
    /// A load probe arrives at its server, or its response at the client.
    Probe { at: u32 },
    /// A health check arrives at its server, or its response at the client.
    Check { at: u32 },
    /// A timeout of a client's health machine is due.
    HealthTimer { client: u32 },
    /// A snapshot of all loads is due.
    LoadSnapshot,
    /// The measured window begins or ends.
    WindowEdge,
    /// A sample of the series is complete.
    Sample,
}

/// Future events in the order of time. Events of the same time keep the order in which they were planned.
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
    /// Reversed, because the heap returns its greatest entry first.
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
