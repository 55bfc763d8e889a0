//! Timers that are exact to some tens of microseconds. Tokio's timers are exact to a millisecond, which is a fifth of
//! the mean service time.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    sync::Arc,
    thread,
    time::Instant,
};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

/// A thread that ends waits at their time. Clones share the thread. It ends when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Timer(Arc<Handle>);

struct Handle(Arc<Waits>);

#[derive(Default)]
struct Waits {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    waits: BinaryHeap<Reverse<Wait>>,
    closed: bool,
}

struct Wait {
    until: Instant,
    done: oneshot::Sender<()>,
}

impl Timer {
    pub(crate) fn start() -> Self {
        let waits = Arc::new(Waits::default());
        let of_thread = Arc::clone(&waits);
        thread::spawn(move || of_thread.run());
        Self(Arc::new(Handle(waits)))
    }

    /// Waits until `until`.
    pub(crate) async fn sleep_until(&self, until: Instant) {
        let (done, ended) = oneshot::channel();
        let waits = &self.0.0;
        let first = {
            let mut queue = waits.queue.lock();
            queue.waits.push(Reverse(Wait { until, done }));
            queue.waits.peek().is_some_and(|Reverse(first)| first.until == until)
        };
        if first {
            waits.changed.notify_one();
        }
        let _ = ended.await;
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.queue.lock().closed = true;
        self.0.changed.notify_one();
    }
}

impl Waits {
    fn run(&self) {
        let mut queue = self.queue.lock();
        while !queue.closed {
            let now = Instant::now();
            match queue.waits.peek() {
                None => self.changed.wait(&mut queue),
                Some(Reverse(first)) if first.until > now => {
                    let until = first.until;
                    self.changed.wait_until(&mut queue, until);
                }
                Some(_) => {
                    if let Some(Reverse(wait)) = queue.waits.pop() {
                        // A request whose connection is gone no longer waits.
                        let _ = wait.done.send(());
                    }
                }
            }
        }
    }
}

impl Ord for Wait {
    fn cmp(&self, other: &Self) -> Ordering {
        self.until.cmp(&other.until)
    }
}

impl PartialOrd for Wait {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Wait {
    fn eq(&self, other: &Self) -> bool {
        self.until == other.until
    }
}

impl Eq for Wait {}
