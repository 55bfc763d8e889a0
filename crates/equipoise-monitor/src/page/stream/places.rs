use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

/// A stream that was not asked for its next message for so long has a reader that is stuck. A reader that is not asks at
/// least at each keep-alive.
const STUCK: Duration = Duration::from_secs(30);

/// The places of streams. Their number is limited.
pub(super) struct Places {
    max: usize,
    started: Instant,
    taken: Mutex<Vec<Arc<Taken>>>,
}

struct Taken {
    /// When the stream was polled last, in milliseconds since the start.
    polled: AtomicU64,
    displaced: Notify,
}

impl Places {
    pub(super) fn new(max: usize) -> Self {
        Self { max, started: Instant::now(), taken: Mutex::default() }
    }

    /// Takes a place. If none is free, the one whose stream has been stuck for the longest time is taken from it.
    /// Returns `None` if no stream is stuck either.
    pub(super) fn take(self: &Arc<Self>) -> Option<Place> {
        let mut places = self.taken.lock();
        if places.len() >= self.max {
            let polled = |taken: &Arc<Taken>| taken.polled.load(Ordering::Relaxed);
            let (index, stuck) = places.iter().enumerate().min_by_key(|(_, taken)| polled(taken))?;
            if self.now().saturating_sub(polled(stuck)) < STUCK.as_millis() as u64 {
                return None;
            }
            stuck.displaced.notify_one();
            places.swap_remove(index);
        }
        let taken = Arc::new(Taken { polled: AtomicU64::new(self.now()), displaced: Notify::new() });
        places.push(Arc::clone(&taken));
        Some(Place { taken, places: Arc::clone(self) })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The place of one stream. It is free again when it is dropped.
pub(super) struct Place {
    taken: Arc<Taken>,
    places: Arc<Places>,
}

impl Place {
    /// Notes that the reader of the stream is not stuck.
    pub(super) fn poll(&self) {
        self.taken.polled.store(self.places.now(), Ordering::Relaxed);
    }

    /// Returns when the place was taken away.
    pub(super) async fn displaced(&self) {
        self.taken.displaced.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.lock().retain(|taken| !Arc::ptr_eq(taken, &self.taken));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stuck_stream_loses_its_place_to_a_new_one() {
        let places = Arc::new(Places::new(2));
        let (one, two) = (places.take().expect("a place"), places.take().expect("a place"));
        assert!(places.take().is_none());
        tokio::time::advance(STUCK - Duration::from_millis(1)).await;
        assert!(places.take().is_none());
        two.poll();
        tokio::time::advance(Duration::from_millis(1)).await;
        let three = places.take().expect("the place of the stuck stream");
        one.displaced().await;
        assert!(places.take().is_none());
        // The place is that of another stream now.
        drop(one);
        assert!(places.take().is_none());
        drop(three);
        assert!(places.take().is_some());
    }
}
