//! tower's `Balance`: alone, behind a mutex, and behind its `Buffer`.

use std::{
    cell::RefCell,
    convert::Infallible,
    future::Future,
    hint::black_box,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use equipoise_benches::{
    Kind,
    call::{Immediate, bare, immediate},
    tasks::{runtime, shared},
    timing::Effort,
};
use parking_lot::Mutex;
use tower::{
    BoxError,
    balance::p2c::Balance,
    buffer::Buffer,
    discover::ServiceList,
    load::{CompleteOnResponse, Load, PeakEwma, PendingRequests},
};
use tower_service::Service;

use crate::{
    race::{Race, Table},
    subject::SIZES,
};

/// The initial estimate and its decay. They do not change the time of a call.
const DEFAULT_RTT: Duration = Duration::from_millis(30);
const DECAY: Duration = Duration::from_secs(10);

/// A `Balance` over endpoints with a load.
type Balanced<L> = Balance<ServiceList<Vec<L>>, u64>;

pub(crate) fn measure(table: &mut Table) {
    let names = ["Balance, PendingRequests", "the same behind a Mutex", "the same behind Buffer"];
    against(table, Kind::P2c, names, || PendingRequests::new(Immediate, CompleteOnResponse::default()));
    let names = ["Balance, PeakEwma", "the same behind a Mutex", "the same behind Buffer"];
    against(table, Kind::PeakEwma, names, || {
        PeakEwma::new(Immediate, DEFAULT_RTT, DECAY.as_nanos() as f64, CompleteOnResponse::default())
    });
}

fn against<L>(table: &mut Table, kind: Kind, [plain, locked, buffered]: [&str; 3], endpoint: impl Fn() -> L)
where
    L: Load<Metric: std::fmt::Debug> + Service<u64, Response = u64, Error = Infallible> + Send + 'static,
    L::Future: Send,
    Balanced<L>: Service<u64, Response = u64, Error = BoxError, Future: Send> + Send,
{
    let balance = |n: usize| -> Balanced<L> {
        Balance::new(ServiceList::new::<u64>((0..n).map(|_| endpoint()).collect::<Vec<_>>()))
    };
    let ours = format!("call, {kind}");
    for n in SIZES {
        let mine = RefCell::new(bare::<u64>(immediate(kind, n)));
        let ours = ours.as_str();
        let theirs = RefCell::new(balance(n));
        table.picks(
            &Race { peer: "tower", what: plain, n, ours, asked: None },
            || call(&mut *theirs.borrow_mut()),
            || call(&mut *mine.borrow_mut()),
        );
        let theirs = RefCell::new(Locked(Arc::new(Mutex::new(balance(n)))));
        table.picks(
            &Race { peer: "tower", what: locked, n, ours, asked: None },
            || call(&mut *theirs.borrow_mut()),
            || call(&mut *mine.borrow_mut()),
        );
    }
    let n = 10;
    for workers in [1, 2] {
        let runtime = runtime(workers);
        let calls = Effort::FULL.calls;
        let mine = bare::<u64>(immediate(kind, n));
        let time_mine = || shared(&runtime, calls, &mine).as_nanos() as f64 / calls as f64;
        let theirs = Locked(Arc::new(Mutex::new(balance(n))));
        let tasks = format!("{locked}, 64 tasks, workers: {workers}");
        table.timed(
            &Race { peer: "tower", what: &tasks, n, ours: &ours, asked: None },
            || shared(&runtime, calls, &theirs).as_nanos() as f64 / calls as f64,
            time_mine,
        );
        let entered = runtime.enter();
        let theirs = Buffer::new(balance(n), 1024);
        drop(entered);
        let tasks = format!("{buffered}, 64 tasks, workers: {workers}");
        table.timed(
            &Race { peer: "tower", what: &tasks, n, ours: &ours, asked: None },
            || shared(&runtime, calls, &theirs).as_nanos() as f64 / calls as f64,
            time_mine,
        );
    }
}

/// Checks readiness, calls, and polls the future to its end.
#[inline]
fn call<S: Service<u64>>(service: &mut S) {
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready(), "immediate services are ready");
    match pin!(service.call(7)).poll(&mut cx) {
        Poll::Ready(Ok(response)) => drop(black_box(response)),
        _ => panic!("an immediate service answers at once"),
    }
}

/// The simplest way to share a service whose endpoints are always ready.
struct Locked<S>(Arc<Mutex<S>>);

impl<S> Clone for Locked<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: Service<u64>> Service<u64> for Locked<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u64) -> S::Future {
        let mut inner = self.0.lock();
        // Readiness belongs to one caller, so it is checked under the same lock.
        let ready = inner.poll_ready(&mut Context::from_waker(Waker::noop()));
        assert!(ready.is_ready(), "immediate services are ready");
        inner.call(request)
    }
}
