use std::{
    collections::BTreeMap,
    sync::Arc,
    task::{Context, Waker},
};

use parking_lot::Mutex;

/// The connections that wait for a request, in the order in which they began to wait. At the limit, the server closes the
/// first one when another connection comes. Otherwise clients that hold connections without using them would keep out all
/// others.
#[derive(Debug, Default)]
pub(crate) struct IdleConnections(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    next: u64,
    /// The task of each idle connection.
    idle: BTreeMap<u64, Option<Waker>>,
    /// The tasks that wait for an idle connection.
    waiting: Vec<Waker>,
}

/// A connection that waits for a request, until this is dropped.
#[derive(Debug)]
pub(crate) struct Idle {
    all: Arc<IdleConnections>,
    number: u64,
}

impl IdleConnections {
    pub(crate) fn add(self: &Arc<Self>) -> Idle {
        let mut queue = self.0.lock();
        let number = queue.next;
        queue.next += 1;
        queue.idle.insert(number, None);
        for task in std::mem::take(&mut queue.waiting) {
            task.wake();
        }
        Idle { all: Arc::clone(self), number }
    }

    /// Returns whether a connection is idle. If not, the task is woken when one is.
    pub(crate) fn poll_any(&self, cx: &Context<'_>) -> bool {
        let mut queue = self.0.lock();
        if queue.idle.is_empty() {
            queue.wait(cx);
        }
        !queue.idle.is_empty()
    }

    /// Tells the connection that has been idle longest to close, and returns true. If none is idle, the task is woken
    /// when one is.
    pub(crate) fn poll_close(&self, cx: &Context<'_>) -> bool {
        let mut queue = self.0.lock();
        let Some((_, task)) = queue.idle.pop_first() else {
            queue.wait(cx);
            return false;
        };
        if let Some(task) = task {
            task.wake();
        }
        true
    }
}

impl Queue {
    fn wait(&mut self, cx: &Context<'_>) {
        if self.waiting.iter().all(|task| !task.will_wake(cx.waker())) {
            self.waiting.push(cx.waker().clone());
        }
    }
}

impl Idle {
    /// Returns whether the connection must close to make room for another one. If not, the task is woken then.
    pub(crate) fn poll_must_close(&self, cx: &Context<'_>) -> bool {
        match self.all.0.lock().idle.get_mut(&self.number) {
            Some(task) => {
                *task = Some(cx.waker().clone());
                false
            }
            None => true,
        }
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        self.all.0.lock().idle.remove(&self.number);
    }
}
