use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use equipoise_core::{Acquire, Lease, PickError};
use tokio::time::{Sleep, sleep};

/// A request that waits for an endpoint, perhaps several times; it has one deadline for all of them.
pub(super) struct Waiting<T> {
    deadline: Pin<Box<Sleep>>,
    /// Its entry in the pool's queue, while it waits.
    entry: Option<Acquire<T>>,
}

impl<T: Send + Sync + 'static> Waiting<T> {
    pub(super) fn new(longest: Duration) -> Self {
        Self { deadline: Box::pin(sleep(longest)), entry: None }
    }

    /// The lease, as soon as it is this request's turn; or, at the deadline, the reason for which it still waits.
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
        // Here and not when the request is dropped: its turn is the next one's at once.
        self.entry = None;
        Poll::Ready(outcome)
    }
}
