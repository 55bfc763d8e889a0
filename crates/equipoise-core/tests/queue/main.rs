//! Requests that wait for an endpoint: the order in which they are served, and the cost.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

#[path = "../common/mod.rs"]
mod common;

mod handover;
mod model;
mod price;
mod threads;
mod wants;

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

use equipoise_core::{
    Acquire, AnyStrategy, BuildError, EndpointSpec, Lease, Needs, PickCx, PickError, PickRequest, Picker, Slot,
    Strategy, View, forward_hooks,
};

/// The number of waiting requests in the stress tests: `EQUIPOISE_WAITS`, or a number that is small enough for every
/// test run.
fn waits() -> usize {
    std::env::var("EQUIPOISE_WAITS").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000)
}

/// A waiting request, and how often it was woken.
struct Waiter {
    future: Pin<Box<Acquire<()>>>,
    bell: Arc<Bell>,
}

struct Bell {
    rung: AtomicU32,
    thread: Thread,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.fetch_add(1, Ordering::SeqCst);
        self.thread.unpark();
    }
}

impl Waiter {
    fn new(future: Acquire<()>) -> Self {
        let bell = Bell { rung: AtomicU32::new(0), thread: thread::current() };
        Self { future: Box::pin(future), bell: Arc::new(bell) }
    }

    fn rung(&self) -> u32 {
        self.bell.rung.load(Ordering::SeqCst)
    }

    fn poll(&mut self) -> Poll<Result<Lease<()>, PickError>> {
        let waker = Waker::from(Arc::clone(&self.bell));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    fn ready(&mut self) -> Lease<()> {
        match self.poll() {
            Poll::Ready(outcome) => outcome.unwrap(),
            Poll::Pending => panic!("it is not its turn"),
        }
    }

    /// Blocks until the request is woken. Panics after about a minute.
    fn wait(&self) {
        for _ in 0..60 {
            if self.rung() > 0 {
                return;
            }
            thread::park_timeout(Duration::from_secs(1));
        }
        panic!("a lost wake-up");
    }
}

/// A strategy whose picks are counted.
struct Counted {
    inner: AnyStrategy,
    picks: Arc<AtomicUsize>,
}

struct CountedPicker(<AnyStrategy as Strategy>::Picker, Arc<AtomicUsize>);

fn counted(strategy: impl Strategy) -> (Counted, Arc<AtomicUsize>) {
    let picks = Arc::new(AtomicUsize::new(0));
    (Counted { inner: AnyStrategy::new(strategy), picks: Arc::clone(&picks) }, picks)
}

impl Strategy for Counted {
    type State = <AnyStrategy as Strategy>::State;
    type Picker = CountedPicker;

    fn state(&self, spec: &EndpointSpec) -> Self::State {
        self.inner.state(spec)
    }

    fn build(&self, view: &View, last: Option<&CountedPicker>) -> Result<CountedPicker, BuildError> {
        Ok(CountedPicker(self.inner.build(view, last.map(|last| &last.0))?, Arc::clone(&self.picks)))
    }

    fn needs(&self) -> Needs {
        self.inner.needs()
    }

    forward_hooks!(self.inner);
}

impl Picker for CountedPicker {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.pick(cx)
    }
}

fn any() -> PickRequest<'static> {
    PickRequest::new()
}
