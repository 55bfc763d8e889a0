//! The server with real sockets. Timeouts that are waited for are short, and all others are longer than the tests.

mod accepting;
mod early;
mod floods;
mod interim;
mod interim_streams;
mod limits;
mod resting;
mod shutdown;
mod streams;
mod threads;
mod versions;

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use bytes::Bytes;
use equipoise_proxy::server::{Server, ServerLimits};
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, client::conn::http2::SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tower::{Service, service_fn};

/// A timeout that a test waits for.
const SHORT: Duration = Duration::from_millis(50);
/// A timeout that does not pass in a test.
const LONG: Duration = Duration::from_secs(60);

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: app.test\r\n\r\n";

type Text = Response<Full<Bytes>>;

fn ok() -> Text {
    Response::new(Full::from("ok"))
}

/// Limits that do not pass in a test.
fn long() -> ServerLimits {
    ServerLimits::new().head_timeout(LONG).body_timeout(LONG).keep_alive_timeout(LONG).write_timeout(LONG)
}

/// A service that answers each request at once.
fn answers() -> impl Service<Request<Incoming>, Response = Text, Error = Infallible, Future: Send> + Clone + Send {
    service_fn(async |_: Request<Incoming>| Ok(ok()))
}

struct Running<S> {
    server: Server<S>,
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl<S> Running<S> {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the server listens")
    }

    /// Connects with HTTP/2.
    async fn http2(&self, window: u32) -> SendRequest<Full<Bytes>> {
        self.http2_until_closed(window).await.0
    }

    /// Connects with HTTP/2. The task ends when the connection is closed.
    async fn http2_until_closed(&self, window: u32) -> (SendRequest<Full<Bytes>>, JoinHandle<hyper::Result<()>>) {
        let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(window)
            .handshake(TokioIo::new(self.connect().await))
            .await
            .expect("HTTP/2");
        (sender, tokio::spawn(connection))
    }
}

macro_rules! start {
    ($service:expr, $limits:expr) => {{
        let server = equipoise_proxy::server::Server::with_limits($service, $limits);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let accepting = tokio::spawn(server.clone().serve(listener));
        crate::Running { server, address, accepting }
    }};
}
pub(crate) use start;

/// Reads one response with the body "ok". Returns its head.
async fn response(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\nok") {
        bytes.push(stream.read_u8().await.expect("a response"));
    }
    String::from_utf8(bytes).expect("text").to_ascii_lowercase()
}

/// Reads until the server closes the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("closed, not reset");
    String::from_utf8(bytes).expect("text").to_ascii_lowercase()
}

async fn exchange(stream: &mut TcpStream) -> String {
    stream.write_all(GET).await.expect("open");
    response(stream).await
}

/// A request of HTTP/2.
fn get() -> Request<Full<Bytes>> {
    Request::get("http://app.test/").body(Full::default()).expect("a request")
}

async fn bind() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a free port")
}
