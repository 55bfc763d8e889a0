//! Open requests and their attempts.

use equipoise_core::{EndpointId, Lease};
use slab::Slab;

use super::{
    draw::Draw,
    events::{AttemptId, Nanos},
    station::Place,
    waiting::Waiting,
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
    /// The work that a trace gives to the request and its retries.
    pub(super) traced_work: Option<f64>,
    /// The place in the queue of the pool, while no endpoint can take the request.
    pub(super) waiting: Option<Waiting>,
}

/// One attempt at a server.
pub(super) struct Attempt {
    number: u32,
    pub(super) server: u32,
    /// The client side; `None` once the client has cancelled the attempt.
    pub(super) pending: Option<Pending>,
    /// The costs, with the distance of the server.
    pub(super) draw: Draw,
    /// Where the attempt is at its server; `None` if it is on the way.
    pub(super) place: Option<Place>,
    /// Whether the attempt will never get a response.
    pub(super) lost: bool,
    /// Whether the first byte has reached the client, and the body is on its way.
    pub(super) in_body: bool,
    pub(super) end: End,
    /// Load of the server when the response left it.
    pub(super) load: Option<ServerLoad>,
}

/// The client side of an attempt.
pub(super) struct Pending {
    pub(super) lease: Lease<u32>,
    /// Slab entry of the request. Another request may have it once the first byte has come.
    pub(super) call: u32,
    /// Whether the request is measured.
    pub(super) measured: bool,
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

    pub(super) fn insert(&mut self, pending: Pending, draw: Draw) -> AttemptId {
        self.next = self.next.wrapping_add(1);
        let number = self.next;
        let attempt = Attempt {
            number,
            server: *pending.lease.target(),
            pending: Some(pending),
            draw,
            place: None,
            lost: false,
            in_body: false,
            end: End::Answered,
            load: None,
        };
        AttemptId { place: self.slab.insert(attempt) as u32, number }
    }

    /// Returns the attempts whose bodies are on their way from this server.
    pub(super) fn in_body_from(&self, server: usize) -> Vec<AttemptId> {
        let theirs = |attempt: &Attempt| attempt.in_body && attempt.server as usize == server;
        let found = self.slab.iter().filter(|(_, attempt)| theirs(attempt));
        found.map(|(place, attempt)| AttemptId { place: place as u32, number: attempt.number }).collect()
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
