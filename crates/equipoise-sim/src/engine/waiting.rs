//! Requests that wait in the queue of their client's pool, and requests that their callers give up.
//!
//! A waiting request is a future of [`Pool::acquire`](equipoise_core::Pool::acquire). The pool wakes it as it would
//! under an async runtime; the engine polls it after the event that woke it, at the same simulated time.

use std::{
    pin::Pin,
    sync::{
        Arc,
        mpsc::{Receiver, Sender},
    },
    task::{Context, Poll, Wake, Waker},
};

use equipoise_core::{Acquire, PickError, PickRequest};

use super::{
    draw::Draw,
    events::{Event, Nanos, nanos},
    state::Engine,
};
use crate::{error::RunError, report::End};

/// A request that waits for an endpoint.
pub(super) struct Waiting {
    lease: Acquire<u32>,
    /// The costs of the attempt, once it has an endpoint.
    draw: Draw,
    /// When it has waited for as long as it may.
    until: Nanos,
    waker: Waker,
}

/// The requests that were woken since they were last polled, by slab entry and number, in the order of their wakes.
pub(super) type Woken = (Sender<(u32, u32)>, Receiver<(u32, u32)>);

struct Wakes {
    call: u32,
    number: u32,
    woken: Sender<(u32, u32)>,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        // The receiver is gone once the run is over.
        let _ = self.woken.send((self.call, self.number));
    }
}

impl Engine<'_> {
    /// Puts a request into the queue of its pool, or sends it if it gets a lease at once. Returns false if it can
    /// neither wait nor be sent.
    pub(super) fn wait(&mut self, call: u32, draw: Draw) -> Result<bool, RunError> {
        let Some(timeout) = self.scenario.queue_timeout else { return Ok(false) };
        let waiting = &mut self.calls[call as usize];
        let bytes = waiting.key.map(u32::to_le_bytes);
        let request = bytes.as_ref().map_or_else(PickRequest::new, |key| PickRequest::new().key(key));
        let lease = self.clients[waiting.client as usize].pool.acquire(&request.exclude(&waiting.tried));
        let number = waiting.number;
        let waker = Waker::from(Arc::new(Wakes { call, number, woken: self.woken.0.clone() }));
        let until = self.now.saturating_add(nanos(timeout));
        waiting.waiting = Some(Waiting { lease, draw, until, waker });
        self.events.plan(until, Event::QueueTimeout { call, number });
        self.poll_waiting(call)
    }

    /// Polls a waiting request. Returns false if it can no longer be served.
    fn poll_waiting(&mut self, number: u32) -> Result<bool, RunError> {
        let call = &mut self.calls[number as usize];
        let Some(waiting) = &mut call.waiting else { return Ok(true) };
        let Poll::Ready(picked) = Pin::new(&mut waiting.lease).poll(&mut Context::from_waker(&waiting.waker)) else {
            return Ok(true);
        };
        let draw = waiting.draw;
        call.waiting = None;
        match picked {
            Ok(lease) => self.send(number, lease, draw).map(|()| true),
            Err(error) => self.refused(number, error).map(|()| false),
        }
    }

    /// Polls the requests that were woken.
    pub(super) fn serve_woken(&mut self) -> Result<(), RunError> {
        while let Ok((call, number)) = self.woken.1.try_recv() {
            if self.is_open(call, number) && !self.poll_waiting(call)? {
                self.end(call, End::Unserved);
            }
        }
        Ok(())
    }

    /// A request has waited for as long as it may, unless it was served and waits for a retry now.
    pub(super) fn queue_timeout(&mut self, call: u32, number: u32) {
        let now = self.now;
        let is_due = |waiting: &Waiting| waiting.until <= now;
        if self.is_open(call, number) && self.calls[call as usize].waiting.as_ref().is_some_and(is_due) {
            self.end(call, End::Unserved);
        }
    }

    /// A caller has waited for as long as it wants to.
    pub(super) fn caller_gives_up(&mut self, call: u32, number: u32) {
        if self.is_open(call, number) {
            self.end(call, End::GivenUp);
        }
    }

    fn is_open(&self, call: u32, number: u32) -> bool {
        self.calls.get(call as usize).is_some_and(|call| call.number == number)
    }

    /// Returns the error of a run if a pick failed although it could not.
    pub(super) fn refused(&self, call: u32, error: PickError) -> Result<(), RunError> {
        match error {
            PickError::Empty | PickError::Unavailable { .. } | PickError::Saturated => Ok(()),
            source => {
                let (label, client) = (self.contender.label(), self.calls[call as usize].client as usize);
                Err(RunError::Misbehaved { label, client, after: self.elapsed(), source })
            }
        }
    }
}
