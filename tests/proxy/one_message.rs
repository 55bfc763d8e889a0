//! Raw requests of any form, over real sockets and connections that are reused: the endpoint's parser reads each request
//! that the server has accepted as the same single message, and nothing else.

use std::{
    cell::RefCell,
    fmt, fs,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use equipoise::{
    HttpClient,
    proxy::{ReverseProxy, server::Server},
};
use http::Request;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use parking_lot::Mutex;
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    time::timeout,
};
use tower::{Service, service_fn};

use crate::{
    folder::Folder,
    process::Process,
    setup::{Version, pool},
};

/// Fields about hosts, lengths and connections, as attackers vary them.
const FIELDS: [&str; 28] = [
    "Host: other.test",
    "Host: app.test:80",
    "host:app.test",
    "Host : app.test",
    "Content-Length: 5",
    "Content-Length: 40",
    "content-length: 0",
    "Content-Length: 05",
    "Content-Length: +5",
    "Content-Length: 5, 5",
    "Content-Length : 5",
    "Content_Length: 5",
    "Content-Length:\t5",
    "Content-Length: 5\r\n\t0",
    "Transfer-Encoding: chunked",
    "transfer-encoding: CHUNKED",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: chunked ",
    "Transfer-Encoding:\x0bchunked",
    "Transfer_Encoding: chunked",
    "Connection: Content-Length",
    "Connection: Transfer-Encoding, Host",
    "Connection: close",
    "TE: trailers",
    "X: a\rContent-Length: 5",
    "X: a\nContent-Length: 5",
];

const BODIES: [&str; 8] = [
    "",
    "hello",
    "5\r\nhello\r\n0\r\n\r\n",
    "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n",
    "5;a=b\r\nhello\r\n0\r\nX-Sum: 5\r\nContent-Length: 99\r\n\r\n",
    "28\r\nGET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n\r\n0\r\n\r\n",
    "5\nhello\n0\n\n",
    "G\r\nhello",
];

const TARGETS: [&str; 8] =
    ["/", "/a?b=c%20d", "http://app.test/a", "http://other.test/", "//a/../b", "/a b", "*", "app.test:80"];

/// Longer than what any length in these requests asks for. It is no request, so the server closes the connection when it
/// has answered what comes before.
const END: [u8; 512] = [0; 512];

const SEED: [u8; 32] = [1; 32];

/// A request as a parser has read it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Message {
    method: String,
    target: String,
    host: Vec<u8>,
    body: Vec<u8>,
}

/// The requests of one client, as bytes.
struct Requests(Vec<u8>);

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

fn requests() -> impl Strategy<Value = Requests> {
    let method = select(vec!["GET", "POST", "HEAD", "OPTIONS", "DELETE", "get"]);
    let version = prop_oneof![12 => Just("1.1"), 1 => Just("1.0"), 1 => Just("1.2")];
    let target = prop_oneof![3 => Just("/outer"), 2 => select(&TARGETS[..])];
    let request = (method, target, version, vec(select(&FIELDS[..]), 0..3), select(&BODIES[..])).prop_map(
        |(method, target, version, fields, body)| {
            let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
            format!("{method} {target} HTTP/{version}\r\nHost: app.test\r\n{fields}\r\n{body}")
        },
    );
    let byte = prop_oneof![select(b"\r\n \t:,0/\0".to_vec()), any::<u8>()];
    let change = (any::<Index>(), 0_usize..3, byte);
    (vec(request, 1..3), vec(change, 0..3)).prop_map(|(requests, changes)| {
        let mut bytes = requests.concat().into_bytes();
        for (at, removed, byte) in changes {
            let at = at.index(bytes.len());
            let end = (at + removed).min(bytes.len());
            bytes.splice(at..end, [byte]);
        }
        Requests(bytes)
    })
}

