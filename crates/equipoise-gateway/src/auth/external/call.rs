use std::{pin::Pin, sync::Arc};

use bytes::Bytes;
use equipoise_tower::BoxError;
use http::{Request, Response, response::Parts};
use http_body::Body;
use http_body_util::{BodyExt, Full, Limited};
use tower::util::Oneshot;
use tower_service::Service;

/// The maximum size of a response's body that is read so that the connection can be used again, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// Sends a request to the service, and returns the head of the response.
pub(super) type Call =
    dyn Fn(Request<Full<Bytes>>) -> Pin<Box<dyn Future<Output = Result<Parts, BoxError>> + Send>> + Send + Sync;

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
    Arc::new(move |request| Box::pin(exchange(service.clone(), request)))
}

/// Sends a request, and reads the response so far that its connection can be used again.
async fn exchange<S, R>(service: S, request: Request<Full<Bytes>>) -> Result<Parts, BoxError>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    R: Body,
    R::Error: Into<BoxError>,
{
    let (parts, body) = Oneshot::new(service, request).await.map_err(Into::into)?.into_parts();
    let mut body = std::pin::pin!(Limited::new(body, MAX_BODY));
    // The decision is known. An error of the body, or its length, only costs the connection.
    while let Some(Ok(_)) = body.frame().await {}
    Ok(parts)
}
