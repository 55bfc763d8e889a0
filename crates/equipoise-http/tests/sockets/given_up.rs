//! Attempts to open a connection that no request needs any more, and attempts that end in unusual ways.

use std::{
    sync::{Arc, mpsc},
    task::{Context, Wake, Waker},
    time::Duration,
};

use equipoise_http::{ConnectError, Settings, Upstream};
use futures::FutureExt;
use parking_lot::Mutex;
use tokio::{join, time::timeout};

use crate::{
    gates::{Gates, Go},
    server::{EMPTY, HALF, HELLO, Server, get, send},
};

/// Far longer than any of these tests needs, and shorter than the timeouts of connections in them.
const LONG: Duration = Duration::from_secs(10);

async fn gated(settings: Settings) -> (Server, Gates, Upstream) {
    let server = Server::start().await;
    let gates = Gates::new(&server.address());
    let settings = settings.connect_timeout(6 * LONG).wait_timeout(6 * LONG).resolver(gates.clone());
    let upstream = Upstream::with_settings("orders.test:80", &settings).expect("a valid address");
    (server, gates, upstream)
}

#[tokio::test]
async fn an_attempt_whose_request_was_given_up_does_not_hold_up_later_requests() {
    let (server, gates, upstream) = gated(Settings::new()).await;
    let mut given_up = Box::pin(send(&upstream, get("/a")));
    assert!(futures::poll!(&mut given_up).is_pending());
    gates.reach(1).await;
    let _never = gates.forget();
    drop(given_up);
    let go = async {
        gates.reach(1).await;
        gates.open(Go::On);
        server.serve(HELLO).await
    };
    let (_peer, response) = timeout(LONG, async { join!(go, send(&upstream, get("/b"))) }).await.expect("no wait");
    assert_eq!(response.unwrap().body(), "hello");
}

#[tokio::test]
async fn the_failure_of_an_attempt_whose_request_was_given_up_ends_no_other_request() {
    // With one connection, the second attempt begins after the first one.
    for max_connections in [1, 2] {
        let (server, gates, upstream) = gated(Settings::new().max_connections(max_connections)).await;
        let mut given_up = Box::pin(send(&upstream, get("/a")));
        assert!(futures::poll!(&mut given_up).is_pending());
        gates.reach(1).await;
        drop(given_up);
        let mut both = Box::pin(async { join!(send(&upstream, get("/b")), send(&upstream, get("/c"))) });
        assert!(futures::poll!(&mut both).is_pending());
        timeout(LONG, gates.reach(max_connections)).await.expect("an attempt for the second request");
        gates.open(Go::Fail);
        while upstream.status().failed < 1 {
            tokio::task::yield_now().await;
        }
        gates.reach(max_connections).await;
        (0..max_connections).for_each(|_| assert!(gates.open(Go::On)));
        let serve = async {
            let mut peers = Vec::new();
            for _ in 0..max_connections {
                peers.push(server.serve(HELLO).await);
            }
            if max_connections == 1 {
                peers[0].answer(HELLO).await;
            }
            peers
        };
        let (_peers, (one, other)) = join!(serve, both);
        assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
    }
}

#[test]
fn an_attempt_on_a_runtime_that_stands_still_does_not_hold_up_later_requests() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (still, other) = (runtime(), runtime());
    let (server, gates, upstream) = other.block_on(gated(Settings::new()));
    still.block_on(async { assert!(send(&upstream, get("/a")).now_or_never().is_none()) });
    let go = async {
        gates.reach(1).await;
        gates.open(Go::On);
        server.serve(HELLO).await
    };
    let both = async { timeout(LONG, async { join!(go, send(&upstream, get("/b"))) }).await };
    let (_peer, response) = other.block_on(both).expect("no wait");
    assert_eq!(response.unwrap().body(), "hello");
}

#[tokio::test]
async fn an_attempt_that_panics_ends_one_request() {
    let (server, gates, upstream) = gated(Settings::new()).await;
    let go = async {
        gates.reach(3).await;
        for go in [Go::Panic, Go::On, Go::On] {
            gates.open(go);
        }
        (server.serve(HELLO).await, server.serve(HELLO).await)
    };
    let all = futures::future::join_all((0..3).map(|_| send(&upstream, get("/"))));
    let (responses, _peers) = timeout(LONG, async { join!(all, go) }).await.expect("no wait");
    let (served, failed): (Vec<_>, Vec<_>) = responses.into_iter().partition(Result::is_ok);
    assert_eq!((served.len(), failed.len()), (2, 1));
    assert!(matches!(failed[0].as_ref().unwrap_err().connect_error(), Some(ConnectError::Aborted)));
}

#[tokio::test]
async fn an_attempt_that_ends_with_its_runtime_ends_no_request_of_another_runtime() {
    let (server, gates, upstream) = gated(Settings::new().max_connections(1)).await;
    let ends = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = std::thread::scope(|scope| {
        let poll = || {
            let mut first = Box::pin(send(&upstream, get("/a")));
            ends.block_on(async {
                assert!(futures::poll!(&mut first).is_pending());
                gates.reach(1).await;
            });
            first
        };
        scope.spawn(poll).join().unwrap()
    });
    let mut waits = Box::pin(send(&upstream, get("/b")));
    assert!(futures::poll!(&mut waits).is_pending());
    ends.shutdown_background();
    let go = async {
        // The attempt that has ended, and the one for the request that waits.
        gates.reach(2).await;
        assert!(!gates.open(Go::On) && gates.open(Go::On));
        server.serve(EMPTY).await
    };
    let (_peer, response) = timeout(LONG, async { join!(go, waits) }).await.expect("no wait");
    assert_eq!(response.unwrap().status(), 204);
    assert!(matches!(first.await.unwrap_err().connect_error(), Some(ConnectError::Aborted)));
}

/// Drops a future when it is woken.
struct Drops<F>(Mutex<Option<F>>);

impl<F: Send> Wake for Drops<F> {
    fn wake(self: Arc<Self>) {
        let dropped = self.0.lock().take();
        drop(dropped);
    }
}

#[test]
fn a_waker_of_a_waiting_request_may_give_up_another_one() {
    let (done, is_done) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (server, upstream) = Server::with_upstream(&Settings::new().max_connections(1)).await;
            let (_peer, _first) = join!(server.serve(HALF), tower::ServiceExt::oneshot(upstream.clone(), get("/")));
            let waits = |upstream: Upstream| Box::pin(async move { send(&upstream, get("/")).await.map(drop) });
            let (mut one, mut other) = (waits(upstream.clone()), waits(upstream.clone()));
            assert!(futures::poll!(&mut other).is_pending());
            let waker = Waker::from(Arc::new(Drops(Mutex::new(Some(other)))));
            assert!(one.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            drop(one);
            done.send(upstream.status().waiting).unwrap();
        });
    });
    assert!(is_done.recv_timeout(LONG).is_ok(), "a deadlock");
}
