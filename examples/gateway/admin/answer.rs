//! The responses of the admin interface.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::Body;
use serde_json::Value;

use super::access::{REALM, Refusal};

pub(super) const USAGE: &str = "GET  /                 the status page
GET  /status.json, /updates                            its data
GET  /metrics          for Prometheus
GET  /endpoints
POST /endpoints/ID/drain, /endpoints/ID/ready, /endpoints/ID/maintenance [?pool=NAME]
GET  /listeners
GET  /functions
POST /cache/purge?url=URL|prefix=URL|tag=TAG|all [&cache=NAME]
GET  /explain?listener=BIND&method=GET&path=/&host=NAME&client=ADDRESS&header=NAME:VALUE
GET  /explain?pool=NAME&client=ADDRESS&name=SERVER
GET  /config
";

/// What permits commands.
const CHANGES_OFF: &str = "commands are off: under [admin] in the configuration, users_file permits them to operators with \
                           a password, and changes = true without users_file to every program that can connect";

/// What permits commands on the status page. Its operator must be known.
pub(super) const PAGE_CHANGES_OFF: &str =
    "the status page sets states only with users_file under [admin] in the configuration";

/// The body of any response: a text, the metrics, or a part of the status page.
pub(super) type AdminBody = UnsyncBoxBody<Bytes, Infallible>;

/// A response, or why there is none.
pub(super) type Answer = Result<Response<AdminBody>, Problem>;

/// The status and the text of an error.
pub(super) struct Problem {
    status: StatusCode,
    text: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    pub(super) fn into_response(self) -> Response<AdminBody> {
        let mut response = text(self.text + "\n");
        *response.status_mut() = self.status;
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::try_from(format!("Basic realm=\"{REALM}\", charset=\"UTF-8\""));
            response.headers_mut().extend(challenge.ok().map(|challenge| (header::WWW_AUTHENTICATE, challenge)));
        }
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Off => Self::new(StatusCode::FORBIDDEN, CHANGES_OFF),
            Refusal::Unauthenticated => {
                Self::new(StatusCode::UNAUTHORIZED, "commands need the name and the password of an operator")
            }
        }
    }
}

pub(super) fn json_response(value: &Value) -> Response<AdminBody> {
    let mut response = text(format!("{value:#}\n"));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

pub(super) fn text(text: String) -> Response<AdminBody> {
    let mut response = boxed(Response::new(Full::from(text)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// Gives a response the type of all responses.
pub(super) fn boxed<B>(response: Response<B>) -> Response<AdminBody>
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    response.map(BodyExt::boxed_unsync)
}
