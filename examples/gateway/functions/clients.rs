//! The pools that functions send their own requests to, such as those to an authorisation service.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tokio::sync::watch;
use tower::{Service, ServiceExt};

use super::service::BoxError;
use crate::backend::{Backend, Balanced};

/// The pools of the running gateway, which each reload replaces. Clones are the same ones.
#[derive(Clone, Default)]
pub(crate) struct PoolClients(Arc<watch::Sender<BTreeMap<String, Balanced>>>);

impl PoolClients {
    pub(crate) fn replace(&self, pools: &BTreeMap<String, Backend>) {
        let pools = pools.iter().map(|(name, pool)| (name.clone(), pool.service.clone()));
        self.0.send_replace(pools.collect());
    }

    /// Returns a client of a pool. It uses the pool that has the name when a request is sent. If there is none yet, because
    /// the configuration is not applied, it waits.
    pub(super) fn client(&self, pool: &str) -> PoolClient {
        PoolClient { pools: self.0.subscribe(), name: pool.into() }
    }
}

#[derive(Clone)]
pub(super) struct PoolClient {
    pools: watch::Receiver<BTreeMap<String, Balanced>>,
    name: Arc<str>,
}

impl<B, R> Service<Request<B>> for PoolClient
where
    B: Send + 'static,
    Balanced: Service<Request<B>, Response = Response<R>>,
    <Balanced as Service<Request<B>>>::Error: Into<BoxError>,
    <Balanced as Service<Request<B>>>::Future: Send,
{
    type Response = Response<R>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Self { mut pools, name } = self.clone();
        Box::pin(async move {
            let pool = pools.wait_for(|pools| pools.contains_key(&*name)).await?.get(&*name).cloned();
            let pool = pool.ok_or_else(|| format!("there is no pool {name:?}"))?;
            pool.oneshot(request).await.map_err(Into::into)
        })
    }
}
