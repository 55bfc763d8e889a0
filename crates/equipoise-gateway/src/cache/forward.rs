//! Requests that are forwarded as they are, and what the unsafe ones among them remove (RFC 9111, 4.4).

use std::sync::Arc;

use equipoise_tower::{__private::is_grpc, BoxError, Error};
use http::{
    HeaderMap, HeaderName, Request, Response, StatusCode, Uri,
    header::{CONTENT_LOCATION, LOCATION},
};
use tokio::{runtime::Handle, task::JoinHandle};
use tower::{Service, ServiceExt};

use super::{
    CacheBody, CacheError,
    engine::Engine,
    status::{Forwarded, Handling},
    store::Purge,
};

/// Forwards a request as it is.
pub(super) async fn pass<S, B, R>(
    engine: Arc<Engine>,
    inner: S,
    request: Request<B>,
    why: Forwarded,
) -> Result<Response<CacheBody<R>>, CacheError>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
{
    let response = inner.oneshot(request).await.map_err(CacheError::service)?;
    let (mut parts, body) = response.into_parts();
    engine.mark(&Handling::forwarded(why), None, &mut parts.headers);
    Ok(Response::from_parts(parts, CacheBody::inner(body)))
}

/// Forwards a request that may change something, and removes stored responses of its URL unless it has certainly
/// changed nothing. If it succeeds, those of `Location` and `Content-Location` on the same host are removed too. The
/// client gets the response after that.
pub(super) async fn invalidate<S, B, R>(
    engine: Arc<Engine>,
    inner: S,
    request: Request<B>,
) -> Result<Response<CacheBody<R>>, CacheError>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
{
    let Some(target) = engine.settings.key.url_of(&request) else {
        return pass(engine, inner, request, Forwarded::Method).await;
    };
    let uri = request.uri().clone();
    // It removes what it has when it is dropped, which is here if the client leaves before the response.
    let mut removal =
        Removal { engine: Arc::clone(&engine), runtime: Handle::try_current().ok(), urls: vec![target.clone()] };
    let result = pass(Arc::clone(&engine), inner, request, Forwarded::Method).await;
    match &result {
        // gRPC calls are never cached, and their paths are never requested by `GET`. The field of the request does not
        // decide it, since a client could set it to keep a stored response.
        Ok(response) if is_grpc(response.headers()) => removal.urls.clear(),
        Ok(response) if response.status().is_success() || response.status().is_redirection() => {
            for name in [LOCATION, CONTENT_LOCATION] {
                let url = named(&engine, &target, &uri, response.headers(), &name);
                removal.urls.extend(url.filter(|url| *url != target));
            }
        }
        // A gateway behind this one has got no response.
        Ok(response) if matches!(response.status(), StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT) => {}
        Err(error) if may_have_been_processed(error) => {}
        Ok(_) | Err(_) => removal.urls.clear(),
    }
    if let Some(removed) = removal.start() {
        let _ = removed.await;
    }
    result
}

/// URLs whose stored responses are removed when this is dropped.
struct Removal {
    engine: Arc<Engine>,
    runtime: Option<Handle>,
    urls: Vec<String>,
}

impl Removal {
    /// Removes the stored responses in a task of its own, so it goes on when the client leaves.
    fn start(&mut self) -> Option<JoinHandle<()>> {
        let urls = std::mem::take(&mut self.urls);
        let runtime = self.runtime.as_ref().filter(|_| !urls.is_empty())?;
        let engine = Arc::clone(&self.engine);
        Some(runtime.spawn(async move {
            for url in urls {
                // The request itself has not failed. The store has counted the error.
                let _ = engine.store.purge(&Purge::Url(url.clone())).await;
                engine.flights.detach(|key| key.url() == url);
            }
        }))
    }
}

impl Drop for Removal {
    fn drop(&mut self) {
        drop(self.start());
    }
}

/// Whether the backend may have processed a request that has failed. It has not if the balancer below knows that no
/// endpoint has got the request.
fn may_have_been_processed(error: &CacheError) -> bool {
    let first: &(dyn std::error::Error + 'static) = error;
    let mut causes = std::iter::successors(Some(first), |error| error.source());
    match causes.find_map(|error| error.downcast_ref()) {
        Some(Error::Pick(_) | Error::Request { .. } | Error::Unsupported(_)) => false,
        Some(Error::Address { maybe_processed, .. } | Error::Endpoint { maybe_processed, .. }) => *maybe_processed,
        _ => true,
    }
}

/// The URL that a field names, in the form of keys, if it is on the same host as the target.
fn named(engine: &Engine, target: &str, uri: &Uri, headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?.trim();
    let (scheme, rest) = target.split_once("://")?;
    let host = rest.split(['/', '?']).next()?;
    let key = &engine.settings.key;
    if text.starts_with("//") {
        return None;
    }
    if text.contains("://") {
        let uri: Uri = text.split('#').next()?.parse().ok()?;
        let url = key.url(uri.scheme_str()?, uri.authority()?.as_str(), &uri)?;
        let origin = |url: &str| -> Option<String> { Some(url.split('/').take(3).collect::<Vec<_>>().join("/")) };
        return (origin(&url) == origin(target)).then_some(url);
    }
    let path = if text.starts_with('/') {
        text.to_owned()
    } else if text.starts_with('?') {
        format!("{}{text}", uri.path())
    } else {
        // A path that climbs names something that the client would have to normalize: it is rare, and left alone.
        let (folder, _) = uri.path().rsplit_once('/')?;
        format!("{folder}/{text}")
    };
    let uri: Uri = path.split('#').next()?.parse().ok()?;
    key.url(scheme, host, &uri)
}
