//! Many clients that ask for the same response at once.

use std::sync::Arc;

use bytes::Bytes;
use equipoise::gateway::{
    filter::{FilterLayer, FilterRules, Rule},
    stack::Functions,
};
use equipoise_tests::{Scripted, soon};
use http::Request;
use http_body_util::Full;
use tokio::sync::watch;

use crate::setup::{Gateway, Reply, cache};

const CONNECTIONS: usize = 20;
const CLIENTS: usize = 1000;
const LENGTH: usize = 20_000;

/// Sends [`CLIENTS`] requests at once to a backend that answers once all have arrived, with the fields of a response.
/// Returns the replies, and the number of requests that the backend has got.
async fn herd(fields: &'static str) -> (Vec<Reply>, usize) {
    let arrived = Arc::new(watch::Sender::new(0));
    let seen = Arc::clone(&arrived);
    let backend = Scripted::start(move |mut peer| {
        let mut all = seen.subscribe();
        async move {
            loop {
                peer.head().await?;
                // The sender lives as long as the test.
                let _ = all.wait_for(|arrived| *arrived == CLIENTS).await;
                peer.send(format!("HTTP/1.1 200 OK\r\n{fields}content-length: {LENGTH}\r\n\r\n")).await?;
                // The body comes in parts.
                for _ in 0..LENGTH / 1000 {
                    peer.send([b'.'; 1000]).await?;
                }
            }
        }
    })
    .expect("a free port");
    let count = Arc::clone(&arrived);
    let counted = Rule::deny("counts").when(move |_| {
        count.send_modify(|arrived| *arrived += 1);
        false
    });
    let functions = Functions::new()
        .filter(FilterLayer::new(FilterRules::new([counted]).expect("rules")))
        .cache(cache(|cache| cache));
    let gateway = Gateway::start(functions, backend.address()).await;
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(gateway.connect_http2().await);
    }
    let clients = (0..CLIENTS).map(|number| {
        let mut connection = connections[number % CONNECTIONS].clone();
        tokio::spawn(async move {
            let request = Request::get("http://app.test/").body(Full::<Bytes>::default()).expect("a request");
            Reply::read(connection.send_request(request).await.expect("a response")).await
        })
    });
    let replies = soon(futures::future::try_join_all(clients)).await.expect("no panic");
    (replies, backend.requests())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_clients_of_a_cold_key_make_one_request_to_the_backend() {
    let (replies, requests) = herd("cache-control: max-age=60\r\n").await;
    assert_eq!(requests, 1);
    assert_eq!(replies.len(), CLIENTS);
    for reply in replies {
        assert_eq!((reply.status, reply.body.len()), (200, LENGTH));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_a_response_that_cannot_be_shared_each_get_their_own() {
    let (replies, requests) = herd("cache-control: private\r\n").await;
    assert_eq!(requests, CLIENTS);
    for reply in replies {
        assert_eq!((reply.status, reply.body.len()), (200, LENGTH));
    }
}

#[tokio::test]
async fn the_loss_of_the_client_that_has_begun_a_fetch_is_no_loss_of_others() {
    let (release, released) = watch::channel(false);
    let backend = Scripted::start(move |mut peer| {
        let mut released = released.clone();
        async move {
            peer.head().await?;
            let _ = released.wait_for(|is| *is).await;
            peer.send("HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 5\r\n\r\nhello").await?;
            peer.closed().await;
            Ok(())
        }
    })
    .expect("a free port");
    let asked = Arc::new(watch::Sender::new(0));
    let count = Arc::clone(&asked);
    let counted = Rule::deny("counts").when(move |_| {
        count.send_modify(|asked| *asked += 1);
        false
    });
    let functions = Functions::new()
        .filter(FilterLayer::new(FilterRules::new([counted]).expect("rules")))
        .cache(cache(|cache| cache));
    let gateway = Arc::new(Gateway::start(functions, backend.address()).await);
    let start = || {
        let gateway = Arc::clone(&gateway);
        tokio::spawn(async move { gateway.get("/").await })
    };
    let mut asked = asked.subscribe();
    let first = start();
    soon(asked.wait_for(|asked| *asked == 1)).await.expect("the rule lives");
    let second = start();
    soon(asked.wait_for(|asked| *asked == 2)).await.expect("the rule lives");
    first.abort();
    assert!(first.await.is_err_and(|error| error.is_cancelled()));
    release.send(true).expect("the backend waits");
    let reply = second.await.expect("no panic");
    assert_eq!((reply.status, reply.text(), backend.requests()), (200, "hello", 1));
}
