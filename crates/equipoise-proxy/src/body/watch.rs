use std::{
    ops::Deref,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Context, Waker},
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{error::RequestBodyError, timer::Elapsed};
use crate::timing::SharedInstant;

/// What the proxy knows of a request's body while the inner service reads it. Clients of endpoints do not always pass
/// the error of a body on, so the proxy cannot rely on their error alone.
#[derive(Debug)]
pub(crate) struct BodyWatch {
    /// Whether the length of the body is not known.
    is_stream: bool,
    /// When the latest frame came.
    latest: SharedInstant,
    failure: AtomicU8,
    /// Whether the reader waits for the client.
    waiting: AtomicBool,
    /// Whether the head of the response has arrived.
    responded: AtomicBool,
    /// When the response has ended.
    ended: OnceLock<Instant>,
    /// The task that waits for the next frame.
    reader: Mutex<Option<Waker>>,
}

/// How far the response is, which decides which times limit the request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its head has not arrived.
    Head,
    /// Its body is being forwarded. This body limits how long nothing may happen in both directions, because one side
    /// of a stream may be silent for long.
    Body,
    /// It has ended, or there will be none. Only the request's body can notice now that the client sends nothing more.
    Ended(Instant),
}

impl BodyWatch {
    pub(super) fn new(is_stream: bool) -> Self {
        Self {
            is_stream,
            latest: SharedInstant::now(),
            failure: AtomicU8::new(0),
            waiting: AtomicBool::new(false),
            responded: AtomicBool::new(false),
            ended: OnceLock::new(),
            reader: Mutex::new(None),
        }
    }

    /// Returns when the latest frame came.
    pub(crate) fn latest(&self) -> Instant {
        self.latest.get()
    }

    /// Returns the failure of the body, if it has failed.
    pub(crate) fn failure(&self) -> Option<RequestBodyError> {
        match self.failure.load(Ordering::Relaxed) {
            1 => Some(RequestBodyError::TooLarge),
            2 => Some(RequestBodyError::Idle),
            3 => Some(RequestBodyError::Total),
            4 => Some(RequestBodyError::Silent),
            5 => Some(RequestBodyError::Client("the cause was passed to the inner service".into())),
            _ => None,
        }
    }

    /// Returns the failure of a body whose next frame has not come in time.
    pub(crate) fn late(&self, elapsed: Elapsed) -> RequestBodyError {
        match elapsed {
            Elapsed::Idle if self.is_stream && self.ended.get().is_none() => RequestBodyError::Silent,
            elapsed => elapsed.into(),
        }
    }

    /// Returns whether the inner service has asked for a frame that the client has not sent. If so, the endpoint is not
    /// known to be late.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
    }

    /// The request goes to the inner service, which has asked for no frame yet.
    pub(crate) fn forward(&self) {
        self.waiting.store(false, Ordering::Relaxed);
    }

    /// The head of the response has arrived.
    pub(crate) fn respond(&self) {
        self.responded.store(true, Ordering::Relaxed);
    }

    /// The response has ended, so the reader's task must begin to limit the time again.
    fn end(&self) {
        let _ = self.ended.set(Instant::now());
        let reader = self.reader.lock().take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// The reader waits for a frame. Returns which times limit it. The task is woken when the response ends.
    pub(super) fn wait(&self, cx: &Context<'_>) -> Phase {
        self.waiting.store(true, Ordering::Relaxed);
        // Before the end is looked for, so that it is not missed. The earlier waker is dropped after the lock, because
        // it may be the last owner of a task that holds the response.
        let reader = cx.waker().clone();
        let earlier = self.reader.lock().replace(reader);
        drop(earlier);
        match self.ended.get() {
            Some(ended) => Phase::Ended(*ended),
            None if self.responded.load(Ordering::Relaxed) => Phase::Body,
            None => Phase::Head,
        }
    }

    pub(super) fn progress(&self) {
        self.waiting.store(false, Ordering::Relaxed);
        self.latest.touch();
    }

    pub(super) fn fail(&self, error: &RequestBodyError) {
        let code = match error {
            RequestBodyError::TooLarge => 1,
            RequestBodyError::Idle => 2,
            RequestBodyError::Total => 3,
            RequestBodyError::Silent => 4,
            RequestBodyError::Client(_) => 5,
        };
        self.failure.store(code, Ordering::Relaxed);
    }
}

/// The response's side of a [`BodyWatch`]. When it is dropped, the response has ended.
#[derive(Debug)]
pub(crate) struct ResponseWatch(Arc<BodyWatch>);

impl ResponseWatch {
    pub(super) fn new(watch: Arc<BodyWatch>) -> Self {
        Self(watch)
    }
}

impl Deref for ResponseWatch {
    type Target = BodyWatch;

    fn deref(&self) -> &BodyWatch {
        &self.0
    }
}

impl Drop for ResponseWatch {
    fn drop(&mut self) {
        self.0.end();
    }
}