/// Removes the first message from the bytes. `Ok(None)` if it is incomplete.
fn take_message(bytes: &mut Vec<u8>) -> Result<Option<Message>, String> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Request::new(&mut fields);
    let mut at = match head.parse(bytes).map_err(|error| error.to_string())? {
        httparse::Status::Complete(end) => end,
        httparse::Status::Partial => return Ok(None),
    };
    let fields = |name: &str| {
        head.headers
            .iter()
            .filter(|field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value)
            .collect::<Vec<_>>()
    };
    let (hosts, lengths, codings) = (fields("host"), fields("content-length"), fields("transfer-encoding"));
    let mut message = Message {
        method: head.method.unwrap_or_default().to_owned(),
        target: head.path.unwrap_or_default().to_owned(),
        ..Message::default()
    };
    match (&*hosts, &*lengths, &*codings) {
        (&[host], _, _) => message.host = host.to_vec(),
        _ => return Err(format!("{} fields Host", hosts.len())),
    }
    match (&*lengths, &*codings) {
        ([], []) => {}
        ([length], []) => {
            let length = std::str::from_utf8(length).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            let length: usize = length.and_then(|text| text.parse().ok()).ok_or("a length that is no number")?;
            let Some(body) = bytes.get(at..at + length) else { return Ok(None) };
            message.body = body.to_vec();
            at += length;
        }
        ([], [b"chunked"]) => loop {
            let size = httparse::parse_chunk_size(&bytes[at..]).map_err(|_| "a chunk without a size")?;
            let httparse::Status::Complete((start, length)) = size else { return Ok(None) };
            at += start;
            if length == 0 {
                let mut trailers = [httparse::EMPTY_HEADER; 64];
                match httparse::parse_headers(&bytes[at..], &mut trailers).map_err(|error| error.to_string())? {
                    httparse::Status::Complete((end, _)) => at += end,
                    httparse::Status::Partial => return Ok(None),
                }
                break;
            }
            let length = usize::try_from(length).map_err(|_| "a long chunk")?;
            match bytes.get(at..at + length + 2) {
                None => return Ok(None),
                Some(chunk) if chunk.ends_with(b"\r\n") => message.body.extend_from_slice(&chunk[..length]),
                Some(_) => return Err("a chunk without an end".to_owned()),
            }
            at += length + 2;
        },
        _ => return Err(format!("{lengths:?} {codings:?}")),
    }
    bytes.drain(..at);
    Ok(Some(message))
}

/// The messages that an endpoint has read, or the reason why it could not.
type Read = Arc<Mutex<Vec<Result<Message, String>>>>;

