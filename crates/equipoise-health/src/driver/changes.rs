use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::machine::AvailabilityChange;

/// A queue of changes of endpoints' availability, in the order in which they happened.
/// [`Health::changes`](crate::Health::changes) creates the queue. The queue receives each change that happens after its
/// creation.
///
/// The length of the queue is not limited: changes stay in the queue until they are read. Drop the queue when you no
/// longer read it, to free its memory.
///
/// To use the queue as a `Stream`, write `futures::stream::poll_fn(move |cx| changes.poll_next(cx))`.
#[derive(Debug)]
pub struct AvailabilityChanges(mpsc::UnboundedReceiver<AvailabilityChange>);

impl AvailabilityChanges {
    /// Waits for the next change and returns it. Returns `None` if all clones of the [`Health`](crate::Health) were
    /// dropped and the queue is empty.
    ///
    /// No change is lost if the future is dropped before it ends.
    pub async fn next(&mut self) -> Option<AvailabilityChange> {
        self.0.recv().await
    }

    /// Polls for the next change, for futures and streams that are written by hand. Otherwise use [`next`](Self::next).
    /// If the queue is empty, returns `Ready(None)` if all clones of the [`Health`](crate::Health) were dropped, and
    /// `Pending` otherwise.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<AvailabilityChange>> {
        self.0.poll_recv(cx)
    }

    /// Returns the next change without waiting. Returns `None` if no change is queued.
    pub fn try_next(&mut self) -> Option<AvailabilityChange> {
        self.0.try_recv().ok()
    }
}

/// The senders of changes, one for each [`AvailabilityChanges`] queue.
#[derive(Debug, Default)]
pub(super) struct Listeners(Mutex<Vec<mpsc::UnboundedSender<AvailabilityChange>>>);

impl Listeners {
    pub(super) fn add(&self) -> AvailabilityChanges {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut listeners = self.0.lock();
        // Senders are removed here as well as in `notify`, because there may never be a change.
        listeners.retain(|listener| !listener.is_closed());
        listeners.push(sender);
        AvailabilityChanges(receiver)
    }

    /// Logs a change and sends it to all queues. Removes the senders of dropped queues.
    pub(super) fn notify(&self, change: &AvailabilityChange) {
        tracing::info!(
            endpoint = %change.id, from = %change.from, to = %change.to, source = %change.source,
            reason = %change.reason, "health changed"
        );
        self.0.lock().retain(|listener| listener.send(change.clone()).is_ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_that_are_gone_are_removed_even_if_nothing_changes() {
        let listeners = Listeners::default();
        let kept = listeners.add();
        for _ in 0..100 {
            drop(listeners.add());
        }
        assert!(listeners.0.lock().len() <= 2);
        drop(kept);
    }
}
