//! This library, over the same client.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use equipoise::{
    EndpointSpec, Pool, Strategy,
    tower::{Balance, BalanceLayer, SharedClient},
};
use futures::{FutureExt, future::BoxFuture};
use http::Request;
use http_body_util::Empty;
use tower::Layer;

use super::client::{HttpClient, Subject, http_client, succeeded};

struct Balanced(Balance<(), SharedClient<HttpClient>>);

/// A balanced client with default settings and a strategy.
pub(super) fn balanced(backends: &[SocketAddr], strategy: impl Strategy) -> anyhow::Result<Arc<dyn Subject>> {
    let pool = Pool::new(strategy);
    pool.update(backends.iter().map(|address| EndpointSpec::new(address.to_string())), |_| ())?;
    Ok(Arc::new(Balanced(BalanceLayer::new(pool).layer(http_client()))))
}

impl Subject for Balanced {
    fn send(&self) -> BoxFuture<'static, bool> {
        let request = Request::get("http://backends/").body(Empty::<Bytes>::new()).expect("the request is valid");
        let response = self.0.clone().oneshot(request);
        Box::pin(response.then(succeeded))
    }
}
