//! A balanced channel for tonic's generated clients, and the gRPC statuses of failed calls.

use std::{
    error::Error as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use equipoise_core::{Address, EndpointSpec, Pool, UpdateError};
use http::{
    Request, Response, Uri,
    uri::{PathAndQuery, Scheme},
};
use pin_project_lite::pin_project;
use tonic::{
    Status,
    body::Body,
    transport::{Channel, Endpoint},
};
use tower_service::Service;

use crate::{
    balance::{Balance, ResponseFuture, Targets},
    error::{Error, FailureStage, InvalidAddress},
    http::{HttpProtocol, LeasedBody},
    point_at::origin,
};

/// A balanced channel for tonic's generated clients. Each endpoint of its pool has a tonic [`Channel`], and each call
/// goes to one endpoint.
///
/// A failed call goes to another endpoint in two cases: it could not be sent, or the server reported that it has not
/// processed the call. For example, a GOAWAY frame reports that streams with a higher id than the last stream id in the
/// frame were not processed. To repeat a call, the balancer must send the messages of the call again. This is not
/// possible in these cases, and the call fails with `UNAVAILABLE`:
///
/// - The messages of the call that were sent so far have more than [`HttpProtocol::max_replay_bytes`] bytes (default:
///   64 KiB).
/// - It is a streaming call, and tonic still holds the stream of the call's messages when the attempt fails.
///
/// A failed call has a gRPC status: `UNAVAILABLE` if no endpoint could be picked or reached, `DEADLINE_EXCEEDED` after
/// a timeout. The conversion `From<Error> for Status` lists the statuses of all errors. The message of the status
/// contains no address. The [`Error`] is the source of the status.
///
/// A channel is cheap to clone, and clones share the pool. Create it from addresses with [`balanced_channel`], from a
/// pool with [`new`](Self::new), or from a [`Balance`] with `BalancedChannel::from`.
///
/// ```no_run
/// use equipoise_tower::{Balance, BalancedChannel, balanced_channel};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let channel = balanced_channel(["http://10.0.0.1:50051", "http://10.0.0.2:50051"])?;
/// // Any generated client: `OrdersClient::new(channel)`, or with an interceptor.
/// let grpc = tonic::client::Grpc::new(channel.clone());
/// // With settings of the balancer.
/// let patient = Balance::new(channel.pool().clone()).queue_timeout(std::time::Duration::from_secs(1));
/// let channel = BalancedChannel::from(patient);
/// # drop((grpc, channel));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct BalancedChannel(Balance<Channel>);

/// Creates a [`BalancedChannel`] over endpoints with these addresses, with the default strategy. Connections are opened
/// when they are needed.
///
/// A valid address is `host:port`, `http://host` with an optional port, or `unix:///path` for a Unix socket. To use
/// TLS, timeouts or another strategy, build a pool of tonic channels and pass it to [`BalancedChannel::new`].
///
/// # Errors
///
/// - [`BalancedChannelError::Address`] if an address is not valid. An `https` address is not valid, because it needs
///   TLS settings.
/// - [`BalancedChannelError::Endpoints`] if the pool refuses an endpoint, for example because an address occurs twice.
///
/// # Panics
///
/// Panics outside of a tokio runtime, because tonic starts a task for each channel.
pub fn balanced_channel<A>(addresses: impl IntoIterator<Item = A>) -> Result<BalancedChannel, BalancedChannelError>
where
    A: Into<String>,
{
    let pool = Pool::default();
    for address in addresses {
        let address = address.into();
        let channel = plaintext(&address)?.connect_lazy();
        pool.add(EndpointSpec::new(address), channel)?;
    }
    Ok(BalancedChannel::new(pool))
}

/// Returns tonic's endpoint for this address, without TLS.
fn plaintext(address: &str) -> Result<Endpoint, InvalidAddress> {
    const VALID: &str = "use host:port, http:// with a host, perhaps a port, and no path, or unix:///path";
    const TLS: &str = "https needs TLS settings: make a pool of tonic channels and use BalancedChannel::new";
    const UNIX: &str = "a Unix socket is written as unix:///path";
    let refuse = |reason: &'static str| InvalidAddress::new(address).because(reason);
    if address.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("unix:")) {
        let path = Address::parse(address).ok().filter(|parsed| parsed.scheme().is_some() && parsed.host().is_empty());
        return match path.map(|parsed| parsed.path_query_and_fragment()) {
            _ if cfg!(not(unix)) => Err(refuse("this platform has no Unix sockets for tonic")),
            Some(path) if path.starts_with('/') => {
                Endpoint::from_shared(format!("unix://{path}")).map_err(|_| refuse(UNIX))
            }
            _ => Err(refuse(UNIX)),
        };
    }
    let (scheme, authority) = origin(address, VALID)?;
    if scheme == Some(Scheme::HTTPS) {
        return Err(refuse(TLS));
    }
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(authority);
    parts.path_and_query = Some(PathAndQuery::from_static("/"));
    Uri::from_parts(parts).map(Endpoint::from).map_err(|_| refuse(VALID))
}

