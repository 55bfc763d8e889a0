//! This library, over the same client.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use equipoise::{
    EndpointSpec, Pool, Strategy,
    tower::{Balance, BalanceLayer, SharedClient},
};
use futures::{FutureExt, future::BoxFuture};
use http::Uri;
use tower::Layer;

use super::client::{HttpClient, Subject, http_client, request, succeeded};

struct Balanced(Balance<(), SharedClient<HttpClient>>);

/// A balanced client with default settings and a strategy.
pub(super) fn balanced(backends: &[SocketAddr], strategy: impl Strategy) -> anyhow::Result<Arc<dyn Subject>> {
    let pool = Pool::new(strategy);
    pool.update(backends.iter().map(|address| EndpointSpec::new(address.to_string())), |_| ())?;
    Ok(Arc::new(Balanced(BalanceLayer::new(pool).layer(http_client()))))
}

impl Subject for Balanced {
    fn send(&self, service: Duration) -> BoxFuture<'static, bool> {
        let response = self.0.clone().oneshot(request(Uri::from_static("http://backends/"), service));
        Box::pin(response.then(succeeded))
    }
}
