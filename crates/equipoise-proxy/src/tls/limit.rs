use std::{
    collections::{BTreeMap, BTreeSet},
    future::poll_fn,
    pin::pin,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    task::unconstrained,
    time::Instant,
};

use crate::timing::Alarm;

/// The time after which a handshake may be given up for another one. An honest client answers in a round trip, and at
/// the limit the server itself needs less than this for all handshakes.
const SLOW: Duration = Duration::from_secs(1);

/// Limits the number of handshakes at a time.
#[derive(Debug)]
pub(super) struct HandshakeLimit {
    pub(super) max: usize,
    permits: Semaphore,
    queue: Mutex<Queue>,
}

/// Handshakes by their numbers, which increase.
#[derive(Debug, Default)]
struct Queue {
    next: u64,
    /// Those that have taken long, each with its task.
    slow: BTreeMap<u64, Waker>,
    /// Those that wait for a permit, and for which no slow one was given up. The semaphore wakes their tasks.
    waiting: BTreeSet<u64>,
}

/// A handshake was given up for another one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Displaced;

impl HandshakeLimit {
    pub(super) fn new(max: usize) -> Self {
        Self { max, permits: Semaphore::new(max.min(Semaphore::MAX_PERMITS)), queue: Mutex::default() }
    }

    /// Waits until there is room for a handshake.
    pub(super) async fn enter(&self) -> Entered<'_> {
        Entered { limit: self, _permit: self.permit().await }
    }

    /// Waits for room. At the limit, gives up one slow handshake.
    async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        if let Ok(permit) = self.permits.try_acquire() {
            return Some(permit);
        }
        // Removed when it has a permit, or is dropped.
        let _waiting = self.wait();
        // An error would mean that the semaphore is closed, which never happens.
        unconstrained(self.permits.acquire()).await.ok()
    }

    /// Gives up the handshake that has taken longest, or the next one that takes long.
    fn wait(&self) -> Place<'_> {
        let mut queue = self.queue.lock();
        let number = queue.number();
        match queue.slow.pop_first() {
            Some((_, task)) => task.wake(),
            None => drop(queue.waiting.insert(number)),
        }
        Place { limit: self, number }
    }

    /// Returns whether a slow handshake is given up. If not, its task is woken then.
    fn must_end<'a>(&'a self, slow: &mut Option<Place<'a>>, cx: &Context<'_>) -> bool {
        let mut queue = self.queue.lock();
        let number = match slow {
            Some(place) if !queue.slow.contains_key(&place.number) => return true,
            Some(place) => place.number,
            None if queue.waiting.pop_first().is_some() => return true,
            None => queue.number(),
        };
        queue.slow.insert(number, cx.waker().clone());
        // A place that is dropped here would wait for the lock.
        slow.get_or_insert_with(|| Place { limit: self, number });
        false
    }
}

/// The room for a handshake.
pub(super) struct Entered<'a> {
    limit: &'a HandshakeLimit,
    _permit: Option<SemaphorePermit<'a>>,
}

impl Entered<'_> {
    /// Runs the handshake, unless it is given up for another one.
    pub(super) async fn run<F: Future>(self, handshake: F) -> Result<F::Output, Displaced> {
        let mut handshake = pin!(handshake);
        let (slow_at, mut alarm, mut slow) = (Instant::now() + SLOW, Alarm::default(), None);
        poll_fn(|cx| {
            if let Poll::Ready(output) = handshake.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            if slow.is_none() {
                ready!(alarm.poll(cx, slow_at));
            }
            if self.limit.must_end(&mut slow, cx) { Poll::Ready(Err(Displaced)) } else { Poll::Pending }
        })
        .await
    }
}

impl Queue {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// The place of a handshake in the queue, until this is dropped.
struct Place<'a> {
    limit: &'a HandshakeLimit,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut queue = self.limit.queue.lock();
        queue.waiting.remove(&self.number);
        queue.slow.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::{advance, timeout};

    use super::*;

    async fn run<F: Future>(limit: &HandshakeLimit, handshake: F) -> Result<F::Output, Displaced> {
        limit.enter().await.run(handshake).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_that_waits_displaces_the_slowest_one() {
        let limit = HandshakeLimit::new(2);
        let mut first = pin!(run(&limit, pending::<()>()));
        assert!(timeout(SLOW / 4, first.as_mut()).await.is_err());
        let mut second = pin!(run(&limit, pending::<()>()));
        assert!(timeout(SLOW / 4, second.as_mut()).await.is_err());
        // Neither has taken long enough yet.
        let mut third = pin!(run(&limit, ready(())));
        assert!(timeout(SLOW / 4, third.as_mut()).await.is_err());
        advance(SLOW).await;
        assert_eq!(timeout(Duration::ZERO, first.as_mut()).await, Ok(Err(Displaced)));
        // Only one waits.
        assert!(timeout(Duration::ZERO, second.as_mut()).await.is_err());
        assert_eq!(third.await, Ok(()));
        // One that is slow already is given up at once.
        let mut fourth = pin!(run(&limit, pending::<()>()));
        assert!(timeout(Duration::ZERO, fourth.as_mut()).await.is_err());
        let mut fifth = pin!(run(&limit, ready(())));
        assert!(timeout(Duration::ZERO, fifth.as_mut()).await.is_err());
        assert_eq!(second.await, Err(Displaced));
    }

    #[tokio::test(start_paused = true)]
    async fn below_the_limit_handshakes_may_be_slow() {
        let limit = HandshakeLimit::new(2);
        let mut first = pin!(run(&limit, tokio::time::sleep(SLOW * 100)));
        assert!(timeout(SLOW * 2, first.as_mut()).await.is_err());
        assert_eq!(run(&limit, ready(())).await, Ok(()));
        assert_eq!(first.await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_kept_of_handshakes_that_have_ended() {
        let limit = HandshakeLimit::new(1);
        for _ in 0..100 {
            let mut given_up = pin!(run(&limit, pending::<()>()));
            assert!(timeout(Duration::ZERO, given_up.as_mut()).await.is_err());
            for _ in 0..10 {
                let _ = timeout(Duration::ZERO, run(&limit, ready(()))).await;
            }
        }
        let queue = limit.queue.lock();
        assert_eq!((queue.waiting.len(), queue.slow.len()), (0, 0));
    }
}
