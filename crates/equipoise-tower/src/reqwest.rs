//! reqwest's client as a service below the balancer, and a balanced client with reqwest's own request and response
//! types.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use equipoise_core::{EndpointSpec, Pool, UpdateError};
use http::{Extensions, Request, Response};
use pin_project_lite::pin_project;
use reqwest::{Body, Client, ClientBuilder, ResponseBuilderExt, Url, redirect, retry};
use tower_service::Service;

use crate::{
    balance::{Balance, BalanceLayer, SharedClient},
    error::{BoxError, Error, ReqwestError},
};

/// Reqwest's client as a tower service of [`http`] requests and responses, for use below [`BalanceLayer`].
///
/// The client sends each request once, and only to the endpoint that was picked. Redirects and retries are turned off,
/// even if the builder turns them on. With them, the balancer would see only the error of the final request, although
/// an endpoint may have processed an earlier one. A redirect is returned as a response. To follow redirects through the
/// balancer, put tower-http's `FollowRedirect` above it.
///
/// Reqwest takes its proxies from environment variables (`HTTP_PROXY`, `NO_PROXY`). With a proxy, failures of the proxy
/// count as failures of the endpoint. Call [`ClientBuilder::no_proxy`], unless the endpoints can only be reached
/// through the proxy.
///
/// Each response has the URL of its endpoint, stored as an extension. If you convert the response to a
/// [`reqwest::Response`], the new response has this URL. For a client with reqwest's own types, see [`BalancedClient`].
///
/// ```
/// use equipoise_core::{EndpointSpec, Pool};
/// use equipoise_tower::{BalanceLayer, ReqwestService};
/// use tower::Layer;
///
/// let pool = Pool::default();
/// pool.update(["127.0.0.1:8001", "127.0.0.1:8002"].map(EndpointSpec::new), |_| ())?;
/// let client = ReqwestService::build(reqwest::Client::builder().no_proxy())?;
/// let balanced = BalanceLayer::new(pool).check_addresses()?.layer(client);
/// # drop(balanced);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ReqwestService(Client);

impl ReqwestService {
    /// Builds reqwest's client from `builder`, with redirects and retries turned off.
    ///
    /// # Errors
    ///
    /// Returns the error of reqwest if it cannot build the client.
    pub fn build(builder: ClientBuilder) -> Result<Self, reqwest::Error> {
        builder.redirect(redirect::Policy::none()).retry(retry::never()).build().map(Self)
    }
}

impl Service<Request<Body>> for ReqwestService {
    type Response = Response<Body>;
    type Error = ReqwestError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, ReqwestError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ReqwestError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let client = self.0.clone();
        Box::pin(async move {
            let response = client.execute(request.try_into()?).await?;
            let url = response.url().clone();
            let mut response = Response::from(response);
            set_url(response.extensions_mut(), url);
            Ok(response)
        })
    }
}

/// Adds the extension in which [`reqwest::Response::from`] looks for the URL. Only reqwest's response builder can
/// create it.
fn set_url(extensions: &mut Extensions, url: Url) {
    let made = Response::builder().url(url).body(());
    extensions.extend(made.map(|made| made.into_parts().0.extensions).unwrap_or_default());
}

/// A balanced client with reqwest's own types: a service from [`reqwest::Request`] to [`reqwest::Response`].
///
/// Build requests as for any reqwest client. The balancer picks the endpoint, whatever the host in the request's URL
/// is. The request goes to the endpoint's address, and the endpoint receives the host of the URL as the `Host` header.
///
/// The response has the URL of the request, and a [`ServedBy`](crate::ServedBy) extension with the id of the endpoint.
/// The request counts as in flight until the response body has ended or was dropped.
///
/// ```no_run
/// use equipoise_tower::{ServedBy, balanced_client};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = balanced_client(["127.0.0.1:8001", "127.0.0.1:8002"])?;
/// let request = reqwest::Request::new(reqwest::Method::GET, "http://orders/today".parse()?);
/// let response = client.execute(request).await?;
/// println!("{} from {:?}", response.status(), response.extensions().get::<ServedBy>());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct BalancedClient<S = Balance<(), SharedClient<ReqwestService>>>(S);

