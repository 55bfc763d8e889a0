//! Waiting. In a runtime without a timer, nothing is limited instead of a panic: tokio's functions panic there.

use std::{
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};
#[cfg(feature = "tcp")]
use std::{
    sync::{Arc, atomic::AtomicBool},
    task::{Wake, Waker},
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

/// Tells a task that polls often which of its polls are due to futures that end seldom, such as timers. Only then it polls
/// them, because each poll may take a lock.
#[cfg(feature = "tcp")]
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    /// What the futures wake, and their waker. `None` before the first poll.
    wakers: Option<(Arc<Woken>, Waker)>,
}

#[cfg(feature = "tcp")]
#[derive(Debug)]
struct Woken {
    is_woken: AtomicBool,
    task: Waker,
}

#[cfg(feature = "tcp")]
impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_woken.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

#[cfg(feature = "tcp")]
impl Seldom {
    /// Returns the waker to poll the futures with. `None` if they were polled before and have not woken the task since.
    pub(crate) fn due(&mut self, cx: &Context<'_>) -> Option<&Waker> {
        let is_known = self.wakers.as_ref().is_some_and(|(woken, _)| woken.task.will_wake(cx.waker()));
        if !is_known {
            let woken = Arc::new(Woken { is_woken: AtomicBool::new(true), task: cx.waker().clone() });
            self.wakers = Some((Arc::clone(&woken), Waker::from(woken)));
        }
        let (woken, waker) = self.wakers.as_ref()?;
        // Usually it is false, and reading it costs least.
        (woken.is_woken.load(Ordering::Acquire) && woken.is_woken.swap(false, Ordering::AcqRel)).then_some(waker)
    }

    /// Makes the futures due, for example because one has come to them.
    pub(crate) fn set_due(&self) {
        if let Some((woken, _)) = &self.wakers {
            woken.is_woken.store(true, Ordering::Release);
        }
    }
}

/// Runs a future until `end`, with an alarm that has other uses before or later. Returns `None` if it did not end in time.
#[cfg(feature = "tcp")]
pub(crate) fn before<F: Future>(end: Option<Instant>, alarm: &mut Alarm, future: F) -> Before<'_, F> {
    Before { end, alarm, future }
}

#[cfg(feature = "tcp")]
pin_project_lite::pin_project! {
    /// The future of [`before`].
    pub(crate) struct Before<'a, F> {
        end: Option<Instant>,
        alarm: &'a mut Alarm,
        #[pin]
        future: F,
    }
}

#[cfg(feature = "tcp")]
impl<F: Future> Future for Before<'_, F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let this = self.project();
        match (this.future.poll(cx), *this.end) {
            (Poll::Ready(output), _) => Poll::Ready(Some(output)),
            (Poll::Pending, Some(end)) => this.alarm.poll(cx, end).map(|()| None),
            (Poll::Pending, None) => Poll::Pending,
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

    #[cfg(feature = "tcp")]
    #[tokio::test(start_paused = true)]
    async fn futures_that_end_seldom_are_polled_when_they_have_woken_the_task() {
        let (mut seldom, mut alarm) = (Seldom::default(), Alarm::default());
        let (at, began) = (Instant::now() + Duration::from_secs(5), Instant::now());
        let (mut polls, mut due) = (0, 0);
        std::future::poll_fn(|cx| {
            polls += 1;
            let Some(waker) = seldom.due(cx) else { return Poll::Pending };
            due += 1;
            if polls < 4 {
                // Another event of the task.
                cx.waker().wake_by_ref();
            }
            alarm.poll(&mut Context::from_waker(waker), at)
        })
        .await;
        assert_eq!((began.elapsed(), due), (Duration::from_secs(5), 2));
        assert_eq!(polls, 3);
    }
}
