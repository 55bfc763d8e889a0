use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::machine::AvailabilityChange;

/// The changes of availability since [`Health::changes`](crate::Health::changes), in order.
///
/// Changes are queued without a limit until they are read. Drop the value if it is not read any more.
///
/// A stream of them, for code that expects one, is `futures::stream::poll_fn(move |cx| changes.poll_next(cx))`.
#[derive(Debug)]
pub struct AvailabilityChanges(mpsc::UnboundedReceiver<AvailabilityChange>);

impl AvailabilityChanges {
    /// Waits for the next change. `None` if all clones of the [`Health`](crate::Health) are gone.
    ///
    /// The future may be dropped at any time; no change is lost.
    pub async fn next(&mut self) -> Option<AvailabilityChange> {
        self.0.recv().await
    }

    /// Polls for the next change: [`next`](Self::next) for futures and streams that are written by hand. `Ready(None)` if
    /// all clones of the [`Health`](crate::Health) are gone.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<AvailabilityChange>> {
        self.0.poll_recv(cx)
    }

    /// Returns the next change if one is queued, without waiting.
    pub fn try_next(&mut self) -> Option<AvailabilityChange> {
        self.0.try_recv().ok()
    }
}

/// The receivers of changes.
#[derive(Debug, Default)]
pub(super) struct Listeners(Mutex<Vec<mpsc::UnboundedSender<AvailabilityChange>>>);

impl Listeners {
    pub(super) fn add(&self) -> AvailabilityChanges {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut listeners = self.0.lock();
        // Also here, because there may never be a change.
        listeners.retain(|listener| !listener.is_closed());
        listeners.push(sender);
        AvailabilityChanges(receiver)
    }

    /// Sends a change to all listeners, and removes those that are gone.
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
