//! A balanced HTTP client.

use std::{
    fmt,
    task::{Context, Poll},
};

use bytes::Bytes;
use equipoise_core::Pool;
use equipoise_tower::{Balance, BoxError, Error, LeasedBody, ReplayBodies, Replayable, Targets};
use http::{Request, Response, Uri};
use http_body::Body;
use http_body_util::Empty;
use tower_service::Service;

use crate::upstream::{ResponseBody, Upstream};

/// A balanced HTTP client: a balancer over a pool whose targets are [`Upstream`]s.
///
/// ```
/// use equipoise_core::{EndpointSpec, Pool};
/// use equipoise_http::{HttpClient, Upstream};
/// # use tokio::{io::{AsyncReadExt, AsyncWriteExt}, net::TcpListener};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let listener = TcpListener::bind("127.0.0.1:0").await?;
/// # let addresses = ["127.0.0.1:1".to_owned(), listener.local_addr()?.to_string()];
/// # let server = async {
/// #     let (mut stream, _) = listener.accept().await?;
/// #     stream.read(&mut [0; 1024]).await?;
/// #     stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await
/// # };
/// # let client = async {
/// let pool = Pool::default();
/// pool.try_update(addresses.map(EndpointSpec::new), |spec| Upstream::new(spec.address()))?;
/// let response = HttpClient::new(pool).get("/today").await?;
/// # assert_eq!(response.status(), 200);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # };
/// # let (served, got) = tokio::join!(server, client);
/// # served?;
/// # got
/// # }
/// ```
///
/// - Each request goes to the endpoint that the pool's strategy picks. If it does not get there, it goes to another one.
///   [`Balance`] describes this, and has the settings: see [`with_balance`](Self::with_balance).
/// - Request bodies may be of any type, such as hyper's `Incoming` in a proxy. If failover has to send a body again, at
///   most 64 KiB of it are kept.
/// - Redirects are not followed, and cookies are not stored.
/// - The connections of an endpoint that leaves the pool are [closed](Upstream::close): idle ones at once, the others
///   when their request ends.
///
/// The client is `Clone` and a tower [`Service`]. Clones share the connections. It must be used inside a tokio runtime
/// with I/O and time turned on.
#[derive(Clone)]
pub struct HttpClient {
    balance: ReplayBodies<Balance<Upstream>>,
}

/// The future of a request of [`HttpClient`].
pub type HttpClientFuture<B> =
    equipoise_tower::ResponseFuture<Upstream, Targets, equipoise_tower::HttpProtocol, Request<Replayable<B>>>;

impl HttpClient {
    /// Creates a client over a pool, with the defaults of [`Balance`].
    #[must_use]
    pub fn new(pool: Pool<Upstream>) -> Self {
        Self::with_balance(Balance::new(pool))
    }

    /// Creates a client with the settings of a balancer, such as the number of attempts, timeouts and the queue.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use equipoise_core::Pool;
    /// use equipoise_http::HttpClient;
    /// use equipoise_tower::Balance;
    ///
    /// let balance = Balance::new(Pool::default()).max_attempts(2).attempt_timeout(Duration::from_secs(3));
    /// let client = HttpClient::with_balance(balance);
    /// # drop(client);
    /// ```
    #[must_use]
    pub fn with_balance(balance: Balance<Upstream>) -> Self {
        Self { balance: balance.incoming() }
    }

    /// Returns the pool that the client picks endpoints from.
    pub fn pool(&self) -> &Pool<Upstream> {
        self.balance.get_ref().pool()
    }

    /// Sends a GET request without a body. `uri` is a path that begins with `/`, or a complete URI, whose host becomes the
    /// `Host` header. Its scheme does not decide whether TLS is used: the address of the endpoint does.
    ///
    /// # Errors
    ///
    /// [`Error::Request`] if `uri` is not a valid URI, or is neither of the two. Otherwise the errors of [`call`](Self::call).
    pub async fn get(&self, uri: &str) -> Result<Response<LeasedBody<ResponseBody>>, Error> {
        let uri: Uri = uri.parse().map_err(|error: http::uri::InvalidUri| Error::Request { source: error.into() })?;
        // `users` and `users:80` would be read as the host of a CONNECT request.
        if uri.scheme().is_none() && uri.authority().is_some() {
            let source = format!("{uri:?} is not a path or a complete URI: write \"/{uri}\" for a path").into();
            return Err(Error::Request { source });
        }
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.uri_mut() = uri;
        self.call(request).await
    }

    /// Sends a request. The future ends with the head of the response. The request counts as in flight at its endpoint
    /// until the response body has ended or was dropped.
    ///
    /// # Errors
    ///
    /// The future fails with an [`Error`]: no endpoint could be picked, or the last attempt failed. The source of
    /// [`Error::Endpoint`] is an [`equipoise_http::Error`](crate::Error). [`Error::status`] is the status that a gateway
    /// should send.
    pub fn call<B>(&self, request: Request<B>) -> HttpClientFuture<B>
    where
        B: Body<Data: Clone + Send, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        self.balance.clone().call(request)
    }
}

impl<B> Service<Request<B>> for HttpClient
where
    ReplayBodies<Balance<Upstream>>: Service<Request<B>>,
{
    type Response = <ReplayBodies<Balance<Upstream>> as Service<Request<B>>>::Response;
    type Error = <ReplayBodies<Balance<Upstream>> as Service<Request<B>>>::Error;
    type Future = <ReplayBodies<Balance<Upstream>> as Service<Request<B>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.balance.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        Service::call(&mut self.balance, request)
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("balance", self.balance.get_ref()).finish()
    }
}
