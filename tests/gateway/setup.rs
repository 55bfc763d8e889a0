use std::{convert::Infallible, io, net::SocketAddr};

use bytes::Bytes;
use equipoise::{
    EndpointSpec, Pool,
    gateway::{
        cache::{CacheBuilder, CacheLayer},
        stack::Functions,
    },
    http::{HttpClient, Upstream},
    proxy::{
        ReverseProxyLayer,
        server::{Server, ServerLimits},
    },
};
use equipoise_tests::{Answer, soon};
use http::{HeaderMap, Request, Response, request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::Layer;

/// A server with a reverse proxy and functions, in front of one backend.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
}

impl Gateway {
    pub(crate) async fn start(functions: Functions, backend: String) -> Self {
        Self::start_with(&ReverseProxyLayer::new(), functions, backend).await
    }

    /// Starts a gateway with settings of the reverse proxy.
    pub(crate) async fn start_with(proxy: &ReverseProxyLayer, functions: Functions, backend: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        Self::listen(proxy, functions, backend, listener)
    }

    /// Starts a gateway that passes interim responses on.
    pub(crate) async fn start_interim(functions: Functions, backend: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let limits = ServerLimits::new().interim_responses(true);
        Self::serve(&ReverseProxyLayer::new(), limits, functions, backend, listener)
    }

    /// Starts a gateway on this socket.
    pub(crate) fn listen(
        proxy: &ReverseProxyLayer,
        functions: Functions,
        backend: String,
        listener: TcpListener,
    ) -> Self {
        Self::serve(proxy, ServerLimits::new(), functions, backend, listener)
    }

    fn serve(
        proxy: &ReverseProxyLayer,
        limits: ServerLimits,
        functions: Functions,
        backend: String,
        listener: TcpListener,
    ) -> Self {
        let pool = Pool::default();
        pool.try_update([EndpointSpec::new(backend)], |spec| Upstream::new(spec.address())).expect("a valid address");
        let service = functions.layer(HttpClient::new(pool)).expect("functions that fit together");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(Server::with_limits(proxy.layer(service), limits).serve(listener));
        Self { address }
    }

    /// Sends a request without a body over a connection of its own.
    pub(crate) async fn send(&self, request: request::Builder) -> Reply {
        self.send_body(request, Bytes::new()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Request::get(path)).await
    }

    /// Sends a request over a connection of its own. Its host is `app.test`, unless it has one.
    pub(crate) async fn send_body(&self, request: request::Builder, body: impl Into<Bytes>) -> Reply {
        self.connect().await.send(request, body).await
    }

    /// Opens a connection of HTTP/1.1.
    pub(crate) async fn connect(&self) -> Client {
        let io = TokioIo::new(TcpStream::connect(self.address).await.expect("it listens"));
        let (sender, connection) = hyper::client::conn::http1::handshake(io).await.expect("HTTP/1.1");
        tokio::spawn(connection);
        Client(sender)
    }

    /// Opens a connection of HTTP/2, whose clones share it.
    pub(crate) async fn connect_http2(&self) -> hyper::client::conn::http2::SendRequest<Full<Bytes>> {
        let io = TokioIo::new(TcpStream::connect(self.address).await.expect("it listens"));
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
        tokio::spawn(connection);
        sender
    }

    /// Sends these bytes, and returns all that the gateway sends until it closes the connection.
    pub(crate) async fn exchange(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        stream.write_all(bytes.as_ref()).await.expect("open");
        let mut read = Vec::new();
        // A reset after a refusal ends the exchange too.
        let _ = soon(stream.read_to_end(&mut read)).await;
        String::from_utf8_lossy(&read).into_owned()
    }
}

/// A connection of HTTP/1.1.
pub(crate) struct Client(hyper::client::conn::http1::SendRequest<Full<Bytes>>);

impl Client {
    /// Sends a request. Unless it has other fields, its host is `app.test`, and errors are wanted in JSON.
    pub(crate) async fn send(&mut self, request: request::Builder, body: impl Into<Bytes>) -> Reply {
        let mut request = request.body(Full::new(body.into())).expect("a request");
        for (name, value) in [("host", "app.test"), ("accept", "application/json")] {
            request.headers_mut().entry(name).or_insert(http::HeaderValue::from_static(value));
        }
        soon(self.0.ready()).await.expect("open");
        let response = soon(self.0.send_request(request)).await.expect("a response");
        Reply::read(response).await
    }
}

/// A complete response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) async fn read(response: Response<hyper::body::Incoming>) -> Self {
        let (parts, body) = response.into_parts();
        let body = soon(body.collect()).await.expect("a complete body").to_bytes();
        Self { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// Returns the value of a header; an empty text if it does not exist.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// Returns the code of a problem document.
    pub(crate) fn code(&self) -> String {
        let document: serde_json::Value = serde_json::from_slice(&self.body).expect("a document");
        document["code"].as_str().expect("a code").to_owned()
    }

    /// Returns whether the cache has answered with a stored response.
    pub(crate) fn is_hit(&self) -> bool {
        self.header("cache-status").contains("; hit")
    }
}

/// A response of a backend.
pub(crate) fn answer(status: u16, fields: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
    let body = Full::new(body.into()).map_err(|never: Infallible| -> io::Error { match never {} });
    let response =
        fields.iter().fold(Response::builder().status(status), |all, (name, value)| all.header(*name, *value));
    response.body(body.boxed()).expect("a response")
}

/// A cache of 4 MiB with these settings.
pub(crate) fn cache(settings: impl FnOnce(CacheBuilder) -> CacheBuilder) -> CacheLayer {
    settings(CacheLayer::builder(4 << 20)).build().expect("a cache")
}
