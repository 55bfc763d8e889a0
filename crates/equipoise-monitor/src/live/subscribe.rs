//! The stream of events for a subscriber.

use std::sync::Arc;

use tokio::sync::broadcast::{
    Receiver,
    error::{RecvError, TryRecvError},
};

use super::event::MonitorEvent;

/// The events of a monitor from the time of [`Monitor::subscribe`](crate::Monitor::subscribe) on, in the order of their
/// numbers.
///
/// At most 1 024 events wait for a subscriber. If more happen before it reads, the oldest ones are dropped, and it gets
/// [`Received::Dropped`] with their number. A slow subscriber holds up neither the monitor nor other subscribers.
///
/// Works on every async runtime. As a `Stream`:
///
/// ```
/// # fn stream(events: equipoise_monitor::live::MonitorEvents) -> impl Sized {
/// futures::stream::unfold(events, async |mut events| Some((events.next().await?, events)))
/// # }
/// ```
#[derive(Debug)]
pub struct MonitorEvents(Receiver<Arc<MonitorEvent>>);

/// What a subscriber gets next. Returned by [`MonitorEvents::next`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Received {
    /// The next event.
    Event(MonitorEvent),
    /// The number of events that were dropped, because the subscriber has not read them in time. The next event follows.
    Dropped(u64),
}

impl MonitorEvents {
    pub(super) fn new(receiver: Receiver<Arc<MonitorEvent>>) -> Self {
        Self(receiver)
    }

    /// Waits for the next event. Returns `None` if all clones of the monitor were dropped and there are no more events.
    ///
    /// No event is lost if the future is dropped before it ends.
    pub async fn next(&mut self) -> Option<Received> {
        match self.0.recv().await {
            Ok(event) => Some(Received::Event(Arc::unwrap_or_clone(event))),
            Err(RecvError::Lagged(dropped)) => Some(Received::Dropped(dropped)),
            Err(RecvError::Closed) => None,
        }
    }

    /// Returns the next event without waiting. Returns `None` if there is none at present.
    pub fn try_next(&mut self) -> Option<Received> {
        match self.0.try_recv() {
            Ok(event) => Some(Received::Event(Arc::unwrap_or_clone(event))),
            Err(TryRecvError::Lagged(dropped)) => Some(Received::Dropped(dropped)),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }
}
