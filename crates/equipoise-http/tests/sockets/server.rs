//! Servers that tests control byte by byte.

use bytes::Bytes;
use equipoise_http::{ResponseBody, Settings, Upstream};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::ServiceExt;

/// A response without a body.
pub(crate) const EMPTY: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
/// A response with a short body.
pub(crate) const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// The head of a response, and the first five bytes of its body. The other five are sent later.
pub(crate) const HALF: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst";

pub(crate) struct Server {
    listener: TcpListener,
}

/// The server's side of a connection.
pub(crate) struct Peer {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.expect("a free port") }
    }

    pub(crate) fn address(&self) -> String {
        self.listener.local_addr().expect("an address").to_string()
    }

    pub(crate) async fn accept(&self) -> Peer {
        Peer { stream: self.listener.accept().await.expect("a connection").0, read: Vec::new() }
    }

    /// Starts a server, and creates an upstream of it.
    pub(crate) async fn with_upstream(settings: &Settings) -> (Self, Upstream) {
        let server = Self::start().await;
        let upstream = Upstream::with_settings(&server.address(), settings).expect("a valid address");
        (server, upstream)
    }

    /// Accepts a connection and answers one request on it.
    pub(crate) async fn serve(&self, response: &[u8]) -> Peer {
        let mut peer = self.accept().await;
        peer.answer(response).await;
        peer
    }

    /// Returns after tokio has read an event from the system that has happened during this call. All earlier events are
    /// known to tokio then.
    pub(crate) async fn event(&self) {
        let (client, server) = tokio::join!(TcpStream::connect(self.address()), self.listener.accept());
        let (mut client, mut server) = (client.expect("a connection"), server.expect("a connection").0);
        let (read, written) = tokio::join!(server.read_u8(), client.write_u8(1));
        assert!(read.is_ok() && written.is_ok());
    }
}

impl Peer {
    /// Reads up to and including `end`.
    pub(crate) async fn read_until(&mut self, end: &str) -> String {
        String::from_utf8(self.read_bytes_until(end.as_bytes()).await).expect("text")
    }

    /// Reads up to and including `end`.
    pub(crate) async fn read_bytes_until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|window| window == end) {
                let rest = self.read.split_off(at + end.len());
                return std::mem::replace(&mut self.read, rest);
            }
            let read = self.stream.read_buf(&mut self.read).await.expect("bytes");
            assert!(read > 0, "the client closed the connection");
        }
    }

    /// Reads so many bytes.
    pub(crate) async fn skip(&mut self, bytes: usize) {
        while self.read.len() < bytes {
            assert!(self.stream.read_buf(&mut self.read).await.expect("bytes") > 0, "the client closed the connection");
        }
        self.read.drain(..bytes);
    }

    /// Reads the head of a request.
    pub(crate) async fn head(&mut self) -> String {
        self.read_until("\r\n\r\n").await
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("an open connection");
    }

    /// Answers one request.
    pub(crate) async fn answer(&mut self, response: &[u8]) -> String {
        let head = self.head().await;
        self.write(response).await;
        head
    }

    /// Returns the connection. Bytes that were read before are lost.
    #[cfg(feature = "http2")]
    pub(crate) fn into_inner(self) -> TcpStream {
        self.stream
    }

    /// Waits until the client has closed the connection. Returns what it has sent before.
    pub(crate) async fn closed(&mut self) -> String {
        String::from_utf8(self.closed_bytes().await).expect("text")
    }

    /// Waits until the client has closed the connection. Returns what it has sent before.
    pub(crate) async fn closed_bytes(&mut self) -> Vec<u8> {
        // The client may reset the connection.
        let _ = self.stream.read_to_end(&mut self.read).await;
        std::mem::take(&mut self.read)
    }
}

pub(crate) fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(path).body(Empty::new()).expect("a valid request")
}

pub(crate) fn post(path: &str, body: &'static str) -> Request<Full<Bytes>> {
    Request::post(path).body(Full::from(body)).expect("a valid request")
}

/// Sends a request and returns its response, with the whole body.
pub(crate) async fn send<B>(upstream: &Upstream, request: Request<B>) -> Result<Response<String>, equipoise_http::Error>
where
    B: http_body::Body<Data: Send, Error: Into<equipoise_tower::BoxError>> + Send + 'static,
{
    let (head, body) = upstream.clone().oneshot(request).await?.into_parts();
    Ok(Response::from_parts(head, text(body).await?))
}

pub(crate) async fn text(body: ResponseBody) -> Result<String, equipoise_http::Error> {
    Ok(String::from_utf8(body.collect().await?.to_bytes().to_vec()).expect("text"))
}
