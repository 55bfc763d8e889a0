use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use equipoise::{
    EndpointSpec, Pool,
    http::{HttpClient, Settings, Upstream},
    proxy::{
        ReverseProxyLayer,
        server::{Server, ServerLimits},
    },
};
use equipoise_tests::soon;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::net::{TcpListener, TcpStream};
use tower::Layer;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Body = BoxBody<Bytes, BoxError>;

/// The version of HTTP on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    Http2,
}

/// All combinations of the client's and the endpoint's version.
pub(crate) const VERSIONS: [(Version, Version); 4] = [
    (Version::Http1, Version::Http1),
    (Version::Http1, Version::Http2),
    (Version::Http2, Version::Http1),
    (Version::Http2, Version::Http2),
];

/// A body of these frames.
pub(crate) fn frames(frames: impl IntoIterator<Item = Result<Frame<Bytes>, BoxError>>) -> Body {
    let frames: Vec<_> = frames.into_iter().collect();
    // `BoxBody` needs `Sync`, which a stream of results that are not `Sync` would not be.
    BodyExt::boxed(StreamBody::new(futures::stream::iter(frames)))
}

pub(crate) fn data(text: &'static str) -> Result<Frame<Bytes>, BoxError> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

pub(crate) fn trailers(name: &'static str, value: &'static str) -> Result<Frame<Bytes>, BoxError> {
    Ok(Frame::trailers(HeaderMap::from_iter([(
        http::HeaderName::from_static(name),
        http::HeaderValue::from_static(value),
    )])))
}

/// A backend of both versions of HTTP. Returns its address.
pub(crate) async fn backend<F>(answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static) -> String
where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            let service = hyper::service::service_fn(move |request| {
                let answer = answer(request);
                async { Ok::<_, Infallible>(answer.await) }
            });
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

/// Returns a pool with one endpoint.
pub(crate) fn pool(endpoint: String, version: Version) -> Pool<Upstream> {
    let settings = match version {
        Version::Http1 => Settings::new(),
        Version::Http2 => Settings::new().version(equipoise::http::Version::Http2),
    };
    let pool = Pool::default();
    let upstream = |spec: &EndpointSpec| Upstream::with_settings(spec.address(), &settings);
    pool.try_update([EndpointSpec::new(endpoint)], upstream).expect("a valid address");
    pool
}

/// A proxy in front of one endpoint.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) pool: Pool<Upstream>,
}

impl Proxy {
    pub(crate) async fn start(endpoint: String, version: Version) -> Self {
        Self::start_with(&ReverseProxyLayer::new(), endpoint, version).await
    }

    /// Starts a proxy with settings.
    pub(crate) async fn start_with(settings: &ReverseProxyLayer, endpoint: String, version: Version) -> Self {
        Self::start_limited(settings, ServerLimits::new(), endpoint, version).await
    }

    /// Starts a proxy with settings and limits of its server.
    pub(crate) async fn start_limited(
        settings: &ReverseProxyLayer,
        limits: ServerLimits,
        endpoint: String,
        version: Version,
    ) -> Self {
        let pool = pool(endpoint, version);
        let server = Server::with_limits(settings.layer(HttpClient::new(pool.clone())), limits);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(server.serve(listener));
        Self { address, pool }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the proxy listens")
    }

    /// Sends a request over a connection of its own.
    pub(crate) async fn send(&self, version: Version, mut request: Request<Body>) -> Response<Incoming> {
        let io = TokioIo::new(self.connect().await);
        match version {
            Version::Http1 => {
                request.headers_mut().insert("host", http::HeaderValue::from_static("app.test"));
                let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.expect("HTTP/1.1");
                tokio::spawn(connection.with_upgrades());
                sender.send_request(request).await
            }
            Version::Http2 => {
                let path = request.uri().path_and_query().expect("a path").as_str();
                *request.uri_mut() = format!("http://app.test{path}").parse().expect("a URI");
                let executor = TokioExecutor::new();
                let (mut sender, connection) =
                    hyper::client::conn::http2::handshake(executor, io).await.expect("HTTP/2");
                tokio::spawn(connection);
                sender.send_request(request).await
            }
        }
        .expect("a response")
    }

    /// Waits until no request is in flight. Returns how many requests have succeeded at the endpoint, and how many have
    /// failed there.
    pub(crate) async fn counts(&self) -> (u64, u64) {
        soon(self.pool.idle(self.pool.endpoints()[0].id.clone())).await;
        let requests = self.pool.endpoints()[0].requests;
        assert_eq!(requests.cancelled, 0);
        (requests.success, requests.total - requests.success)
    }
}
