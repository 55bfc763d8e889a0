//! HTTP/2 servers that close a connection with GOAWAY: requests that were not processed go to another endpoint, for
//! every method.

use bytes::Bytes;
use equipoise::{
    Failure, Verdict,
    tower::{BalanceLayer, Replayable, ServedBy},
};
use equipoise_tests::{Backend, Peer, Scripted, soon};
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::Layer;

use crate::setup::{pool, request};

const NO_ERROR: u8 = 0;
const ENHANCE_YOUR_CALM: u8 = 11;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

const END_STREAM: u8 = 1;

/// The behaviour of an HTTP/2 server on each connection.
#[derive(Clone, Copy)]
pub(crate) struct GoAway {
    /// What it waits for first.
    after: After,
    /// The frame, and whether the connection is closed after it.
    frame: Option<(u8, [u8; 8])>,
    /// Whether the server then closes the connection.
    closes: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum After {
    Nothing,
    /// The head of a request.
    Head,
    /// The end of a request.
    Request,
}

impl GoAway {
    /// Sends GOAWAY before the first request.
    pub(crate) fn at_once(error: u8) -> Self {
        Self { after: After::Nothing, ..Self::after_the_request(0, error) }
    }

    /// Sends GOAWAY after the complete first request, its body included.
    pub(crate) fn after_the_body(last_stream: u8, error: u8) -> Self {
        Self { after: After::Request, ..Self::after_the_request(last_stream, error) }
    }

    /// Sends GOAWAY after the head of the first request.
    pub(crate) fn after_the_request(last_stream: u8, error: u8) -> Self {
        let frame = Some((GOAWAY, [0, 0, 0, last_stream, 0, 0, 0, error]));
        Self { after: After::Head, frame, closes: false }
    }

    /// Sends a frame that is a protocol error: data for an unknown stream.
    pub(crate) fn with_nonsense() -> Self {
        Self { after: After::Head, frame: Some((DATA, [0; 8])), closes: false }
    }

    /// Sends nothing.
    pub(crate) fn never() -> Self {
        Self { after: After::Head, frame: None, closes: false }
    }

