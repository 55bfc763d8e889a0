use std::task::{Context, Poll};

use http::{Request, Response};
use reqwest::{Body, Client};
use tower_service::Service;

/// Reqwest's client as a service of [`http`] requests and responses, which [`BalanceLayer`](crate::BalanceLayer) can
/// point at endpoints.
///
/// ```
/// use equipoise_core::{EndpointSpec, Pool};
/// use equipoise_tower::{BalanceLayer, ReqwestService};
/// use tower::Layer;
///
/// let pool = Pool::default();
/// pool.update(["127.0.0.1:8001", "127.0.0.1:8002"].map(EndpointSpec::new), |_| ())?;
/// let balanced = BalanceLayer::new(pool).layer(ReqwestService::new(reqwest::Client::new()));
/// # drop(balanced);
/// # Ok::<(), equipoise_core::UpdateError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ReqwestService(Client);

impl ReqwestService {
    /// Sends through this client.
    pub fn new(client: Client) -> Self {
        Self(client)
    }
}

impl Service<Request<Body>> for ReqwestService {
    type Response = Response<Body>;
    type Error = reqwest::Error;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, reqwest::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), reqwest::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let client = self.0.clone();
        Box::pin(async move { client.execute(request.try_into()?).await.map(Into::into) })
    }
}
