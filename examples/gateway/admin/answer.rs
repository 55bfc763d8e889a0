//! The responses of the admin interface.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::Value;

pub(super) const USAGE: &str = "GET  /endpoints
POST /endpoints/ID/drain, /endpoints/ID/ready, /endpoints/ID/maintenance [?pool=NAME]
GET  /listeners
GET  /explain?listener=BIND&method=GET&path=/&host=NAME&client=ADDRESS&header=NAME:VALUE
GET  /explain?pool=NAME&client=ADDRESS&name=SERVER
GET  /config
";

/// A response, or the status and the text of an error.
pub(super) type Answer = Result<Response<Full<Bytes>>, (StatusCode, String)>;

pub(super) fn json_response(value: &Value) -> Response<Full<Bytes>> {
    let mut response = text(format!("{value:#}\n"));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

pub(super) fn text(text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
