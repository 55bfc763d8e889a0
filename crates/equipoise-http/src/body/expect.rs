//! Requests with `Expect: 100-continue` (RFC 9110, section 10.1.1).

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::task::AtomicWaker;
use http::{HeaderMap, header::EXPECT};
use tokio::time::{Sleep, sleep};

/// Opens a [`Gate`], or closes it for ever.
#[derive(Clone, Default)]
pub(crate) struct Expectation(Arc<State>);

#[derive(Default)]
struct State {
    /// 0, [`MET`] or [`REFUSED`].
    answer: AtomicU8,
    waker: AtomicWaker,
}

const MET: u8 = 1;
const REFUSED: u8 = 2;

impl Expectation {
    /// Returns whether the request expects `100 Continue` before it sends its body.
    pub(crate) fn is_in(headers: &HeaderMap) -> bool {
        headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    }

    /// Called when the server asks for the body.
    pub(crate) fn meet(&self) {
        self.0.answer.store(MET, Ordering::Release);
        self.0.waker.wake();
    }

    /// Called when the server has refused the request. A body that is still held back is not sent any more.
    pub(crate) fn refuse(&self) {
        self.0.answer.store(REFUSED, Ordering::Release);
    }

    /// Returns the gate of a body that waits for this expectation, at most for `timeout`.
    pub(crate) fn gate(&self, timeout: Duration) -> Gate {
        Gate { expectation: self.clone(), timeout, timer: None }
    }
}

/// Holds a body back until the server asks for it, or until the timeout has passed. If the server refuses the request
/// before, the body is held back for ever.
pub(crate) struct Gate {
    expectation: Expectation,
    timeout: Duration,
    /// Created when the body is polled for the first time, which is after the head was written.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Gate {
    pub(super) fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let state = &self.expectation.0;
        state.waker.register(cx.waker());
        match state.answer.load(Ordering::Acquire) {
            MET => Poll::Ready(()),
            REFUSED => Poll::Pending,
            _ => self.timer.get_or_insert_with(|| Box::pin(sleep(self.timeout))).as_mut().poll(cx),
        }
    }
}
