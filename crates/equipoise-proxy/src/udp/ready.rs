//! Which sessions have something to do.

use std::{
    mem,
    sync::Arc,
    task::{Wake, Waker},
};

use parking_lot::Mutex;

/// What has woken a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// The socket of this session may be readable.
    Readable(usize),
    /// This session may have to end: its socket has an error, or its endpoint is closing.
    Ending(usize),
    /// A name may be resolved.
    Names,
    /// The endpoint of this session may have an address now.
    Resolved(usize),
}

/// The wakeups of one worker, which it takes in each poll. So one task serves all sessions of a listener, and looks only
/// at those that have something to do.
#[derive(Debug, Default)]
pub(super) struct Wakeups(Mutex<Pending>);

#[derive(Debug, Default)]
struct Pending {
    woken: Vec<Woken>,
    /// The worker's task. `None` if it has been woken since its last poll.
    task: Option<Waker>,
}

impl Wakeups {
    /// Takes all wakeups, into an empty vector. The task is woken at the next one.
    pub(super) fn take(&self, woken: &mut Vec<Woken>, task: &Waker) {
        let mut pending = self.0.lock();
        mem::swap(&mut pending.woken, woken);
        match &mut pending.task {
            Some(known) => known.clone_from(task),
            none => *none = Some(task.clone()),
        }
    }

    /// Wakes the task without a reason of its own.
    pub(super) fn wake_task(&self) {
        let task = self.0.lock().task.take();
        if let Some(task) = task {
            task.wake();
        }
    }

    fn add(&self, woken: Woken) {
        let task = {
            let mut pending = self.0.lock();
            pending.woken.push(woken);
            pending.task.take()
        };
        if let Some(task) = task {
            task.wake();
        }
    }

    /// Returns a waker that adds this wakeup.
    pub(super) fn waker(self: &Arc<Self>, woken: Woken) -> Waker {
        Waker::from(Arc::new(Source { wakeups: Arc::clone(self), woken }))
    }
}

struct Source {
    wakeups: Arc<Wakeups>,
    woken: Woken,
}

impl Wake for Source {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wakeups.add(self.woken);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_task_is_woken_once_for_all_wakeups_between_two_polls() {
        let (wakeups, count) = (Arc::new(Wakeups::default()), Arc::new(Count::default()));
        let (task, mut woken) = (Waker::from(Arc::clone(&count)), Vec::new());
        let (one, two) = (wakeups.waker(Woken::Readable(1)), wakeups.waker(Woken::Ending(2)));
        wakeups.take(&mut woken, &task);
        one.wake_by_ref();
        two.wake_by_ref();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        wakeups.take(&mut woken, &task);
        assert_eq!(woken, [Woken::Readable(1), Woken::Ending(2)]);
        two.wake();
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn what_was_woken_before_the_first_poll_is_not_lost() {
        let wakeups = Arc::new(Wakeups::default());
        wakeups.waker(Woken::Names).wake();
        let mut woken = Vec::new();
        wakeups.take(&mut woken, Waker::noop());
        assert_eq!(woken, [Woken::Names]);
    }
}