    /// Also closes the connection, after the frame.
    pub(crate) fn and_close(self) -> Self {
        Self { closes: true, ..self }
    }
}

/// A server with this behaviour.
pub(crate) fn http2(does: GoAway) -> Scripted {
    let frame = |kind: u8, payload: &[u8]| [&[0, 0, payload.len() as u8, kind, 0, 0, 0, 0, 0], payload].concat();
    Scripted::start(move |mut peer: Peer| async move {
        // HTTP/2's connection preface ends like the head of a request. Frames follow.
        peer.head().await?;
        peer.body(b"SM\r\n\r\n".len()).await?;
        peer.send(frame(SETTINGS, &[])).await?;
        let mut awaiting = does.after != After::Nothing;
        while awaiting {
            let head = peer.body(9).await?;
            peer.body(usize::from(head[1]) << 8 | usize::from(head[2])).await?;
            let (kind, flags) = (head[3], head[4]);
            awaiting = match does.after {
                After::Request => !matches!(kind, DATA | HEADERS) || flags & END_STREAM == 0,
                _ => kind != HEADERS,
            };
        }
        if let Some((kind, payload)) = does.frame {
            peer.send(frame(kind, &payload)).await?;
        }
        if !does.closes {
            peer.closed().await;
        }
        Ok(())
    })
    .unwrap()
}

/// Sends one request to a pool of a server with this behaviour and a healthy one. Returns the endpoint that answered
/// and the first verdict.
async fn beside_a_healthy_one(does: GoAway, method: Method) -> (Option<String>, Verdict) {
    let (a, b) = (http2(does), Backend::start("b").unwrap());
    let (pool, recorder) = pool(&[("a", a.address()), ("b", b.address())]);
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let outcome = soon(BalanceLayer::new(pool).layer(client).oneshot(request(method, "order"))).await;
    let served_by = outcome.ok().and_then(|response| response.extensions().get().cloned());
    assert_eq!(b.served(), usize::from(served_by.is_some()));
    (served_by.map(|ServedBy(id)| id.to_string()), recorder.verdicts()[0].1)
}

#[tokio::test]
async fn a_post_above_the_last_stream_goes_to_another_endpoint() {
    for error in [NO_ERROR, ENHANCE_YOUR_CALM] {
        for does in [GoAway::after_the_request(0, error), GoAway::after_the_request(0, error).and_close()] {
            let (served_by, verdict) = beside_a_healthy_one(does, Method::POST).await;
            assert_eq!(served_by.as_deref(), Some("b"), "error code {error}");
            assert_eq!(verdict, Verdict::Failure(Failure::Connect));
        }
    }
}

#[tokio::test]
async fn a_post_on_a_connection_with_goaway_goes_to_another_endpoint() {
    for error in [NO_ERROR, ENHANCE_YOUR_CALM] {
        let (served_by, _) = beside_a_healthy_one(GoAway::at_once(error), Method::POST).await;
        assert_eq!(served_by.as_deref(), Some("b"), "error code {error}");
    }
}

#[tokio::test]
async fn a_stream_that_the_goaway_covers_may_have_been_processed() {
    let does = GoAway::after_the_request(1, NO_ERROR).and_close();
    let lost = Verdict::Failure(Failure::Transport);
    assert_eq!(beside_a_healthy_one(does, Method::POST).await, (None, lost));
    assert_eq!(beside_a_healthy_one(does, Method::GET).await, (Some("b".to_owned()), lost));
}

/// Sends one POST with a body that cannot be copied to a pool of such a server and a healthy one. Returns what the healthy
/// one got.
async fn uncopied(does: GoAway, body: Full<Bytes>, trailers: Option<HeaderMap>) -> Option<Bytes> {
    let (a, b) = (http2(does), Backend::start("b").unwrap());
    let (pool, recorder) = pool(&[("a", a.address()), ("b", b.address())]);
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let body = body.with_trailers(async { trailers.map(Ok) });
    let request = Request::post("http://orders/").body(Replayable::new(Box::pin(body))).unwrap();
    let outcome = soon(BalanceLayer::new(pool).layer(client).oneshot(request)).await;
    assert_eq!(recorder.verdicts()[0].1, Verdict::Failure(Failure::Connect));
    assert_eq!(b.seen().len(), usize::from(outcome.is_ok()));
    b.seen().pop().map(|seen| seen.body)
}

#[tokio::test]
async fn a_post_whose_body_was_taken_goes_to_another_endpoint_from_its_start() {
    let trailers = || HeaderMap::from_iter([("checksum".parse().unwrap(), HeaderValue::from_static("7"))]);
    for does in [GoAway::after_the_body(0, NO_ERROR), GoAway::after_the_body(0, ENHANCE_YOUR_CALM).and_close()] {
        for trailers in [None, Some(trailers())] {
            assert_eq!(uncopied(does, "order".into(), trailers).await.as_deref(), Some(&b"order"[..]));
        }
    }
}

#[tokio::test]
async fn a_post_whose_body_is_more_than_may_be_kept_fails() {
    let does = GoAway::after_the_request(0, NO_ERROR);
    assert_eq!(uncopied(does, vec![7; 64 * 1024 + 1].into(), None).await, None);
}

#[tokio::test]
async fn the_clients_own_goaway_does_not_mean_unprocessed() {
    let lost = Verdict::Failure(Failure::Transport);
    assert_eq!(beside_a_healthy_one(GoAway::with_nonsense(), Method::POST).await, (None, lost));
    assert_eq!(beside_a_healthy_one(GoAway::with_nonsense(), Method::GET).await, (Some("b".to_owned()), lost));
}
