use std::{
    mem,
    sync::Arc,
    task::{Context, Waker},
};

use bytes::{Buf, Bytes};
use equipoise_tower::InterimSender;
use http::{
    HeaderMap, Method, Request, StatusCode, Version,
    header::{CONTENT_LENGTH, SET_COOKIE, TRAILER, UPGRADE},
};
use parking_lot::Mutex;

use crate::headers::remove_hop_by_hop;

/// The maximum size of the interim responses that wait behind those that are being written. Further ones are discarded.
/// The size of those that are being written has the same maximum.
const MAX_WAITING: usize = 32 * 1024;

/// The interim responses of an HTTP/1.1 connection that wait to be written. hyper's server cannot send them, so the stream
/// of the connection writes them between hyper's messages.
#[derive(Debug, Default)]
pub(super) struct Interim(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// The number of the request whose interim responses are accepted, until its response begins.
    request: Option<u64>,
    /// Whole interim responses.
    bytes: Vec<u8>,
    /// Wakes the task of the connection when there is more.
    waker: Option<Waker>,
}

impl Interim {
    /// Accepts interim responses to the request with this number, until [`Accepting::close`]. Adds the extension with which
    /// the service sends them. Returns `None` if the client must not get any: in HTTP/1.0 and HTTP/2, and if the connection
    /// may become a tunnel.
    pub(super) fn accept<B>(self: &Arc<Self>, number: u64, request: &mut Request<B>) -> Option<Accepting> {
        if request.version() != Version::HTTP_11
            || *request.method() == Method::CONNECT
            || request.headers().contains_key(UPGRADE)
        {
            return None;
        }
        self.0.lock().request = Some(number);
        let interim = Arc::clone(self);
        let sender = InterimSender::new(move |status, headers| interim.push(number, status, headers));
        request.extensions_mut().insert(sender);
        Some(Accepting(Arc::clone(self)))
    }

    fn push(&self, number: u64, status: StatusCode, headers: &HeaderMap) {
        let mut waiting = self.0.lock();
        // What would be discarded is not encoded.
        if waiting.request != Some(number) || waiting.bytes.len() >= MAX_WAITING {
            return;
        }
        let response = encode(status, headers);
        let length = waiting.bytes.len() + response.len();
        if length > MAX_WAITING {
            return;
        }
        let capacity = waiting.bytes.capacity();
        if length > capacity {
            // `extend_from_slice` alone could make the capacity larger than the maximum.
            let additional = (2 * capacity).clamp(length, MAX_WAITING) - waiting.bytes.len();
            waiting.bytes.reserve_exact(additional);
        }
        waiting.bytes.extend_from_slice(&response);
        let waker = waiting.waker.take();
        drop(waiting);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes what waits. The task is woken when there is more.
    fn take(&self, cx: &Context<'_>) -> Bytes {
        let mut waiting = self.0.lock();
        if waiting.request.is_some() {
            waiting.waker = Some(cx.waker().clone());
        } else if !waiting.bytes.is_empty() {
            // The response was held back until now.
            cx.waker().wake_by_ref();
        }
        mem::take(&mut waiting.bytes).into()
    }
}

/// Accepts the interim responses to a request.
#[derive(Debug)]
pub(super) struct Accepting(Arc<Interim>);

impl Accepting {
    /// Accepts no further interim responses, because the service has responded. Returns whether the stream has taken all.
    /// Otherwise, the response has to wait, and the stream wakes the task.
    pub(super) fn close(&self) -> bool {
        let mut waiting = self.0.0.lock();
        (waiting.request, waiting.waker) = (None, None);
        waiting.bytes.is_empty()
    }
}

/// What the stream of a connection writes of its interim responses.
#[derive(Debug)]
pub(super) struct InterimWriter {
    /// `None` if the connection has none, or no more.
    interim: Option<Arc<Interim>>,
    /// What was begun. Nothing else may be written before its end.
    rest: Bytes,
}

impl InterimWriter {
    pub(super) fn new(interim: Option<Arc<Interim>>) -> Self {
        Self { interim, rest: Bytes::new() }
    }

    /// Takes the interim responses that wait. Call it only if all that was begun is written. Returns whether there are any.
    pub(super) fn begin(&mut self, cx: &Context<'_>) -> bool {
        if let Some(interim) = &self.interim {
            self.rest = interim.take(cx);
        }
        !self.rest.is_empty()
    }

    /// Returns the rest of what was begun.
    pub(super) fn rest(&self) -> &Bytes {
        &self.rest
    }

    /// Notes that so many bytes of the rest were written.
    pub(super) fn advance(&mut self, written: usize) {
        self.rest.advance(written.min(self.rest.len()));
    }

    /// Begins no further interim responses, and discards those that wait.
    pub(super) fn stop(&mut self) {
        if let Some(interim) = self.interim.take() {
            *interim.0.lock() = Waiting::default();
        }
    }
}

impl Drop for InterimWriter {
    fn drop(&mut self) {
        // A service may keep a sender longer than the connection exists.
        self.stop();
    }
}

/// Returns an interim response as it is sent, without the fields of the endpoint's connection, those of a body (RFC 9110,
/// section 8.6), and cookies, which no layer has seen.
fn encode(status: StatusCode, headers: &HeaderMap) -> Vec<u8> {
    let mut headers = headers.clone();
    remove_hop_by_hop(&mut headers);
    headers.remove(CONTENT_LENGTH);
    headers.remove(TRAILER);
    headers.remove(SET_COOKIE);
    let reason = status.canonical_reason().unwrap_or_default();
    let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).into_bytes();
    for (name, value) in &headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            bytes.extend_from_slice(part);
        }
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}
