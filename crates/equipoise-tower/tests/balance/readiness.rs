use std::{
    sync::Arc,
    task::{Context, Poll},
};

use equipoise_core::{EndpointSpec, P2c, Pool};
use equipoise_tower::{Balance, ServedBy};
use http::{Request, Response};
use parking_lot::Mutex;
use tokio::{sync::watch, task::yield_now};
use tower::{Service, ServiceExt, util::BoxCloneSyncService};

use crate::common::{Fault, Frames, Mock, Once, answering, get, in_flight, pool};

/// Ready once `open` says so.
#[derive(Clone)]
struct Gate {
    open: watch::Receiver<bool>,
    waiting: Arc<Mutex<Vec<std::task::Waker>>>,
}

impl Gate {
    fn new() -> (Self, impl Fn()) {
        let (sender, open) = watch::channel(false);
        let waiting = Arc::<Mutex<Vec<std::task::Waker>>>::default();
        let gate = Self { open, waiting: Arc::clone(&waiting) };
        (gate, move || {
            sender.send_replace(true);
            waiting.lock().drain(..).for_each(std::task::Waker::wake);
        })
    }

    fn mock(&self) -> Mock {
        BoxCloneSyncService::new(self.clone())
    }
}

impl Service<Request<Once>> for Gate {
    type Response = Response<Frames>;
    type Error = Fault;
    type Future = std::future::Ready<Result<Response<Frames>, Fault>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.waiting.lock().push(cx.waker().clone());
        if *self.open.borrow() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn call(&mut self, _: Request<Once>) -> Self::Future {
        assert!(*self.open.borrow(), "it is called before it was ready");
        std::future::ready(Ok(Response::new(Frames::default())))
    }
}

#[tokio::test]
async fn a_service_that_is_not_ready_is_awaited_in_the_future_while_it_counts() {
    let (gate, open) = Gate::new();
    let (pool, _) = pool(&[("a", gate.mock())]);
    let mut balance = Balance::new(pool.clone());
    // The balancer itself is ready, always.
    let waiting = tokio::spawn(balance.ready().await.unwrap().call(get()));
    assert_eq!(in_flight(&pool), [1]);
    yield_now().await;
    assert!(!waiting.is_finished());
    assert_eq!(in_flight(&pool), [1]);
    open();
    assert_eq!(waiting.await.unwrap().unwrap().extensions().get(), Some(&ServedBy("a".into())));
    assert_eq!(in_flight(&pool), [0]);
}

#[tokio::test]
async fn a_strategy_that_counts_leaves_a_service_that_is_not_ready_alone() {
    let (gate, _open) = Gate::new();
    let pool = Pool::new(P2c::new());
    pool.add(EndpointSpec::new("slow"), gate.mock()).unwrap();
    let mut balance = Balance::new(pool.clone());
    let stuck = balance.call(get());
    pool.add(EndpointSpec::new("fast"), answering(Response::new(Frames::default()))).unwrap();
    for _ in 0..20 {
        let response = balance.clone().oneshot(get()).await.unwrap();
        assert_eq!(response.extensions().get(), Some(&ServedBy("fast".into())));
    }
    assert_eq!(in_flight(&pool), [1, 0]);
    drop(stuck);
    assert_eq!(in_flight(&pool), [0, 0]);
}
