//! A backend that is killed, and a cache that has stale responses.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use equipoise::gateway::{cache::CacheLayer, stack::Functions};
use equipoise_tests::{Backend, Seen};
use http::Request;

use crate::setup::{Gateway, Reply, answer, cache};

/// A clock that only the test moves.
#[derive(Clone, Default)]
struct Clock(Arc<AtomicU64>);

impl Clock {
    fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }

    /// A cache with this clock, for which stale responses may be used for an hour if the backend fails.
    fn cache(&self, stale_if_error: Duration) -> CacheLayer {
        let (start, passed) = (SystemTime::now(), Arc::clone(&self.0));
        let clock = move || start + Duration::from_secs(passed.load(Ordering::SeqCst));
        cache(|cache| cache.stale_if_error(stale_if_error).clock(clock))
    }
}

const HOUR: Duration = Duration::from_secs(3600);
const KEYS: usize = 20;

fn backend() -> Backend {
    Backend::answering(|seen: &Seen| answer(200, &[("cache-control", "max-age=10")], seen.uri.to_string()))
        .expect("a free port")
}

/// Asks for each key several times over connections that stay open. Meanwhile the backend is killed, with requests in
/// flight.
async fn load(gateway: &Gateway, backend: &mut Backend) -> Vec<Reply> {
    let clients = (0..10).map(|client| async move {
        let mut connection = gateway.connect().await;
        let mut replies = Vec::new();
        for turn in 0..3 * KEYS {
            let path = format!("/{}", (turn * 7 + client) % KEYS);
            let reply = connection.send(Request::get(&*path), "").await;
            assert!(reply.status != 200 || reply.text() == path, "{path}: {reply:?}");
            replies.push(reply);
        }
        replies
    });
    let killed = async {
        backend.has_served(backend.served() + 3).await;
        backend.stop().await;
    };
    let ((), replies) = tokio::join!(killed, futures::future::join_all(clients));
    replies.into_iter().flatten().collect()
}

#[tokio::test]
async fn a_killed_backend_causes_no_error_while_stale_responses_may_be_used() {
    let (clock, mut backend) = (Clock::default(), backend());
    let cache = clock.cache(HOUR);
    let gateway = Gateway::start(Functions::new().cache(cache.clone()), backend.address()).await;
    for key in 0..KEYS {
        assert_eq!(gateway.get(&format!("/{key}")).await.status, 200);
    }
    clock.advance(60);
    let replies = load(&gateway, &mut backend).await;
    assert_eq!(replies.len(), 10 * 3 * KEYS);
    let errors: Vec<_> = replies.iter().filter(|reply| reply.status != 200).collect();
    assert!(errors.is_empty(), "{} errors, such as {:?}", errors.len(), errors[0]);
    assert!(cache.stats().stale_on_error > 0, "{:?}", cache.stats());

    // Once the backend is back, it is asked again.
    clock.advance(60);
    backend.restart().expect("it has stopped");
    let before = backend.served();
    let reply = gateway.get("/1").await;
    assert_eq!((reply.status, backend.served()), (200, before + 1));
}

#[tokio::test]
async fn a_killed_backend_causes_errors_once_responses_are_too_old() {
    let (clock, mut backend) = (Clock::default(), backend());
    let gateway = Gateway::start(Functions::new().cache(clock.cache(HOUR)), backend.address()).await;
    assert_eq!(gateway.get("/1").await.status, 200);
    backend.stop().await;
    assert_eq!(gateway.get("/1").await.status, 200, "it is fresh");
    clock.advance(10 + 3600 - 5);
    assert_eq!(gateway.get("/1").await.status, 200, "it may be stale for an hour");
    clock.advance(10);
    assert_eq!(gateway.get("/1").await.status, 502);
}

#[tokio::test]
async fn without_stale_if_error_a_killed_backend_causes_errors() {
    let (clock, mut backend) = (Clock::default(), backend());
    let gateway = Gateway::start(Functions::new().cache(clock.cache(Duration::ZERO)), backend.address()).await;
    assert_eq!(gateway.get("/1").await.status, 200);
    backend.stop().await;
    clock.advance(60);
    assert_eq!(gateway.get("/1").await.status, 502);
}

#[tokio::test]
async fn a_truncated_response_is_not_stored_and_no_client_takes_it_for_complete() {
    let backend = equipoise_tests::Scripted::start(|mut peer| async move {
        peer.head().await?;
        peer.send("HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 10\r\n\r\nhello").await
    })
    .expect("a free port");
    let cache = cache(|cache| cache);
    let gateway = Gateway::start(Functions::new().cache(cache.clone()), backend.address()).await;
    for _ in 0..2 {
        let reply = gateway.exchange("GET / HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\n\r\n").await;
        // Either an error, or fewer bytes than promised.
        assert!(!reply.starts_with("HTTP/1.1 200") || reply.contains("content-length: 10\r\n"), "{reply}");
    }
    assert_eq!((backend.requests(), cache.stats().stored, cache.stats().incomplete), (2, 0, 2));
}