/// An endpoint that answers all messages of a connection.
async fn endpoint(read: Read) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let read = Arc::clone(&read);
            tokio::spawn(async move {
                let mut bytes = Vec::new();
                // A message that is incomplete at the end of the connection is not acted on.
                while stream.read_buf(&mut bytes).await.is_ok_and(|count| count > 0) {
                    while let Some(message) = take_message(&mut bytes).transpose() {
                        let message = message.map_err(|error| format!("{error}: {}", bytes.escape_ascii()));
                        let (is_head, is_broken) =
                            (message.as_ref().is_ok_and(|message| message.method == "HEAD"), message.is_err());
                        read.lock().push(message);
                        let body = if is_head { "" } else { "ok" };
                        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{body}");
                        if is_broken || stream.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    address
}

/// The requests that a server has accepted. Their bodies may still arrive.
type Accepted = Arc<Mutex<Vec<Arc<Mutex<Message>>>>>;

/// A proxy that notes the requests which it forwards or refuses, as its server has read them.
struct Noting {
    runtime: Runtime,
    address: SocketAddr,
    accepted: Accepted,
}

impl Noting {
    fn start(runtime: Runtime, endpoint: String) -> Self {
        let accepted = Accepted::default();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let proxy = ReverseProxy::new(HttpClient::new(pool(endpoint, Version::Http1)));
        let notes = Arc::clone(&accepted);
        let noting = service_fn(move |request: Request<Incoming>| {
            let mut proxy = proxy.clone();
            let request = noted(request, address, &notes);
            async move { proxy.call(request).await }
        });
        runtime.spawn(Server::new(noting).serve(listener));
        Self { runtime, address, accepted }
    }

    /// Sends these bytes over a connection of its own. Returns what comes back.
    fn send(&self, bytes: &[u8]) -> Vec<u8> {
        self.runtime.block_on(async {
            let mut client = TcpStream::connect(self.address).await.expect("the proxy listens");
            // The server may have closed the connection before it has read all.
            let _ = client.write_all(&[bytes, &END].concat()).await;
            let mut answers = Vec::new();
            // Few requests ask for more than the filler has. The server would wait for the rest.
            let _ = timeout(Duration::from_millis(200), client.read_to_end(&mut answers)).await;
            answers
        })
    }

    /// Removes a request from those that the server has accepted. Returns whether there was one.
    fn take(&self, is_it: impl Fn(&Message) -> bool) -> bool {
        let mut accepted = self.accepted.lock();
        accepted.iter().rposition(|message| is_it(&message.lock())).map(|at| accepted.remove(at)).is_some()
    }
}

/// Writes down what the server has read of a request.
fn noted(request: Request<Incoming>, address: SocketAddr, accepted: &Accepted) -> Request<NotedBody> {
    let uri = request.uri();
    let host = match uri.authority() {
        Some(authority) => authority.as_str().as_bytes().to_vec(),
        // HTTP/1.0 needs no host. The endpoint then gets the address to which the client has connected.
        None => {
            request.headers().get("host").map_or_else(|| address.to_string().into(), |host| host.as_bytes().to_vec())
        }
    };
    let message = Message {
        method: request.method().to_string(),
        target: uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        host,
        body: Vec::new(),
    };
    let message = Arc::new(Mutex::new(message));
    accepted.lock().push(Arc::clone(&message));
    request.map(|body| NotedBody { body, message })
}

/// A body whose data are written down when the proxy reads them.
struct NotedBody {
    body: Incoming,
    message: Arc<Mutex<Message>>,
}

impl Body for NotedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            self.message.lock().body.extend_from_slice(data);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn status(answers: &[u8]) -> Option<u16> {
    std::str::from_utf8(answers.strip_prefix(b"HTTP/1.")?.get(2..5)?).ok()?.parse().ok()
}

/// Sends many requests, and checks after each what the endpoint has read.
fn run(cases: u32, noting: &Noting, check: impl FnMut() -> Result<(), TestCaseError>) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let check = RefCell::new(check);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &SEED);
    let tested = TestRunner::new_with_rng(config, rng).run(&requests(), |Requests(bytes)| {
        let answers = noting.send(&bytes);
        let status = status(&answers);
        // Without an answer, the request was incomplete. 502 would mean that the endpoint could not read it.
        let is_expected = status.is_none_or(|status| matches!(status, 200 | 400..=499 | 501 | 505));
        prop_assert!(is_expected, "{}", answers.escape_ascii());
        (check.borrow_mut())()
    });
    if let Err(error) = tested {
        panic!("{error}");
    }
}

#[test]
fn the_endpoint_reads_what_the_server_has_read() {
    let runtime = Runtime::new().expect("a runtime");
    let read = Read::default();
    let endpoint = runtime.block_on(endpoint(Arc::clone(&read)));
    let noting = Noting::start(runtime, endpoint);
    let mut count = 0;
    run(1500, &noting, || {
        for message in read.lock().drain(..) {
            let message = message.map_err(TestCaseError::fail)?;
            prop_assert!(noting.take(|accepted| *accepted == message), "{:?}", message);
            count += 1;
        }
        Ok(())
    });
    // Otherwise the requests are refused for a reason that is not their form.
    assert!(count > 300, "{count}");
}

#[test]
fn nginx_reads_what_the_server_has_read() {
    let runtime = Runtime::new().expect("a runtime");
    let files = Folder::new();
    let log = files.path().join("read");
    let directives = format!("access_log {} read if=$request_length; location / {{ return 200 ok; }}", log.display());
    let Some(nginx) = runtime.block_on(Process::nginx(&directives, files)) else { return };
    let noting = Noting::start(runtime, nginx.address.clone());
    let mut seen = 0;
    run(500, &noting, || {
        let lines = fs::read(&log).unwrap_or_default();
        let lines = String::from_utf8_lossy(&lines);
        for line in lines.lines().skip(seen) {
            seen += 1;
            // nginx refuses `OPTIONS *`.
            if line.starts_with("OPTIONS  ") {
                continue;
            }
            let is_it = |accepted: &Message| {
                let Message { method, target, host, .. } = accepted;
                format!("{method} {target} {}", String::from_utf8_lossy(host)) == line
            };
            prop_assert!(noting.take(is_it), "{}", line);
        }
        Ok(())
    });
    assert!(seen > 50, "{seen}");
}
