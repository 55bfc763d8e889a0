//! Requests that are open, and the attempts that are made for them.

use equipoise_core::{EndpointId, Failure, Lease, Verdict};
use slab::Slab;

use super::{
    events::{Nanos, TryId},
    station::Place,
};
use crate::feed::ServerLoad;

/// A request as its client sees it.
pub(super) struct Call {
    /// Tells it from others that had its place.
    pub(super) number: u32,
    pub(super) client: u32,
    pub(super) key: Option<u32>,
    pub(super) begun: Nanos,
    pub(super) measured: bool,
    pub(super) retries: u32,
    /// Servers tried, where that matters.
    pub(super) tried: Vec<EndpointId>,
    /// The attempts under way: a first one, and one that hedges.
    pub(super) open: [Option<TryId>; 2],
}

/// One attempt at a server.
pub(super) struct Try {
    number: u32,
    pub(super) server: u32,
    /// The client's side of it; `None` once the client has given it up.
    pub(super) held: Option<Held>,
    pub(super) work: f64,
    /// The answer's time on the way.
    pub(super) back: Nanos,
    /// Where it is at its server, if it is there.
    pub(super) place: Option<Place>,
    /// Nobody will ever answer it.
    pub(super) lost: bool,
    pub(super) end: End,
    /// What the server said of itself as the answer left.
    pub(super) load: Option<ServerLoad>,
}

/// What the client has of an attempt.
pub(super) struct Held {
    pub(super) lease: Lease<u32>,
    pub(super) call: u32,
}

/// How an attempt, or a request, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Answered,
    /// Answered with an error.
    Failed,
    Refused,
    Broken,
    TimedOut,
    /// No attempt could be made.
    Unserved,
}

impl End {
    pub(super) fn verdict(self) -> Verdict {
        match self {
            Self::Answered => Verdict::Success,
            Self::Failed => Verdict::Failure(Failure::Server),
            Self::Refused => Verdict::Failure(Failure::Connect),
            Self::Broken => Verdict::Failure(Failure::Transport),
            Self::TimedOut => Verdict::Failure(Failure::Timeout),
            Self::Unserved => Verdict::Neutral,
        }
    }
}

/// Attempts by id.
#[derive(Default)]
pub(super) struct Tries {
    slab: Slab<Try>,
    next: u32,
}

impl Tries {
    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(super) fn insert(&mut self, lease: Lease<u32>, call: u32, work: f64, back: Nanos) -> TryId {
        self.next = self.next.wrapping_add(1);
        let number = self.next;
        let server = *lease.target();
        let held = Some(Held { lease, call });
        let attempt =
            Try { number, server, held, work, back, place: None, lost: false, end: End::Answered, load: None };
        TryId { place: self.slab.insert(attempt) as u32, number }
    }

    pub(super) fn get(&self, id: TryId) -> Option<&Try> {
        self.slab.get(id.place as usize).filter(|attempt| attempt.number == id.number)
    }

    pub(super) fn get_mut(&mut self, id: TryId) -> Option<&mut Try> {
        self.slab.get_mut(id.place as usize).filter(|attempt| attempt.number == id.number)
    }

    pub(super) fn remove(&mut self, id: TryId) -> Option<Try> {
        self.get(id)?;
        self.slab.try_remove(id.place as usize)
    }

    /// Whether it is at its server: for the server, which keeps no book of whom it has lost.
    pub(super) fn is_here(&self, id: TryId) -> bool {
        self.get(id).is_some_and(|attempt| attempt.place.is_some())
    }
}
