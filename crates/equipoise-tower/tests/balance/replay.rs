//! Request bodies of which an attempt has read a part or all.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use equipoise_tower::{Balance, BoxError, HttpProtocol, Replay, Replayable};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty, combinators::UnsyncBoxBody};
use parking_lot::Mutex;
use tower::{service_fn, util::BoxCloneSyncService};

use crate::common::{Frames, not_sent, pool};

/// A body that panics if it is polled after its end, as streams of async functions do.
struct Strict {
    frames: Frames,
    ended: bool,
}

impl Body for Strict {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        assert!(!self.ended, "polled after its end");
        let polled = Pin::new(&mut self.frames).poll_frame(cx);
        self.ended = matches!(polled, Poll::Ready(None));
        polled
    }
}

fn strict(frames: Frames) -> Strict {
    Strict { frames, ended: false }
}

/// A body of three chunks and trailers.
fn order() -> Frames {
    Frames::default().data("one ").data("two ").data("three").trailer("checksum", "7")
}

const FRAMES: usize = 4;

type Server<B> = BoxCloneSyncService<Request<B>, Response<Empty<Bytes>>, BoxError>;
/// The bodies that a server has read completely, with their trailers.
type Received = Arc<Mutex<Vec<(Bytes, Option<HeaderMap>)>>>;

/// A server that reads `frames` frames of the body and then fails with `error`.
fn taking<B>(frames: usize, error: impl Fn() -> BoxError + Clone + Send + Sync + 'static) -> Server<B>
where
    B: Body<Error: Into<BoxError>> + Send + Unpin + 'static,
{
    BoxCloneSyncService::new(service_fn(move |request: Request<B>| {
        let error = error.clone();
        async move {
            let mut body = request.into_body();
            for _ in 0..frames {
                body.frame().await.transpose().map_err(Into::into)?;
            }
            Err(error())
        }
    }))
}

fn refusing<B>(frames: usize) -> Server<B>
where
    B: Body<Error: Into<BoxError>> + Send + Unpin + 'static,
{
    taking(frames, || not_sent().into())
}

/// A server that reads the whole body.
fn receiving<B>(received: &Received) -> Server<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let received = Arc::clone(received);
    BoxCloneSyncService::new(service_fn(move |request: Request<B>| {
        let received = Arc::clone(&received);
        async move {
            let body = request.into_body().collect().await.map_err(Into::into)?;
            let trailers = body.trailers().cloned();
            received.lock().push((body.to_bytes(), trailers));
            Ok(Response::new(Empty::new()))
        }
    }))
}

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([("checksum".parse().unwrap(), HeaderValue::from_static("7"))])
}

/// Sends the body to one server for each number in `taken`, and then to one more. Each of the first servers reads that
/// number of frames and fails. The last server reads the whole body. Returns whether it received the whole body.
async fn arrives<B>(body: B, taken: &[usize], http: HttpProtocol) -> bool
where
    B: Replay + Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    B::Kept: Send,
{
    let received = Received::default();
    let names = ["a", "b", "c"];
    let refusing = taken.iter().map(|&frames| refusing(frames));
    let servers: Vec<(&str, Server<B>)> = names.into_iter().zip(refusing.chain([receiving(&received)])).collect();
    let response =
        Balance::with_protocol(pool(&servers).0, http).oneshot(Request::post("http://orders/").body(body).unwrap());
    let arrived = response.await.is_ok();
    let expected = ("one two three".into(), Some(trailers()));
    assert_eq!(*received.lock(), Vec::from_iter(arrived.then_some(expected)), "{taken:?}");
    arrived
}

#[tokio::test]
async fn a_body_is_sent_again_from_its_start_whatever_was_taken_of_it() {
    // One more than the number of frames means that the attempt has seen the end of the body.
    for first in 0..=FRAMES + 1 {
        for second in 0..=FRAMES + 1 {
            let taken = [first, second];
            let http = HttpProtocol::new;
            assert!(arrives(Replayable::new(order()), &taken, http()).await, "{taken:?}");
            assert!(arrives(Replayable::new(strict(order())), &taken, http()).await, "{taken:?}");
            assert!(arrives(order().boxed(), &taken, http()).await, "{taken:?}");
            assert!(arrives(UnsyncBoxBody::new(strict(order())), &taken, http()).await, "{taken:?}");
        }
    }
}

