//! Waiting. In a runtime without a timer, nothing is limited instead of a panic: tokio's functions panic there.

use std::{
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use equipoise_core::__private::guarded;
use tokio::time::{Instant, Sleep};

/// A time that several tasks read and write, in milliseconds.
#[derive(Debug)]
pub(crate) struct SharedInstant {
    began: Instant,
    /// Milliseconds since `began`.
    millis: AtomicU64,
}

impl SharedInstant {
    pub(crate) fn now() -> Self {
        Self { began: Instant::now(), millis: AtomicU64::new(0) }
    }

    /// Sets it to the current time.
    pub(crate) fn touch(&self) {
        let elapsed = self.began.elapsed().as_millis();
        self.millis.store(elapsed.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Instant {
        let elapsed = Duration::from_millis(self.millis.load(Ordering::Relaxed));
        self.began.checked_add(elapsed).unwrap_or(self.began)
    }
}

/// Returns a future that ends at a time. `None` if the runtime has no timer, which is found by a panic of tokio.
fn timer(at: Instant) -> Option<Sleep> {
    guarded(|| tokio::time::sleep_until(at))
}

/// Returns a future that ends at a time. `None` if the runtime has no timer.
pub(crate) fn sleep_until(at: Instant) -> Option<Pin<Box<Sleep>>> {
    timer(at).map(Box::pin)
}

/// Waits until a time that may change.
///
/// A timer that is set for an earlier time stays as it is, and is set anew when it has fired. So a time that moves
/// with each request does not cost each request a lock of the runtime's timers.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    /// `None` before the first poll. The box contains `None` if the runtime has no timer. Beside the box, this would make
    /// each alarm larger.
    sleep: Option<Pin<Box<Option<Sleep>>>>,
}

impl Alarm {
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(timer(at)));
        let Some(mut sleep) = sleep.as_mut().as_pin_mut() else { return Poll::Pending };
        loop {
            // It may still be set for an earlier time, and then fires too early. It must never fire too late.
            if sleep.deadline() > at {
                sleep.as_mut().reset(at);
            }
            ready!(sleep.as_mut().poll(cx));
            if Instant::now() >= at {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at);
        }
    }
}

/// Runs a future for at most `limit`. Returns `None` if it did not end in time.
pub(crate) async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    let mut sleep = Instant::now().checked_add(limit).and_then(sleep_until);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        match &mut sleep {
            Some(sleep) => {
                ready!(sleep.as_mut().poll(cx));
                Poll::Ready(None)
            }
            None => Poll::Pending,
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_limited_without_a_timer() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            assert!(sleep_until(Instant::now()).is_none());
            let mut alarm = Alarm::default();
            assert!(std::future::poll_fn(|cx| Poll::Ready(alarm.poll(cx, Instant::now()))).await.is_pending());
            // The timer is not looked for again, because that panics inside.
            assert!(alarm.sleep.is_some_and(|sleep| sleep.is_none()));
            assert_eq!(within(Duration::ZERO, tokio::task::yield_now()).await, Some(()));
        });
    }

    #[tokio::test(start_paused = true)]
    async fn a_future_that_takes_too_long_is_given_up() {
        assert_eq!(within(Duration::from_secs(1), std::future::pending::<()>()).await, None);
    }
}
