//! Requests that wait in the queue of the pool of their client, and requests whose callers give up.
//!
//! A waiting request is a future of [`Pool::acquire`](equipoise_core::Pool::acquire). The pool wakes it as it does
//! under an async runtime. After each event, the engine polls the futures that were woken, at the same simulated time.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use equipoise_core::{PickError, PickRequest};

use super::{
    draw::Draw,
    events::{Event, nanos},
    queued::{Waiting, Wakes},
    state::Engine,
};
use crate::{error::RunError, report::End};

impl Engine<'_> {
    /// Puts a request into the queue of its pool, or sends it if an endpoint can take it at once. Returns false if the
    /// request can neither wait nor be sent.
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

    /// Polls the future of a waiting request, and sends the request if it has got an endpoint. Returns false if it can
    /// no longer get one.
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

    /// Polls the futures of the waiting requests that were woken.
    pub(super) fn serve_woken(&mut self) -> Result<(), RunError> {
        while let Ok((call, number)) = self.woken.1.try_recv() {
            if self.is_open(call, number) && !self.poll_waiting(call)? {
                self.end(call, End::Unserved);
            }
        }
        Ok(())
    }

    /// Ends a request whose queue timeout is over. Does nothing if the request has been sent in the meantime, or waits
    /// again for a retry with a later timeout.
    pub(super) fn queue_timeout(&mut self, call: u32, number: u32) {
        let now = self.now;
        let is_due = |waiting: &Waiting| waiting.until <= now;
        if self.is_open(call, number) && self.calls[call as usize].waiting.as_ref().is_some_and(is_due) {
            self.end(call, End::Unserved);
        }
    }

    /// Ends a request because its caller gives up.
    pub(super) fn caller_gives_up(&mut self, call: u32, number: u32) {
        if self.is_open(call, number) {
            self.end(call, End::GivenUp);
        }
    }

    fn is_open(&self, call: u32, number: u32) -> bool {
        self.calls.get(call as usize).is_some_and(|call| call.number == number)
    }

    /// Returns an error that ends the run if a pick failed because of the strategy. Returns `Ok` if it failed because
    /// no endpoint can take the request.
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
