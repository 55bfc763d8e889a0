use bytes::{Bytes, BytesMut};
use equipoise_tower::BoxError;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header::ACCEPT};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower::{Service, ServiceExt};

use super::{
    fetch::{Chain, Fetch, FetchError},
    jwks::Origin,
    set::{InvalidKeySet, KeySet, MAX_TEXT},
};

/// Sends a GET request for a JWK set.
pub(super) fn fetch<S, B>(uri: Uri, service: S) -> Fetch
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    Box::new(move || {
        let (uri, service) = (uri.clone(), service.clone());
        Box::pin(async move {
            let mut request = Request::new(Full::default());
            *request.uri_mut() = uri;
            let accepted = HeaderValue::from_static("application/jwk-set+json, application/json");
            request.headers_mut().insert(ACCEPT, accepted);
            let response = service.oneshot(request).await.map_err(failed)?;
            if response.status() != StatusCode::OK {
                return Err(FetchError::Status(response.status().as_u16()));
            }
            let bytes = collect(response.into_body()).await?;
            Ok(KeySet::read_from(&bytes, Origin::Url)?)
        })
    })
}

async fn collect<B>(body: B) -> Result<BytesMut, FetchError>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let mut body = std::pin::pin!(body);
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(failed)?.into_data() else { continue };
        if bytes::Buf::remaining(&data) > MAX_TEXT - bytes.len() {
            return Err(InvalidKeySet::TooLong.into());
        }
        bytes::BufMut::put(&mut bytes, data);
    }
    Ok(bytes)
}

fn failed(error: impl Into<BoxError>) -> FetchError {
    FetchError::Service(Chain(error.into()))
}
