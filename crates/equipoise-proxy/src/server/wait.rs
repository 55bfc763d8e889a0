use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Waker},
};

use tokio::sync::watch;

/// Something that happens once, for which all connections wait.
#[derive(Debug, Default)]
pub(super) struct Event {
    begun: AtomicBool,
    /// Each connection has a receiver, so the number of receivers is that of connections.
    sender: watch::Sender<bool>,
}

impl Event {
    /// Begins the event. Returns whether it had not begun before.
    pub(super) fn begin(&self) -> bool {
        let is_first = !self.begun.swap(true, Ordering::AcqRel);
        self.sender.send_replace(true);
        is_first
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Returns the number of signals that wait for this event.
    pub(super) fn waiting(&self) -> usize {
        self.sender.receiver_count()
    }

    /// Waits until no signal is left.
    pub(super) async fn unused(&self) {
        self.sender.closed().await;
    }

    pub(super) fn signal(self: &Arc<Self>) -> Signal {
        let mut receiver = self.sender.subscribe();
        let future = Box::pin(async move {
            // An error would mean that the sender is gone, but the signal keeps it.
            let _ = receiver.wait_for(|begun| *begun).await;
        });
        Signal { event: Arc::clone(self), future, waker: None }
    }
}

/// Tells one task of an [`Event`].
///
/// Each poll of tokio's future takes a lock that all connections share. A signal polls it only if the waker has
/// changed, which does not happen in a task.
pub(super) struct Signal {
    event: Arc<Event>,
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    waker: Option<Waker>,
}

impl Signal {
    /// Returns whether the event has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.event.has_begun()
    }

    /// Returns whether the event has begun. If not, the task is woken when it begins.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        if self.has_begun() {
            return true;
        }
        if self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return false;
        }
        self.waker = Some(cx.waker().clone());
        self.future.as_mut().poll(cx).is_ready()
    }
}
