//! Interim responses (1xx).

use std::sync::Arc;

use equipoise_http::{Settings, Upstream};
use equipoise_tower::InterimSender;
use http::Request;
use parking_lot::Mutex;
use tokio::join;

use crate::server::{EMPTY, HELLO, Server, get, post, send};

type Sent = Arc<Mutex<Vec<String>>>;

/// Adds a sender to a request, which records what it sends.
fn recorded<B>(mut request: Request<B>) -> (Request<B>, Sent) {
    let sent = Sent::default();
    let log = Arc::clone(&sent);
    let sender = InterimSender::new(move |status, headers| {
        let link = headers.get("link").map_or("", |link| link.to_str().expect("text"));
        log.lock().push(format!("{} {link}", status.as_str()));
    });
    request.extensions_mut().insert(sender);
    (request, sent)
}

#[tokio::test]
async fn interim_responses_go_to_the_sender_of_the_request() {
    let (server, upstream) = Server::with_upstream(&Settings::new()).await;
    let serve = async {
        let mut peer = server.accept().await;
        let interim = b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
        peer.answer(&[interim, HELLO].concat()).await;
        // The next request has no sender.
        peer.answer(&[interim, HELLO].concat()).await;
        peer
    };
    let request = async {
        let (request, sent) = recorded(get("/"));
        let response = send(&upstream, request).await.expect("a response");
        assert_eq!((response.body().as_str(), response.headers().get("link")), ("hello", None));
        assert_eq!(*sent.lock(), ["102 ", "103 </a>"]);
        assert_eq!(send(&upstream, get("/")).await.expect("a response").body(), "hello");
        assert_eq!(sent.lock().len(), 2);
    };
    join!(serve, request);
}

#[tokio::test]
async fn a_request_that_waits_for_100_continue_gets_other_interim_responses_too() {
    let (server, upstream) = Server::with_upstream(&Settings::new()).await;
    let serve = async {
        let mut peer = server.accept().await;
        peer.answer(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n").await;
        peer.skip(4).await;
        peer.write(b"HTTP/1.1 103 Early Hints\r\nlink: </b>\r\n\r\n").await;
        peer.write(EMPTY).await;
        peer
    };
    let request = async {
        let (mut request, sent) = recorded(post("/", "body"));
        request.headers_mut().insert("expect", http::HeaderValue::from_static("100-continue"));
        assert_eq!(send(&upstream, request).await.expect("a response").status(), 204);
        assert_eq!(*sent.lock(), ["103 </a>", "103 </b>"]);
    };
    join!(serve, request);
}

#[tokio::test]
async fn a_request_that_is_sent_again_over_another_connection_keeps_its_sender() {
    let (server, upstream): (Server, Upstream) = Server::with_upstream(&Settings::new()).await;
    let serve = async {
        let mut first = server.serve(EMPTY).await;
        // The connection is closed when the next request has been sent.
        first.head().await;
        drop(first);
        server.serve(&[b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", EMPTY].concat()).await
    };
    let request = async {
        send(&upstream, get("/")).await.expect("a response");
        let (request, sent) = recorded(get("/"));
        assert_eq!(send(&upstream, request).await.expect("a response").status(), 204);
        assert_eq!(*sent.lock(), ["103 </a>"]);
    };
    join!(serve, request);
}
