//! The attempt timeout of a pool, for the requests that another endpoint may get.

use std::{
    task::{Context, Poll, ready},
    time::Duration,
};

use equipoise::{Balance, HttpClient, Pool, Upstream, tower::HttpProtocol};
use http::Request;
use hyper::body::Body;
use tower::Service;

/// The clients of a pool. Idempotent requests without a body have the attempt timeout, because after it they go to
/// another endpoint. For others it would only be an error, and the time includes that of sending a body, which may be
/// long. The timeouts of the listener apply to them.
#[derive(Clone)]
pub(crate) struct Attempts {
    limited: HttpClient,
    unlimited: HttpClient,
}

impl Attempts {
    pub(crate) fn new(pool: &Pool<Upstream>, protocol: HttpProtocol, timeout: Duration) -> Self {
        let balance = Balance::with_protocol(pool.clone(), protocol);
        let limited = HttpClient::with_balance(balance.clone().attempt_timeout(timeout));
        Self { limited, unlimited: HttpClient::with_balance(balance) }
    }
}

impl<B: Body> Service<Request<B>> for Attempts
where
    HttpClient: Service<Request<B>>,
{
    type Response = <HttpClient as Service<Request<B>>>::Response;
    type Error = <HttpClient as Service<Request<B>>>::Error;
    type Future = <HttpClient as Service<Request<B>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        ready!(Service::poll_ready(&mut self.limited, cx))?;
        Service::poll_ready(&mut self.unlimited, cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let client = match request.method().is_idempotent() && request.body().is_end_stream() {
            true => &mut self.limited,
            false => &mut self.unlimited,
        };
        Service::call(client, request)
    }
}
