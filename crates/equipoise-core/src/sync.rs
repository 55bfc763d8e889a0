//! The atomics, locks and events of this crate. The crate uses no others, so that model checking can replace them.
//!
//! With `--cfg loom`, atomics and locks are those of loom, and `arc-swap` is replaced by a lock around an `Arc`. Events
//! do nothing, because the models check states and not wake-ups.

#[cfg(not(loom))]
pub(crate) use self::native::{AtomicU32, AtomicU64, Event, Mutex, MutexGuard, Ordering, Swap, fence, ordered, spin};

#[cfg(loom)]
pub(crate) use self::model::{AtomicU32, AtomicU64, Event, Mutex, MutexGuard, Ordering, Swap, fence, ordered, spin};

#[cfg(not(loom))]
mod native {
    pub(crate) use arc_swap::ArcSwap as Swap;
    use event_listener::EventListener;
    pub(crate) use parking_lot::{Mutex, MutexGuard};
    pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

    /// Marks a point where the order of the `SeqCst` accesses before and after it matters. Without loom it does
    /// nothing. With loom it is a fence, because loom treats `SeqCst` accesses as `AcqRel`.
    #[inline(always)]
    pub(crate) fn ordered() {}

    /// Spins or yields while another thread makes progress. `n` is the number of earlier calls during the same wait.
    pub(crate) fn spin(n: u32) {
        if n.is_multiple_of(8) {
            std::thread::yield_now();
        } else {
            // Longer each time: two threads with loops of equal length would otherwise see the same state in each try.
            (0..=n.min(16)).for_each(|_| std::hint::spin_loop());
        }
    }

    /// Wakes the futures that listen to it. If no future listens, waking costs a fence and a load.
    #[derive(Default)]
    pub(crate) struct Event(event_listener::Event);

    impl Event {
        pub(crate) fn wake_all(&self) {
            self.0.notify(usize::MAX);
        }

        pub(crate) fn listen(&self) -> EventListener {
            self.0.listen()
        }
    }
}

#[cfg(loom)]
mod model {
    use std::sync::Arc;

    pub(crate) use loom::sync::{
        MutexGuard,
        atomic::{AtomicU32, AtomicU64, Ordering, fence},
    };

    pub(crate) fn ordered() {
        fence(Ordering::SeqCst);
    }

    pub(crate) fn spin(_: u32) {
        loom::thread::yield_now();
    }

    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("no model panics under a lock")
        }

        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }
    }

    pub(crate) struct Swap<T>(Mutex<Arc<T>>);

    impl<T> Swap<T> {
        pub(crate) fn new(value: Arc<T>) -> Self {
            Self(Mutex::new(value))
        }

        pub(crate) fn load(&self) -> Arc<T> {
            self.load_full()
        }

        pub(crate) fn load_full(&self) -> Arc<T> {
            Arc::clone(&self.0.lock())
        }

        pub(crate) fn store(&self, value: Arc<T>) {
            *self.0.lock() = value;
        }
    }

    #[derive(Default)]
    pub(crate) struct Event;

    impl Event {
        pub(crate) fn wake_all(&self) {}

        pub(crate) fn listen(&self) -> std::future::Pending<()> {
            std::future::pending()
        }
    }
}
