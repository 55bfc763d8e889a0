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

/// The target of changes in the log, which is also that of the other events of a monitor. Filters can name it.
const TARGET: &str = "equipoise::event";

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

    /// Logs a change of a pool with this name and sends it to all queues. Removes the senders of dropped queues.
    pub(super) fn notify(&self, pool: Option<&str>, change: &AvailabilityChange) {
        tracing::info!(
            target: TARGET, pool, endpoint = %change.id, from = %change.from, to = %change.to, source = %change.source,
            reason = %change.reason, "health changed"
        );
        self.0.lock().retain(|listener| listener.send(change.clone()).is_ok());
    }
}

#[cfg(test)]
mod tests {
    use std::{fmt, sync::Arc};

    use equipoise_core::{Availability, Timestamp};
    use tracing::{
        Event, Metadata, Subscriber,
        field::{Field, Visit},
        span,
    };

    use super::*;
    use crate::machine::Source;

    /// Keeps the fields of all events.
    #[derive(Clone, Default)]
    struct Fields(Arc<Mutex<Vec<String>>>);

    impl Visit for Fields {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            self.0.lock().push(format!("{field}={value:?}"));
        }
    }

    impl Subscriber for Fields {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn event(&self, event: &Event<'_>) {
            self.0.lock().push(format!("target={}", event.metadata().target()));
            event.record(&mut self.clone());
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    #[test]
    fn the_event_of_a_change_has_the_name_of_the_pool_if_there_is_one() {
        let change = AvailabilityChange {
            id: "a:80".into(),
            from: Availability::Up,
            to: Availability::Unhealthy,
            source: Source::Checks,
            reason: "http: status 500".to_owned(),
            at: Timestamp::ZERO,
        };
        let fields = Fields::default();
        tracing::subscriber::with_default(fields.clone(), || {
            Listeners::default().notify(Some("web"), &change);
            Listeners::default().notify(None, &change);
        });
        let common = [
            "target=equipoise::event",
            "message=health changed",
            "endpoint=a:80",
            "from=up",
            "to=unhealthy",
            "source=checks",
            "reason=http: status 500",
        ];
        let fields = fields.0.lock();
        assert_eq!(fields.len(), 2 * common.len() + 1, "{fields:?}");
        assert_eq!(fields.iter().filter(|field| *field == "pool=\"web\"").count(), 1);
        for field in common {
            assert_eq!(fields.iter().filter(|other| *other == field).count(), 2, "{field} {fields:?}");
        }
    }

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