/// Creates a [`BalancedClient`] over endpoints with these addresses, with the default strategy. A valid address is
/// `host:port`, or `http://` or `https://` with a host, an optional port, and no path. Reqwest's client uses no
/// proxies.
///
/// # Errors
///
/// - [`BalancedClientError::Endpoints`] if an address is not valid or occurs twice.
/// - [`BalancedClientError::Client`] if reqwest cannot build its client.
pub fn balanced_client<A>(addresses: impl IntoIterator<Item = A>) -> Result<BalancedClient, BalancedClientError>
where
    A: Into<String>,
{
    let pool = Pool::default();
    pool.update(addresses.into_iter().map(|address| EndpointSpec::new(address.into())), |_| ())?;
    BalancedClient::new(pool, Client::builder().no_proxy())
}

/// Why [`balanced_client`] or [`BalancedClient::new`] could not create a client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BalancedClientError {
    /// The pool refused an endpoint: HTTP cannot use its address, or its address occurs twice.
    #[error(transparent)]
    Endpoints(#[from] UpdateError),
    /// Reqwest could not build its client.
    #[error(transparent)]
    Client(#[from] reqwest::Error),
}

impl BalancedClient {
    /// Creates a client over the endpoints of a pool, with the defaults of [`Balance`]. Reqwest's client is built from
    /// `builder`, with redirects and retries turned off. From this call on, the pool refuses a new endpoint if HTTP
    /// cannot use its address.
    ///
    /// # Errors
    ///
    /// - [`BalancedClientError::Endpoints`] if HTTP cannot use the address of an endpoint in the pool (see
    ///   [`BalanceLayer::check_addresses`]).
    /// - [`BalancedClientError::Client`] if reqwest cannot build its client.
    pub fn new(pool: Pool<()>, builder: ClientBuilder) -> Result<Self, BalancedClientError> {
        use tower_layer::Layer;
        let layer = BalanceLayer::new(pool).check_addresses().map_err(UpdateError::from)?;
        Ok(Self(layer.layer(ReqwestService::build(builder)?)))
    }

    /// Returns the pool that the client picks endpoints from.
    pub fn pool(&self) -> &Pool<()> {
        self.0.pool()
    }
}

impl<S> BalancedClient<S> {
    /// Creates a client that sends its requests through `service`: a balancer with its own settings, or such a balancer
    /// with layers over it. The service takes [`http`] requests with reqwest's [`Body`].
    pub fn over(service: S) -> Self {
        Self(service)
    }

    /// Sends a request and returns the response.
    ///
    /// # Errors
    ///
    /// - [`Error::Request`] if the URL of the request is not a valid [`http::Uri`], for example because it has no host.
    ///   Nothing is sent then.
    /// - Any error of the balancer.
    pub async fn execute<B>(&self, request: reqwest::Request) -> Result<reqwest::Response, Error>
    where
        S: Service<Request<Body>, Response = Response<B>, Error = Error> + Clone,
        B: http_body::Body<Data: Into<bytes::Bytes>, Error: Into<BoxError>> + Send + Sync + 'static,
    {
        let mut service = self.clone();
        std::future::poll_fn(|cx| service.poll_ready(cx)).await?;
        service.call(request).await
    }
}

impl<S, B> Service<reqwest::Request> for BalancedClient<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = Error>,
    B: http_body::Body<Data: Into<bytes::Bytes>, Error: Into<BoxError>> + Send + Sync + 'static,
{
    type Response = reqwest::Response;
    type Error = Error;
    type Future = BalancedClientFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: reqwest::Request) -> Self::Future {
        let url = request.url().clone();
        let state = match Request::try_from(request) {
            Ok(request) => State::Sent { future: self.0.call(request), url: Some(url) },
            Err(error) => State::Refused { error: Some(error) },
        };
        BalancedClientFuture { state }
    }
}

pin_project! {
    /// The future that [`BalancedClient`] returns for a request. The future returns the response or an [`Error`].
    pub struct BalancedClientFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Sent { #[pin] future: F, url: Option<Url> },
        Refused { error: Option<reqwest::Error> },
    }
}

impl<F, B> Future for BalancedClientFuture<F>
where
    F: Future<Output = Result<Response<B>, Error>>,
    B: http_body::Body<Data: Into<bytes::Bytes>, Error: Into<BoxError>> + Send + Sync + 'static,
{
    type Output = Result<reqwest::Response, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Sent { future, url } => {
                let mut response = ready!(future.poll(cx))?;
                if let Some(url) = url.take() {
                    set_url(response.extensions_mut(), url);
                }
                Poll::Ready(Ok(response.map(Body::wrap).into()))
            }
            StateProj::Refused { error } => match error.take() {
                Some(error) => Poll::Ready(Err(Error::Request { source: error.into() })),
                // The future was polled after its end.
                None => Poll::Pending,
            },
        }
    }
}
