//! The queue of future events, and the time of a run in nanoseconds.

use std::{cmp::Ordering, collections::BinaryHeap, time::Duration};

/// A time in nanoseconds on the clock of the run, or a duration in nanoseconds.
pub(super) type Nanos = u64;

/// The time at which a run begins. Not 0, because pools read a timestamp of 0 as "never".
pub(super) const ORIGIN: Nanos = 1_000_000_000;

pub(super) fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Identifies an attempt. `place` is the slab entry of the attempt, which later attempts reuse. `number` is unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AttemptId {
    pub(super) place: u32,
    pub(super) number: u32,
}

/// An event in the future of a run. `client` and `server` are indices; `at` is the index of a fault, or the slab entry
/// of a probe or a check.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// A request arrives at a client.
    Arrival { client: u32 },
    /// An attempt arrives at its server.
    AtServer(AttemptId),
    /// A server finishes a job. Ignored if the server has made a newer plan than `plan`.
    Done { server: u32, plan: u32 },
    /// A server responds to an attempt with an error, without having worked on it.
    FailedFast(AttemptId),
    /// The response to an attempt reaches its client, or the client notices that none will come.
    Answer(AttemptId),
    /// The body of a response ends, or the client notices that it has broken off.
    BodyEnds(AttemptId),
    /// A request has waited in the queue of its pool for as long as it may. `call` is the slab entry of the request.
    QueueTimeout { call: u32, number: u32 },
    /// The caller of a request stops waiting. `call` is the slab entry of the request.
    GivesUp { call: u32, number: u32 },
    /// The fault with the index `at` begins or ends.
    Fault { at: u32, begins: bool },
    /// The number of cores that a server can use changes.
    Antagonists { server: u32 },
    /// A load probe arrives at its server, or the response to the probe at the client.
    Probe { at: u32 },
    /// A health check arrives at its server, or the response to the check at the client.
    Check { at: u32 },
    /// A timeout of the health state machine of a client is due.
    HealthTimer { client: u32 },
    /// A snapshot of the loads of all servers is due.
    LoadSnapshot,
    /// The measured window begins or ends.
    WindowEdge,
    /// An interval of the series of samples ends.
    Sample,
}

/// The future events in the order of time. Events of the same time keep the order in which they were planned.
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
