//! An upstream that several runtimes share.

use std::time::Duration;

use equipoise_http::{CloseReason, Settings, Upstream};
use tokio::{
    runtime::{Builder, Runtime},
    time::timeout,
};

use crate::{
    gates::Gates,
    server::{HELLO, Server, get, send},
};

/// Far longer than any of these tests needs.
const LONG: Duration = Duration::from_secs(10);

/// A runtime whose tasks run only while this thread waits for it.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Starts a server in a runtime of its own that answers requests on any number of connections.
fn server(settings: &Settings) -> (Runtime, Upstream) {
    let servers = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let (server, upstream) = servers.block_on(Server::with_upstream(settings));
    servers.spawn(async move {
        loop {
            let mut peer = server.accept().await;
            tokio::spawn(async move {
                loop {
                    peer.answer(HELLO).await;
                }
            });
        }
    });
    (servers, upstream)
}

fn assert_served(runtime: &Runtime, upstream: &Upstream) {
    let response = runtime.block_on(async { timeout(LONG, send(upstream, get("/"))).await });
    assert_eq!(response.expect("no wait").expect("a response").body(), "hello");
}

#[test]
fn a_connection_is_used_only_in_the_runtime_in_which_it_was_opened() {
    let (_servers, upstream) = server(&Settings::new());
    let (one, other) = (runtime(), runtime());
    for _ in 0..2 {
        assert_served(&one, &upstream);
        assert_served(&other, &upstream);
    }
    assert_eq!((upstream.status().opened, upstream.status().idle), (2, 2));
}

#[test]
fn an_idle_connection_leaves_its_place_to_one_of_another_runtime() {
    let (_servers, upstream) = server(&Settings::new().max_connections(1));
    let (one, other) = (runtime(), runtime());
    for _ in 0..2 {
        assert_served(&one, &upstream);
        assert_served(&other, &upstream);
    }
    let status = upstream.status();
    assert_eq!((status.opened, status.open, status.closed(CloseReason::TooManyIdle)), (4, 1, 3));
}

#[test]
fn the_requests_of_a_runtime_that_is_stuck_take_no_more_slots() {
    let stuck = runtime();
    let paused = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let (gates, upstream) = paused.block_on(async {
        let gates = Gates::new(&Server::start().await.address());
        let settings = Settings::new().resolver(gates.clone());
        (gates, Upstream::with_settings("orders.test:80", &settings).unwrap())
    });
    let mut waits = Box::pin(send(&upstream, get("/a")));
    stuck.block_on(async { assert!(futures::poll!(&mut waits).is_pending()) });
    paused.block_on(async {
        for _ in 0..3 {
            // Longer than the connect timeout.
            tokio::time::advance(LONG).await;
            assert!(send(&upstream, get("/b")).await.is_err());
        }
        assert_eq!((gates.len(), upstream.status().open, upstream.status().waiting), (3, 1, 0));
    });
    let error = stuck.block_on(waits).unwrap_err();
    assert!(error.connect_error().is_some(), "{error:?}");
}

#[cfg(feature = "http2")]
#[test]
fn an_http2_connection_is_used_only_in_the_runtime_in_which_it_was_opened() {
    use bytes::Bytes;
    use equipoise_http::Version;
    use http_body_util::Full;
    use hyper_util::rt::{TokioExecutor, TokioIo};

    let servers = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let settings = Settings::new().version(Version::Http2);
    let (server, upstream) = servers.block_on(Server::with_upstream(&settings));
    servers.spawn(async move {
        loop {
            let stream = TokioIo::new(server.accept().await.into_inner());
            let service = hyper::service::service_fn(|_| async {
                Ok::<_, std::convert::Infallible>(http::Response::new(Full::<Bytes>::from("hello")))
            });
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(builder.serve_connection(stream, service));
        }
    });
    let (one, other) = (runtime(), runtime());
    for _ in 0..2 {
        assert_served(&one, &upstream);
        assert_served(&other, &upstream);
    }
    assert_eq!(upstream.status().opened, 2);
}
