//! The open requests of all clients, and their attempts.

use equipoise_core::{EndpointId, Lease};
use slab::Slab;

use super::{
    draw::Draw,
    events::{AttemptId, Nanos},
    queued::Waiting,
    station::Place,
};
use crate::{feed::ServerLoad, report::End};

/// An open request, as its client sees it.
pub(super) struct Call {
    /// Distinguishes this request from earlier and later ones in the same slab entry.
    pub(super) number: u32,
    pub(super) client: u32,
    pub(super) key: Option<u32>,
    pub(super) begun: Nanos,
    pub(super) measured: bool,
    pub(super) retries: u32,
    /// Servers to which the request was sent. Only recorded if the scenario has retries or hedges.
    pub(super) tried: Vec<EndpointId>,
    /// The open attempts of the request: at most two, of which one is a hedge.
    pub(super) open: [Option<AttemptId>; 2],
    /// The work of the request if it is from a trace. Retries and hedges are the same work.
    pub(super) traced_work: Option<f64>,
    /// The entry of the request in the queue of the pool, as long as no endpoint can take the request.
    pub(super) waiting: Option<Waiting>,
}

/// An attempt: a request that was sent to one server.
pub(super) struct Attempt {
    number: u32,
    pub(super) server: u32,
    /// The part of the client in the attempt. `None` once the client has cancelled the attempt.
    pub(super) pending: Option<Pending>,
    /// The costs of the attempt, including the distance of the server.
    pub(super) draw: Draw,
    /// Whether the attempt is in service or in the queue of its server. `None` if it is on its way or has left the
    /// server.
    pub(super) place: Option<Place>,
    /// Whether the attempt never gets a response.
    pub(super) lost: bool,
    /// The time at which the body of the response ends or breaks off, as the client sees it. `None` before the first
    /// byte of the response has reached the client.
    pub(super) body_until: Option<Nanos>,
    /// How the attempt ends, unless the client cancels it before.
    pub(super) end: End,
    /// The load of the server when the response left it. `None` before that, and for a response without a load.
    pub(super) load: Option<ServerLoad>,
}

/// The part of the client in an open attempt.
pub(super) struct Pending {
    pub(super) lease: Lease<u32>,
    /// Slab entry of the request. Once the first byte of the response has come, the request has ended and another one
    /// may have the entry.
    pub(super) call: u32,
    /// Whether the request is measured.
    pub(super) measured: bool,
}

/// The attempts of all clients, by id.
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
            body_until: None,
            end: End::Answered,
            load: None,
        };
        AttemptId { place: self.slab.insert(attempt) as u32, number }
    }

    /// Returns the attempts for which a body is on its way from this server, or has broken off without notice.
    pub(super) fn in_body_from(&self, server: usize) -> Vec<AttemptId> {
        let theirs = |attempt: &Attempt| attempt.body_until.is_some() && attempt.server as usize == server;
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

    /// Returns whether an attempt is in service or in the queue of its server. Servers keep cancelled attempts in their
    /// lists for some time, and use this to skip them.
    pub(super) fn is_at_server(&self, id: AttemptId) -> bool {
        self.get(id).is_some_and(|attempt| attempt.place.is_some())
    }
}
