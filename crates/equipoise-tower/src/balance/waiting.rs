use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use equipoise_core::{Acquire, Lease, PickError};
use tokio::time::{Sleep, sleep};

/// The waits of one request in the pool's queue. They have one deadline together.
pub(super) struct Waiting<T> {
    deadline: Pin<Box<Sleep>>,
    /// Its entry in the pool's queue, while it waits.
    entry: Option<Acquire<T>>,
}

impl<T: Send + Sync + 'static> Waiting<T> {
    pub(super) fn new(longest: Duration) -> Self {
        Self { deadline: Box::pin(sleep(longest)), entry: None }
    }

    /// Returns the lease when it is the request's turn; at the deadline, the reason why the request still waits.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        acquire: impl FnOnce() -> Acquire<T>,
    ) -> Poll<Result<Lease<T>, PickError>> {
        let entry = self.entry.get_or_insert_with(acquire);
        let outcome = match Pin::new(&mut *entry).poll(cx) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending if self.deadline.as_mut().poll(cx).is_ready() => Err(entry.reason()),
            Poll::Pending => return Poll::Pending,
        };
        // Now, and not when the request is dropped: the next request takes its turn.
        self.entry = None;
        Poll::Ready(outcome)
    }
}