#[tokio::test]
async fn a_body_of_which_more_was_taken_than_may_be_kept_is_not_sent_again() {
    let http = |bytes| HttpProtocol::new().max_replay_bytes(bytes);
    let body = || Replayable::new(order());
    assert!(arrives(body(), &[0], http(0)).await, "untouched");
    assert!(!arrives(body(), &[1], http(0)).await);
    assert!(!arrives(body(), &[1], http(3)).await);
    assert!(arrives(body(), &[1], http(4)).await, "the first frame has four bytes");
    // Each further frame takes some memory in addition to its bytes.
    let overhead = size_of::<Frame<Bytes>>();
    assert!(!arrives(body(), &[2], http(8 + overhead - 1)).await);
    assert!(arrives(body(), &[2], http(8 + overhead)).await);
    assert!(!arrives(body(), &[FRAMES], http(13 + 3 * overhead)).await, "the trailers count too");
    assert!(!arrives(order().boxed(), &[1], http(3)).await);
}

#[tokio::test]
async fn the_limit_is_64_kib_by_default() {
    for (bytes, arrives) in [(64 * 1024, true), (64 * 1024 + 1, false)] {
        let received = Received::default();
        let (pool, _) = pool(&[("a", refusing(1)), ("b", receiving(&received))]);
        let body = Replayable::new(http_body_util::Full::new(Bytes::from(vec![7; bytes])));
        let response = Balance::new(pool).oneshot(Request::post("http://orders/").body(body).unwrap()).await;
        assert_eq!(response.is_ok(), arrives, "{bytes}");
    }
}

#[tokio::test]
async fn a_body_that_was_taken_is_sent_again_after_a_lost_connection_only_if_that_is_idempotent() {
    for (http, arrives) in [(HttpProtocol::new(), false), (HttpProtocol::new().idempotent(|_| true), true)] {
        let received = Received::default();
        let lost = taking(FRAMES, || io::Error::from(io::ErrorKind::ConnectionReset).into());
        let (pool, _) = pool(&[("a", lost), ("b", receiving(&received))]);
        let request = Request::post("http://orders/").body(Replayable::new(order())).unwrap();
        assert_eq!(Balance::with_protocol(pool, http).oneshot(request).await.is_ok(), arrives);
        assert_eq!(received.lock().len(), usize::from(arrives));
    }
}

#[tokio::test]
async fn a_body_that_failed_is_not_sent_again() {
    let ignoring: Server<Replayable<Frames>> =
        BoxCloneSyncService::new(service_fn(|request: Request<Replayable<Frames>>| async {
            let _ = request.into_body().collect().await;
            Err(not_sent().into())
        }));
    let received = Received::default();
    let (pool, _) = pool(&[("a", ignoring), ("b", receiving(&received))]);
    let body = Replayable::new(Frames::default().data("half of it").error());
    Balance::new(pool).oneshot(Request::post("http://orders/").body(body).unwrap()).await.unwrap_err();
    assert!(received.lock().is_empty());
}

#[tokio::test]
async fn a_body_that_was_taken_as_a_whole_need_not_come_back() {
    let held = Arc::new(Mutex::new(Vec::new()));
    let keeps = Arc::clone(&held);
    let holding = BoxCloneSyncService::new(service_fn(move |request: Request<Replayable<Frames>>| {
        let keeps = Arc::clone(&keeps);
        async move {
            let mut body = request.into_body();
            while !body.is_end_stream() {
                body.frame().await.transpose()?;
            }
            // Keeps the body, as a task that hyper has started for it would do.
            keeps.lock().push(body);
            Err(not_sent().into())
        }
    }));
    let received = Received::default();
    let (pool, _) = pool(&[("a", holding), ("b", receiving(&received))]);
    let request = Request::post("http://orders/").body(Replayable::new(order())).unwrap();
    Balance::new(pool).oneshot(request).await.unwrap();
    assert_eq!(*received.lock(), [("one two three".into(), Some(trailers()))]);
    assert_eq!(held.lock().len(), 1);
}

