//! tonic's channels as endpoints: one balanced channel for generated clients, and statuses for failed calls.

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
    balance::{Balance, ResponseFuture},
    dispatch::{Targets, origin},
    error::{Error, FailureStage, InvalidAddress},
    http::{HttpProtocol, LeasedBody},
};

/// A balanced channel for tonic's generated clients, over a tonic [`Channel`] for each endpoint.
///
/// Each call goes to an endpoint of the pool. A call that could not be sent goes to another one. A call that fails has a
/// status: `UNAVAILABLE` where no endpoint could be picked or reached, `DEADLINE_EXCEEDED` where time ran out, otherwise as
/// `From<Error> for Status` has it. The message names no address; the [`Error`] is the status's source.
///
/// A call that the server has not processed, such as one above the last stream of a GOAWAY, goes to another endpoint too, if
/// its messages so far have at most [`HttpProtocol::max_replay_bytes`] (default: 64 KiB). Otherwise it is `UNAVAILABLE`, and so is a
/// streaming call whose stream of messages tonic still holds when the attempt fails.
///
/// Cheap to clone; clones share the pool. Made by [`balanced_channel`] from addresses, by [`new`](Self::new) from a pool, or
/// from a [`Balance`] with settings of its own.
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

/// Creates a [`BalancedChannel`] over endpoints with these addresses, with the default strategy. Connections are opened when
/// they are needed.
///
/// An address is `host:port`, `http://host` with or without a port, or `unix:///path` for a Unix socket. Endpoints with TLS or
/// time-outs, and other strategies, take a pool: see [`BalancedChannel::new`].
///
/// # Errors
///
/// If an address is not one of these or occurs twice. `https` is refused, because it needs TLS settings.
///
/// # Panics
///
/// If called outside of a tokio runtime: tonic starts a task for each channel.
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

/// Returns tonic's endpoint of this address, without TLS.
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

/// The error of [`balanced_channel`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BalancedChannelError {
    /// An address cannot be used for gRPC without TLS.
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    /// The endpoints are not valid together.
    #[error(transparent)]
    Endpoints(#[from] UpdateError),
}

impl BalancedChannel {
    /// A channel over the tonic channels of a pool, with the defaults of [`Balance`].
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

    /// Returns the pool.
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
    /// The future of [`BalancedChannel`].
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

/// Converts the error of a call without a response into its status:
///
/// | error | status |
/// | --- | --- |
/// | no endpoint could be picked, the request was not sent or shed, the connection was lost | `UNAVAILABLE` |
/// | time ran out | `DEADLINE_EXCEEDED` |
/// | the request cannot be sent, or its stream failed | `INTERNAL` |
/// | the endpoint's service failed with a status of its own, as interceptors do | that status |
/// | something else | `UNKNOWN` |
///
/// The message names no endpoint and no address, so that it may be passed on to clients; the error is the status's source.
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

/// The first status among the causes.
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
