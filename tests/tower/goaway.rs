//! HTTP/2 servers that close a connection with GOAWAY: requests that were not processed go to another endpoint, for
//! every method.

use equipoise::{
    Failure, Verdict,
    tower::{BalanceLayer, ServedBy},
};
use equipoise_tests::{Backend, Peer, Scripted, soon};
use http::Method;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::Layer;

use crate::setup::{pool, request};

const NO_ERROR: u8 = 0;
const ENHANCE_YOUR_CALM: u8 = 11;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

/// The behaviour of an HTTP/2 server on each connection.
#[derive(Clone, Copy)]
pub(crate) struct GoAway {
    /// Whether the server waits for a request before it sends the frame.
    after_a_request: bool,
    /// The type and the payload of the frame that the server sends; `None` for no frame.
    frame: Option<(u8, [u8; 8])>,
    /// Whether the server then closes the connection.
    closes: bool,
}

impl GoAway {
    /// Sends GOAWAY before the first request.
    pub(crate) fn at_once(error: u8) -> Self {
        Self { after_a_request: false, ..Self::after_the_request(0, error) }
    }

    /// Sends GOAWAY after the first request.
    pub(crate) fn after_the_request(last_stream: u8, error: u8) -> Self {
        let frame = Some((GOAWAY, [0, 0, 0, last_stream, 0, 0, 0, error]));
        Self { after_a_request: true, frame, closes: false }
    }

    /// Sends a frame that is a protocol error: data for an unknown stream.
    pub(crate) fn with_nonsense() -> Self {
        Self { after_a_request: true, frame: Some((DATA, [0; 8])), closes: false }
    }

    /// Sends nothing.
    pub(crate) fn never() -> Self {
        Self { after_a_request: true, frame: None, closes: false }
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
        let mut awaiting = does.after_a_request;
        while awaiting {
            let head = peer.body(9).await?;
            peer.body(usize::from(head[1]) << 8 | usize::from(head[2])).await?;
            awaiting = head[3] != HEADERS;
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

#[tokio::test]
async fn the_clients_own_goaway_does_not_mean_unprocessed() {
    let lost = Verdict::Failure(Failure::Transport);
    assert_eq!(beside_a_healthy_one(GoAway::with_nonsense(), Method::POST).await, (None, lost));
    assert_eq!(beside_a_healthy_one(GoAway::with_nonsense(), Method::GET).await, (Some("b".to_owned()), lost));
}