#[tokio::test]
async fn the_length_of_a_body_is_the_same_when_it_is_sent_again() {
    let lengths = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&lengths);
    let measuring = BoxCloneSyncService::new(service_fn(move |request: Request<Replayable<Sized>>| {
        let seen = Arc::clone(&seen);
        async move {
            let mut body = request.into_body();
            seen.lock().push(body.size_hint().exact());
            body.frame().await.transpose()?;
            seen.lock().push(body.size_hint().exact());
            Err::<Response<Empty<Bytes>>, BoxError>(not_sent().into())
        }
    }));
    let (pool, _) = pool(&[("a", measuring.clone()), ("b", measuring)]);
    let body = Replayable::new(Sized(vec!["one ", "two"]));
    Balance::new(pool).oneshot(Request::post("http://orders/").body(body).unwrap()).await.unwrap_err();
    assert_eq!(*lengths.lock(), [Some(7), Some(3), Some(7), Some(3)]);
}

/// A body of chunks with a known total length.
struct Sized(Vec<&'static str>);

impl Body for Sized {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let next = (!self.0.is_empty()).then(|| self.0.remove(0));
        Poll::Ready(next.map(|chunk| Ok(Frame::data(chunk.into()))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|chunk| chunk.len() as u64).sum())
    }
}

#[tokio::test]
async fn what_was_taken_is_let_go_with_the_head_of_the_response() {
    let taken = Arc::new(Mutex::new(Vec::new()));
    let keeps = Arc::clone(&taken);
    let answering = BoxCloneSyncService::new(service_fn(move |request: Request<Replayable<Frames>>| {
        let keeps = Arc::clone(&keeps);
        async move {
            let mut body = request.into_body();
            for _ in 0..2 {
                let frame = body.frame().await.transpose()?.and_then(|frame| frame.into_data().ok());
                keeps.lock().extend(frame);
            }
            // The rest of the body is read after the head of the response.
            Ok::<_, BoxError>(Response::new(body.map_err(io::Error::other)))
        }
    }));
    // Not static memory, for which `is_unique` is always false.
    let chunk = |text: &str| Bytes::from(text.repeat(100));
    let body = Frames::of([chunk("a"), chunk("b"), chunk("c")]);
    let (pool, _) = pool(&[("a", answering.clone()), ("b", answering)]);
    let request = Request::post("http://orders/").body(Replayable::new(body)).unwrap();
    let mut response = Balance::new(pool).oneshot(request).await.unwrap();
    assert!(taken.lock().iter().all(Bytes::is_unique), "kept no longer");
    let late = response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(late.is_unique(), "never kept");
    assert_eq!(taken.lock().len(), 2);
}

#[tokio::test]
async fn a_body_that_was_taken_in_one_region_crosses_to_another() {
    for taken in 0..=FRAMES + 1 {
        let received = Received::default();
        let (east, _) = pool(&[("e1", refusing(taken)), ("e2", refusing(1))]);
        let (west, _) = pool(&[("w1", refusing(2)), ("w2", receiving(&received))]);
        let (regions, _) = pool(&[("east", Balance::new(east)), ("west", Balance::new(west))]);
        let request = Request::post("http://orders/").body(Replayable::new(order())).unwrap();
        Balance::new(regions).oneshot(request).await.unwrap();
        assert_eq!(*received.lock(), [("one two three".into(), Some(trailers()))]);
    }
}

#[tokio::test]
async fn an_empty_body_is_not_lent() {
    let received = Received::default();
    let http = HttpProtocol::new().max_replay_bytes(0);
    let (pool, _) = pool(&[("a", refusing(1)), ("b", receiving(&received))]);
    let request = Request::post("http://orders/").body(Empty::<Bytes>::new().boxed()).unwrap();
    Balance::with_protocol(pool, http).oneshot(request).await.unwrap();
    assert_eq!(*received.lock(), [(Bytes::new(), None)]);
}
