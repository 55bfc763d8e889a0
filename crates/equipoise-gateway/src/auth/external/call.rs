use std::{error::Error, iter::successors, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use equipoise_core::PickError;
use equipoise_tower::{BoxError, Error as BalanceError, FailureStage};
use http::{Request, Response, response::Parts};
use http_body::Body;
use http_body_util::{BodyExt, Full, Limited};
use tokio::time::timeout;
use tower::util::Oneshot;
use tower_service::Service;

use crate::auth::AuthFailure;

/// The maximum size of a response's body that is read so that the connection can be used again, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// The maximum time in which a response's body is read. A longer one costs the connection.
const MAX_BODY_TIME: Duration = Duration::from_millis(100);

/// Why there is no response.
pub(super) enum CallError {
    Failed(BoxError),
    TimedOut,
}

impl CallError {
    /// Returns whether clients could have caused it, with many requests or with one that cannot be sent.
    pub(super) fn is_of_clients(&self) -> bool {
        let Self::Failed(error) = self else { return false };
        let error: &(dyn Error + 'static) = &**error;
        let is_full = |error: &(dyn Error + 'static)| {
            matches!(error.downcast_ref(), Some(BalanceError::Pick(PickError::Saturated | PickError::Declined)))
        };
        matches!(FailureStage::of(error), FailureStage::Overloaded | FailureStage::Caller)
            || successors(Some(error), |&error| error.source()).any(is_full)
    }
}

impl From<CallError> for AuthFailure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Failed(error) => Self::unavailable(format!("the external service has failed: {error}")),
            CallError::TimedOut => Self::unavailable("the external service has not responded in time"),
        }
    }
}

type CallFuture = Pin<Box<dyn Future<Output = Result<Parts, CallError>> + Send>>;

/// Sends a request to the service, and returns the head of the response, for which it waits at most as long as given.
pub(super) type Call = dyn Fn(Request<Full<Bytes>>, Duration) -> CallFuture + Send + Sync;

/// Returns a closure that sends requests to a service.
pub(super) fn call<S, R>(service: S) -> Arc<Call>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError> + Send,
    S::Future: Send,
    R: Body + Send + 'static,
    R::Data: Send,
    R::Error: Into<BoxError>,
{
    Arc::new(move |request, max| Box::pin(exchange(service.clone(), request, max)))
}

/// Sends a request, and reads the response so far that its connection can be used again.
async fn exchange<S, R>(service: S, request: Request<Full<Bytes>>, max: Duration) -> Result<Parts, CallError>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    R: Body,
    R::Error: Into<BoxError>,
{
    let response = timeout(max, Oneshot::new(service, request)).await.map_err(|_| CallError::TimedOut)?;
    let (parts, body) = response.map_err(|error| CallError::Failed(error.into()))?.into_parts();
    let mut body = std::pin::pin!(Limited::new(body, MAX_BODY));
    // The decision is known. An error of the body, its length, or its time only costs the connection.
    let _ = timeout(MAX_BODY_TIME, async { while let Some(Ok(_)) = body.frame().await {} }).await;
    Ok(parts)
}
