//! Interim responses (1xx) on streams that take and give bytes in parts, between pipelined requests.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use equipoise_proxy::{listen::Established, server::Server};
use equipoise_tower::InterimSender;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use parking_lot::Mutex;
use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tower::service_fn;

use crate::{
    interim::{fields, sender},
    long,
};

/// What a test does with one request.
#[derive(Clone, Debug)]
struct Step {
    is_head: bool,
    /// The length of the request's body, whether it is sent in chunks, and whether the client asks for `100 Continue`.
    body: usize,
    is_chunked: bool,
    expects: bool,
    /// When the service reads the body.
    read: Read,
    /// The lengths of the fields of interim responses, and how often the service yields before each.
    interim: Vec<(usize, usize)>,
    /// Which task sends them.
    task: Task,
    response: usize,
}

/// When a service reads the body of a request: before, after or while it sends interim responses.
#[derive(Clone, Copy, Debug)]
enum Read {
    Before,
    After,
    Meanwhile,
}

/// Which task sends interim responses.
#[derive(Clone, Copy, Debug)]
enum Task {
    /// That of the service.
    Own,
    /// Another one, for which the service waits.
    Awaited,
    /// Another one, which may go on after the service has responded.
    Detached,
}

fn step() -> impl Strategy<Value = Step> {
    let read = prop_oneof![Just(Read::Before), Just(Read::After), Just(Read::Meanwhile)];
    let body = (prop_oneof![Just(0), 1..1000_usize], any::<bool>(), any::<bool>(), read);
    let interim = prop::collection::vec((0..1500_usize, 0..3_usize), 0..4);
    let task = prop_oneof![Just(Task::Own), Just(Task::Awaited), Just(Task::Detached)];
    (any::<bool>(), body, interim, task, prop_oneof![0..10_usize, 0..6000_usize]).prop_map(
        |(is_head, (body, is_chunked, expects, read), interim, task, response)| Step {
            is_head,
            body,
            is_chunked,
            expects,
            read,
            interim,
            task,
            response,
        },
    )
}

/// A connection that takes and gives bytes in parts.
struct Slow {
    input: VecDeque<u8>,
    output: Arc<Mutex<Vec<u8>>>,
    reads: Parts,
    writes: Parts,
    is_vectored: bool,
    is_shut: bool,
}

/// The sizes of parts, again and again. Nothing passes for a moment if a size is 0.
#[derive(Clone, Debug)]
struct Parts(Vec<usize>, usize);

impl Parts {
    fn next(&mut self, cx: &Context<'_>) -> Poll<usize> {
        self.1 += 1;
        match self.0[self.1 % self.0.len()] {
            0 => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            size => Poll::Ready(size),
        }
    }
}

fn parts() -> impl Strategy<Value = Parts> {
    let size = prop_oneof![Just(0), 1..50_usize, 1..5000_usize];
    let sizes = prop::collection::vec(size, 1..6);
    sizes
        .prop_filter("nothing would pass", |sizes| sizes.iter().any(|size| *size > 0))
        .prop_map(|sizes| Parts(sizes, 0))
}

