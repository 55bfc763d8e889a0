use equipoise_tower::{BoxError, refuse_response};
use http::{Response, StatusCode};
use http_body::Body;

use crate::{
    check::{InvalidResponse, inspect_response},
    error::ProxyError,
    headers::is_contradicted,
    seen::Seen,
};

/// Returns the response of an endpoint if a proxy would forward it. Otherwise, it counts as a failure of the endpoint.
///
/// # Errors
///
/// A [`ProxyError`] that says why it must not be forwarded.
pub fn refuse_invalid<B: Body>(response: Response<B>, is_head: bool) -> Result<Response<B>, BoxError> {
    match inspect(&response, is_head) {
        Ok(_) => Ok(response),
        Err(invalid) => {
            refuse_response(response);
            Err(ProxyError::InvalidResponse(invalid).into())
        }
    }
}

/// Checks the head of a response, as far as only the method of the request must be known. Returns which fields it has.
pub(super) fn inspect<B: Body>(response: &Response<B>, is_head: bool) -> Result<Seen, InvalidResponse> {
    let (seen, stated) = inspect_response(response)?;
    // The client would wait for the rest, or take the next response for it.
    let tells_length = !seen.transfer_encoding && !is_head;
    let has_none = matches!(response.status(), StatusCode::NOT_MODIFIED | StatusCode::NO_CONTENT)
        || response.status().is_informational();
    if tells_length && !has_none && is_contradicted(stated, response.body().size_hint().exact()) {
        return Err(InvalidResponse::ContentLength);
    }
    Ok(seen)
}
