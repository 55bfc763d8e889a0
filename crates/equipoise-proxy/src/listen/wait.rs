use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use pin_project_lite::pin_project;
use tokio::{sync::watch, task::unconstrained};

/// Something that happens once, for which all connections wait.
#[derive(Debug, Default)]
pub(crate) struct Event {
    begun: AtomicBool,
    /// Each connection has a receiver, so the number of receivers is that of connections.
    sender: watch::Sender<bool>,
}

impl Event {
    /// Begins the event. Returns whether it had not begun before.
    pub(crate) fn begin(&self) -> bool {
        let is_first = !self.begun.swap(true, Ordering::AcqRel);
        self.sender.send_replace(true);
        is_first
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Returns the number of signals that wait for this event.
    pub(crate) fn waiting(&self) -> usize {
        self.sender.receiver_count()
    }

    /// Waits until no signal is left.
    pub(crate) async fn unused(&self) {
        self.sender.closed().await;
    }

    pub(crate) fn signal(self: &Arc<Self>) -> Signal {
        Signal { event: Arc::clone(self), future: None, waker: None, receiver: Some(self.sender.subscribe()) }
    }
}

/// Tells one task of an [`Event`].
///
/// Each poll of tokio's future takes a lock that all connections share. A signal polls it only if the waker has
/// changed, which does not happen in a task.
pub(crate) struct Signal {
    event: Arc<Event>,
    /// `None` before the first poll.
    future: Option<Pin<Box<dyn Future<Output = watch::Receiver<bool>> + Send>>>,
    waker: Option<Waker>,
    /// `None` while the future has it. It is kept, so that the event counts this signal until it is dropped.
    receiver: Option<watch::Receiver<bool>>,
}

impl Signal {
    /// Returns whether the event has begun.
    pub(crate) fn has_begun(&self) -> bool {
        self.event.has_begun()
    }

    /// Returns whether the event has begun. If not, the task is woken when it begins.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        if self.has_begun() {
            return true;
        }
        if self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return false;
        }
        self.waker = Some(cx.waker().clone());
        if self.future.is_none() {
            self.future = self.receiver.take().map(wait);
        }
        if let Some(future) = &mut self.future
            && self.receiver.is_none()
        {
            let Poll::Ready(receiver) = future.as_mut().poll(cx) else { return false };
            self.receiver = Some(receiver);
        }
        true
    }
}

fn wait(mut receiver: watch::Receiver<bool>) -> Pin<Box<dyn Future<Output = watch::Receiver<bool>> + Send>> {
    // A task with an exhausted budget would be woken to poll the future again, which a signal does not do.
    Box::pin(unconstrained(async move {
        // An error would mean that the sender is gone, but the signal keeps it.
        let _ = receiver.wait_for(|begun| *begun).await;
        receiver
    }))
}

/// Runs a future until it ends or the event begins.
pub(crate) fn unless<F: Future<Output = ()>>(event: &mut Signal, future: F) -> Unless<'_, F> {
    Unless { event, future }
}

pin_project! {
    /// The future of [`unless`]. As an async function, it would be twice as large as its future, and there is one for each
    /// connection.
    pub(crate) struct Unless<'a, F> {
        event: &'a mut Signal,
        #[pin]
        future: F,
    }
}

impl<F: Future<Output = ()>> Future for Unless<'_, F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.event.poll(cx) { Poll::Ready(()) } else { this.future.poll(cx) }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin, task::Wake};

    use super::*;

    #[derive(Default)]
    struct Flag(AtomicBool);

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn a_task_with_an_exhausted_budget_is_woken() {
        let (event, flag) = (Arc::new(Event::default()), Arc::new(Flag::default()));
        let mut signal = event.signal();
        poll_fn(|cx| {
            while pin!(tokio::task::consume_budget()).poll(cx).is_ready() {}
            assert!(!signal.poll(&mut Context::from_waker(&Waker::from(Arc::clone(&flag)))));
            event.begin();
            Poll::Ready(())
        })
        .await;
        assert!(flag.0.load(Ordering::Relaxed));
    }

    #[test]
    fn a_signal_counts_until_it_is_dropped() {
        let event = Arc::new(Event::default());
        let mut signal = event.signal();
        // As another thread begins the event while this one polls.
        event.sender.send_replace(true);
        assert!(signal.poll(&mut Context::from_waker(Waker::noop())));
        assert_eq!(event.waiting(), 1);
        drop(signal);
        assert_eq!(event.waiting(), 0);
    }
}
