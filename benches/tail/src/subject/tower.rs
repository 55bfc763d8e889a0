//! tower's own balancer: `Balance` over `PeakEwma`, shared through `Buffer`.

use std::{
    net::SocketAddr,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http::{Request, Response, Uri, uri::Authority};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_util::client::legacy::ResponseFuture;
use tower::{
    BoxError, Service, ServiceExt,
    balance::p2c::Balance,
    buffer::Buffer,
    discover::ServiceList,
    load::{CompleteOnResponse, PeakEwma},
};

use super::client::{HttpClient, Subject, http_client, request, succeeded};

/// Initial estimate and decay of linkerd, which uses this balancer.
const DEFAULT_RTT: Duration = Duration::from_millis(30);
const DECAY: Duration = Duration::from_secs(10);
/// Number of requests that may wait in the buffer; never reached here.
const BUFFER: usize = 100_000;

type Buffered = Buffer<Request<Empty<Bytes>>, BoxFuture<'static, Result<Response<Incoming>, BoxError>>>;

pub(super) struct PeakEwmaBalance(Buffered);

impl PeakEwmaBalance {
    /// Must be called within a tokio runtime: `Buffer` starts a task.
    pub(super) fn new(backends: &[SocketAddr]) -> Self {
        let client = http_client();
        let endpoints: Vec<_> = backends
            .iter()
            .map(|address| {
                let backend = Backend {
                    client: client.clone(),
                    authority: address.to_string().parse().expect("a socket address is an authority"),
                };
                PeakEwma::new(backend, DEFAULT_RTT, DECAY.as_nanos() as f64, CompleteOnResponse::default())
            })
            .collect();
        let balance = Balance::new(ServiceList::new::<Request<Empty<Bytes>>>(endpoints));
        Self(Buffer::new(balance.boxed(), BUFFER))
    }
}

impl Subject for PeakEwmaBalance {
    fn send(&self, service: Duration) -> BoxFuture<'static, bool> {
        let response = self.0.clone().oneshot(request(Uri::from_static("http://backends/"), service));
        Box::pin(response.then(succeeded))
    }
}

/// Sends requests to one backend.
struct Backend {
    client: HttpClient,
    authority: Authority,
}

impl Service<Request<Empty<Bytes>>> for Backend {
    type Response = Response<Incoming>;
    type Error = hyper_util::client::legacy::Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Empty<Bytes>>) -> Self::Future {
        let uri = format!("http://{}/", self.authority);
        *request.uri_mut() = uri.parse().expect("an authority and a path are a URI");
        self.client.request(request)
    }
}