/// Why [`balanced_channel`] could not create a channel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BalancedChannelError {
    /// An address cannot be used for gRPC without TLS.
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    /// The pool refused an endpoint, for example because its address occurs twice.
    #[error(transparent)]
    Endpoints(#[from] UpdateError),
}

impl BalancedChannel {
    /// Creates a channel over a pool of tonic channels, with the defaults of [`Balance`].
    ///
    /// ```no_run
    /// use equipoise_core::{EndpointSpec, Pool, RoundRobin};
    /// use equipoise_tower::BalancedChannel;
    /// use tonic::transport::Channel;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = Pool::new(RoundRobin::new());
    /// for address in ["10.0.0.1:50051", "10.0.0.2:50051"] {
    ///     let endpoint = Channel::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
    ///     pool.add(EndpointSpec::new(address), endpoint.connect_lazy())?;
    /// }
    /// let channel = BalancedChannel::new(pool);
    /// # drop(channel);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(pool: Pool<Channel>) -> Self {
        Self(Balance::new(pool))
    }

    /// Returns the pool that the channel picks endpoints from.
    pub fn pool(&self) -> &Pool<Channel> {
        self.0.pool()
    }
}

impl From<Balance<Channel>> for BalancedChannel {
    fn from(balance: Balance<Channel>) -> Self {
        Self(balance)
    }
}

impl Service<Request<Body>> for BalancedChannel {
    type Response = Response<LeasedBody<Body>>;
    type Error = Status;
    type Future = BalancedChannelFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.0.poll_ready(cx).map_err(Status::from)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        BalancedChannelFuture { future: self.0.call(request) }
    }
}

pin_project! {
    /// The future that [`BalancedChannel`] returns for a call. The future returns the response or a [`Status`].
    pub struct BalancedChannelFuture {
        #[pin]
        future: ResponseFuture<Channel, Targets, HttpProtocol, Request<Body>>,
    }
}

impl Future for BalancedChannelFuture {
    type Output = Result<Response<LeasedBody<Body>>, Status>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(ready!(self.project().future.poll(cx)).map_err(Status::from))
    }
}

/// Converts the error of a call that got no response into a gRPC status:
///
/// | error | status |
/// | --- | --- |
/// | no endpoint could be picked, the request was not sent or was shed, or the connection was lost | `UNAVAILABLE` |
/// | a timeout has passed | `DEADLINE_EXCEEDED` |
/// | the request cannot be sent, or its stream failed | `INTERNAL` |
/// | the endpoint's service, such as an interceptor, failed with a status | that status, with its message |
/// | any other error | `UNKNOWN` |
///
/// The messages that this conversion creates contain no endpoint and no address, so they may be sent to clients. The
/// error is the source of the status.
impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let mut status = match &error {
            Error::Pick(error) => Self::unavailable(error.to_string()),
            Error::Request { .. } | Error::Unsupported(_) => Self::internal(error.public_message()),
            Error::Address { .. } => Self::unavailable(error.public_message()),
            Error::Endpoint { stage, .. } => {
                let message = error.public_message();
                match (own_status(&error), *stage) {
                    (Some(status), _) => status,
                    (None, FailureStage::NotSent | FailureStage::Overloaded | FailureStage::NoResponse) => {
                        Self::unavailable(message)
                    }
                    (None, FailureStage::TimedOut) => Self::deadline_exceeded(message),
                    (None, FailureStage::Caller) => Self::internal(message),
                    (None, FailureStage::Other) => Self::unknown(message),
                }
            }
        };
        status.set_source(Arc::new(error));
        status
    }
}

/// Returns a copy of the first status among the causes of the error.
fn own_status(error: &Error) -> Option<Status> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(status) = error.downcast_ref::<Status>() {
            let (details, metadata) = (status.details().to_vec().into(), status.metadata().clone());
            return Some(Status::with_details_and_metadata(status.code(), status.message(), details, metadata));
        }
        next = error.source();
    }
    None
}
