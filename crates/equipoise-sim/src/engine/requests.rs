//! Open requests and their attempts.

use equipoise_core::{EndpointId, Lease};
use slab::Slab;

use super::{
    events::{AttemptId, Nanos},
    station::Place,
};
use crate::{feed::ServerLoad, report::End};

/// A request as its client sees it.
pub(super) struct Call {
    /// Distinguishes this request from others that had the same slab entry.
    pub(super) number: u32,
    pub(super) client: u32,
    pub(super) key: Option<u32>,
    pub(super) begun: Nanos,
    pub(super) measured: bool,
    pub(super) retries: u32,
    /// Servers that were tried; only kept with retries or hedges.
    pub(super) tried: Vec<EndpointId>,
    /// The open attempts: at most one and its hedge.
    pub(super) open: [Option<AttemptId>; 2],
}

/// One attempt at a server.
pub(super) struct Attempt {
    number: u32,
    pub(super) server: u32,
    /// The client side; `None` once the client has cancelled the attempt.
    pub(super) pending: Option<Pending>,
    pub(super) work: f64,
    /// Network delay of the response.
    pub(super) back: Nanos,
    /// Where the attempt is at its server; `None` if it is on the way.
    pub(super) place: Option<Place>,
    /// Whether the attempt will never get a response.
    pub(super) lost: bool,
    pub(super) end: End,
    /// Load of the server when the response left it.
    pub(super) load: Option<ServerLoad>,
}

/// The client side of an attempt.
pub(super) struct Pending {
    pub(super) lease: Lease<u32>,
    pub(super) call: u32,
}

/// Attempts by id.
#[derive(Default)]
pub(super) struct Attempts {
    slab: Slab<Attempt>,
    next: u32,
}

impl Attempts {
    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(super) fn insert(&mut self, lease: Lease<u32>, call: u32, work: f64, back: Nanos) -> AttemptId {
        self.next = self.next.wrapping_add(1);
        let number = self.next;
        let server = *lease.target();
        let pending = Some(Pending { lease, call });
        let attempt =
            Attempt { number, server, pending, work, back, place: None, lost: false, end: End::Answered, load: None };
        AttemptId { place: self.slab.insert(attempt) as u32, number }
    }

    pub(super) fn get(&self, id: AttemptId) -> Option<&Attempt> {
        self.slab.get(id.place as usize).filter(|attempt| attempt.number == id.number)
    }

    pub(super) fn get_mut(&mut self, id: AttemptId) -> Option<&mut Attempt> {
        self.slab.get_mut(id.place as usize).filter(|attempt| attempt.number == id.number)
    }

    pub(super) fn remove(&mut self, id: AttemptId) -> Option<Attempt> {
        self.get(id)?;
        self.slab.try_remove(id.place as usize)
    }

    /// Returns whether the attempt is still at its server. Servers do not remove cancelled attempts from their queues
    /// at once.
    pub(super) fn is_at_server(&self, id: AttemptId) -> bool {
        self.get(id).is_some_and(|attempt| attempt.place.is_some())
    }
}
