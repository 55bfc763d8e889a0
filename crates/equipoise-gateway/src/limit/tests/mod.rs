mod buckets;
mod escape;
mod in_flight;
mod layer;

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use equipoise_affinity::source::PeerAddr;
use equipoise_core::ManualClock;
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};

use super::{RateLimitBuilder, RateLimitLayer};
use crate::ReplyBody;

/// A layer with a manual clock, and the responses that it gives.
struct Limited {
    clock: Arc<ManualClock>,
    layer: RateLimitLayer,
}

impl Limited {
    fn new(settings: RateLimitBuilder) -> Self {
        let clock = Arc::new(ManualClock::new());
        Self { layer: settings.clock(Arc::clone(&clock) as _).build().expect("valid settings"), clock }
    }

    fn advance(&self, millis: u64) {
        self.clock.advance(Duration::from_millis(millis));
    }

    async fn ask(&self, request: Request<()>) -> Response<ReplyBody<Full<Bytes>>> {
        let backend = service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(Full::from("backend"))));
        let mut service = self.layer.layer(backend);
        service.ready().await.expect("ready").call(request).await.expect("a response")
    }

    /// Returns the statuses of so many equal requests, one after the other.
    async fn statuses(&self, count: usize, request: impl Fn() -> Request<()>) -> Vec<u16> {
        let mut statuses = Vec::new();
        for _ in 0..count {
            statuses.push(self.ask(request()).await.status().as_u16());
        }
        statuses
    }
}

fn from(address: &str) -> Request<()> {
    let mut request = Request::new(());
    request.extensions_mut().insert(PeerAddr(SocketAddr::new(address.parse().expect("an address"), 1)));
    request
}

fn with(name: &'static str, value: &str) -> Request<()> {
    Request::builder().header(name, value).body(()).expect("a request")
}

fn field<B>(response: &Response<B>, name: &str) -> Option<String> {
    response.headers().get(name).map(|value| value.to_str().expect("text").to_owned())
}
