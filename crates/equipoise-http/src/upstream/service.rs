use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Once},
    task::{Context, Poll},
};

use equipoise_core::{__private::close_with_endpoint, InvalidAddress};
use equipoise_tower::BoxError;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{exchange::exchange, response::ResponseBody};
use crate::{
    body::RequestBody,
    connections::{ConnectionStatus, Connections},
    error::Error,
    origin::Origin,
    settings::Settings,
};

/// The connections to one endpoint, as a tower [`Service`] of HTTP requests with bodies of any type. It is made to be
/// the target of an endpoint in a pool (the value that is stored with the endpoint).
///
/// - **Address**: `host:port`, `http://host`, `https://host` with an optional port, or `unix:/path`. Host names are
///   resolved for each connection.
/// - **Requests** need only a path. The URI's host and scheme do not decide where the request goes, because the endpoint
///   does. If a request has no `Host` header, it gets the host of its URI, or else that of the address.
/// - **Connections** are opened when requests need them, and kept for the next ones. [`Settings`] has the limits.
/// - **Closed connections**: if the server has closed an idle connection, the request gets a new connection instead of an
///   error, if it cannot have been processed: it was not sent, or it is safe (GET, HEAD, OPTIONS, TRACE) and has no
///   body. A request that was sent before goes without its extensions, except `hyper::ext::Protocol`.
/// - **Interim responses** of an HTTP/1.1 server, such as `103 Early Hints`, go to the
///   [`InterimSender`](equipoise_tower::InterimSender) in the extensions of the request, if it has one.
/// - **Tunnels**: after `101 Switching Protocols` and successful CONNECT requests, `hyper::upgrade::on` returns the
///   connection. A request with an `Upgrade` header goes over HTTP/1.1, unless the settings allow only HTTP/2. Over
///   HTTP/2, CONNECT opens a tunnel too, and so does extended CONNECT (RFC 8441, with `hyper::ext::Protocol` in the
///   extensions of the request) if the server accepts it. The connection of such a tunnel is not used for further
///   requests.
/// - **Leaving endpoints**: if the target of an endpoint is an upstream, the pool [closes](Self::close) it when the
///   endpoint leaves. If it is a service around an upstream, set [`Pool::on_removed`](equipoise_core::Pool::on_removed)
///   to call `close`.
///
/// An upstream is `Clone`, and clones share the connections. It is always ready. It must be used inside a tokio runtime
/// with I/O and time turned on. Several runtimes can share it: each uses only the connections that were opened in it, and
/// these end with it.
///
/// ```no_run
/// use bytes::Bytes;
/// use equipoise_http::Upstream;
/// use http::Request;
/// use http_body_util::Empty;
/// use tower_service::Service;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut upstream = Upstream::new("10.0.0.1:8080")?;
/// let response = upstream.call(Request::get("/today").body(Empty::<Bytes>::new())?).await?;
/// println!("{}, {} connections", response.status(), upstream.status().open);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Upstream {
    connections: Arc<Connections>,
}

impl Upstream {
    /// Creates an upstream with the default [`Settings`]. It opens no connection.
    ///
    /// # Errors
    ///
    /// [`InvalidAddress`] if HTTP cannot use the address. Names are not resolved yet.
    pub fn new(address: &str) -> Result<Self, InvalidAddress> {
        Self::with_settings(address, &Settings::new())
    }

    /// Creates an upstream with these settings.
    ///
    /// # Errors
    ///
    /// [`InvalidAddress`] if HTTP cannot use the address. Names are not resolved yet.
    pub fn with_settings(address: &str, settings: &Settings) -> Result<Self, InvalidAddress> {
        static IS_KNOWN: Once = Once::new();
        IS_KNOWN.call_once(|| close_with_endpoint(Self::close));
        let connections = Connections::new(Origin::parse(address)?, settings.clone());
        connections.warm();
        Ok(Self { connections })
    }

    /// Returns the numbers of connections and requests, and why connections were closed.
    pub fn status(&self) -> ConnectionStatus {
        self.connections.status()
    }

    /// Closes the connections that are idle at once, and each connection that is in use when its request has ended.
    /// Tunnels are not closed. Later requests are still sent. They open new connections, which are kept as usual.
    ///
    /// A [`Pool`](equipoise_core::Pool) calls this for an endpoint that leaves it, or whose target is replaced.
    pub fn close(&self) {
        self.connections.close();
    }
}

impl<B> Service<Request<B>> for Upstream
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody>;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        let request = request.map(RequestBody::new);
        ResponseFuture(Box::pin(exchange(Arc::clone(&self.connections), request)))
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("place", &self.connections.origin.place)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

/// The future that [`Upstream`] returns for a request. It ends with the head of the response. If it is dropped before,
/// the request is given up, and its HTTP/1.1 connection is closed. A connection that is still being opened for it is
/// kept for other requests.
pub struct ResponseFuture(Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, Error>> + Send>>);

impl Future for ResponseFuture {
    type Output = Result<Response<ResponseBody>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