impl AsyncRead for Slow {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.input.is_empty() {
            return if self.is_shut { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        let size = ready!(self.reads.next(cx)).min(buffer.remaining()).min(self.input.len());
        buffer.put_slice(&self.input.drain(..size).collect::<Vec<_>>());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Slow {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let size = ready!(self.writes.next(cx)).min(bytes.len());
        self.output.lock().extend_from_slice(&bytes[..size]);
        Poll::Ready(Ok(size))
    }

    fn is_write_vectored(&self) -> bool {
        self.is_vectored
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write(cx, &parts.iter().flat_map(|part| part.to_vec()).collect::<Vec<_>>())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_shut = true;
        Poll::Ready(Ok(()))
    }
}

/// Sends the interim responses of a step.
async fn send_all(sender: InterimSender, number: usize, interim: Vec<(usize, usize)>) {
    for (at, (length, yields)) in interim.into_iter().enumerate() {
        for _ in 0..yields {
            tokio::task::yield_now().await;
        }
        let fields = fields(&[("x-number", &format!("{number}.{at}")), ("x-fill", &"f".repeat(length))]);
        sender.send(StatusCode::EARLY_HINTS, &fields);
    }
}

/// Serves the requests of these steps, which are all sent at once. Returns what the client gets.
async fn serve(steps: &[Step], reads: Parts, writes: Parts, is_vectored: bool) -> Vec<u8> {
    let mut input = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        let method = if step.is_head { "HEAD" } else { "POST" };
        let expect = if step.expects { "expect: 100-continue\r\n" } else { "" };
        let close = if number + 1 == steps.len() { "connection: close\r\n" } else { "" };
        let body = "b".repeat(step.body);
        let (field, body) = match (step.is_chunked, step.body) {
            (false, length) => (format!("content-length: {length}"), body),
            (true, 0) => ("transfer-encoding: chunked".to_owned(), "0\r\n\r\n".to_owned()),
            (true, length) => ("transfer-encoding: chunked".to_owned(), format!("{length:x}\r\n{body}\r\n0\r\n\r\n")),
        };
        let request = format!("{method} / HTTP/1.1\r\nhost: a\r\n{field}\r\n{expect}{close}\r\n{body}");
        input.extend_from_slice(request.as_bytes());
    }
    let (plan, next, old) = (steps.to_vec(), AtomicUsize::new(0), Mutex::new(Vec::<InterimSender>::new()));
    let service = Arc::new((plan, next, old));
    let service = service_fn(move |request: Request<Incoming>| {
        let service = Arc::clone(&service);
        async move {
            let (plan, next, old) = &*service;
            let number = next.fetch_add(1, Ordering::Relaxed);
            let step = plan[number].clone();
            let sender = sender(&request).expect("the extension");
            for old in old.lock().iter() {
                old.send(StatusCode::EARLY_HINTS, &fields(&[("x-number", "too late")]));
            }
            old.lock().push(sender.clone());
            let read = async {
                let body = request.into_body().collect().await.expect("a whole body").to_bytes();
                assert_eq!(body.len(), step.body);
            };
            let send = async {
                let sending = send_all(sender, number, step.interim);
                match step.task {
                    Task::Own => sending.await,
                    Task::Awaited => tokio::spawn(sending).await.expect("no panic"),
                    Task::Detached => drop(tokio::spawn(sending)),
                }
            };
            match step.read {
                Read::Before => {
                    read.await;
                    send.await;
                }
                Read::After => {
                    send.await;
                    read.await;
                }
                Read::Meanwhile => {
                    tokio::join!(send, read);
                }
            }
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(vec![b'r'; step.response]))))
        }
    });
    let output = Arc::default();
    let input = input.into();
    let slow = Slow { input, output: Arc::clone(&output), reads, writes, is_vectored, is_shut: false };
    let server = Server::with_limits(service, long().interim_responses(true));
    server.serve_connection(Established::new(slow).into()).await;
    std::mem::take(&mut output.lock())
}

/// Checks that the client gets all responses in their order, each behind its interim responses.
fn check(steps: &[Step], mut bytes: &[u8]) -> Result<(), TestCaseError> {
    for (number, step) in steps.iter().enumerate() {
        let (mut interim, mut continues) = (Vec::new(), 0);
        let is_last = number + 1 == steps.len();
        loop {
            let mut fields = [httparse::EMPTY_HEADER; 10];
            let mut head = httparse::Response::new(&mut fields);
            let length = match head.parse(bytes) {
                Ok(httparse::Status::Complete(length)) => length,
                other => return Err(TestCaseError::fail(format!("request {number}: {other:?}"))),
            };
            bytes = &bytes[length..];
            let field = |name: &str| {
                let found = head.headers.iter().find(|field| field.name == name);
                found.map(|field| String::from_utf8_lossy(field.value).into_owned())
            };
            match head.code {
                Some(100) => continues += 1,
                Some(103) => interim.push((field("x-number").unwrap_or_default(), field("x-fill").unwrap_or_default())),
                Some(200) => {
                    let length = step.response.to_string();
                    prop_assert!(step.is_head || field("content-length") == Some(length));
                    prop_assert_eq!(field("connection").as_deref() == Some("close"), is_last);
                    break;
                }
                other => return Err(TestCaseError::fail(format!("request {number}: {other:?}"))),
            }
        }
        let sent = step.interim.iter().enumerate();
        let sent: Vec<_> = sent.map(|(at, (length, _))| (format!("{number}.{at}"), "f".repeat(*length))).collect();
        // The last ones of a detached task may be too late.
        let is_complete = interim.len() == sent.len() || matches!(step.task, Task::Detached);
        prop_assert!(is_complete && sent.starts_with(&interim), "request {number}: {interim:?}");
        prop_assert_eq!(continues, usize::from(step.expects && (step.is_chunked || step.body > 0)));
        let length = if step.is_head { 0 } else { step.response };
        let (body, rest) = bytes.split_at_checked(length).ok_or_else(|| TestCaseError::fail("a body is cut"))?;
        prop_assert!(body.iter().all(|byte| *byte == b'r'));
        bytes = rest;
    }
    prop_assert!(bytes.is_empty(), "{} bytes too many", bytes.len());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn interim_responses_stay_whole_and_in_order_on_any_stream(
        steps in prop::collection::vec(step(), 1..5),
        (reads, writes) in (parts(), parts()),
        is_vectored: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let bytes = runtime.expect("a runtime").block_on(serve(&steps, reads, writes, is_vectored));
        check(&steps, &bytes)?;
    }
}
