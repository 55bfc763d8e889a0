//! The service of the admin interface.

use std::{
    convert::Infallible,
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header, uri::Authority};
use http_body_util::Full;
use hyper::body::Incoming;
use tower::Service;

use super::{
    answer::{Answer, USAGE, text},
    command::command,
    explain::explain,
    report::{endpoints, listeners},
    state::Running,
};

#[derive(Clone)]
pub(crate) struct Admin {
    running: Arc<Running>,
}

impl Admin {
    pub(crate) fn new(running: Arc<Running>) -> Self {
        Self { running }
    }
}

impl Service<Request<Incoming>> for Admin {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let running = Arc::clone(&self.running);
        Box::pin(async move {
            Ok(answer(&running, &request).await.unwrap_or_else(|(status, message)| {
                let mut response = text(message + "\n");
                *response.status_mut() = status;
                response
            }))
        })
    }
}

async fn answer(running: &Running, request: &Request<Incoming>) -> Answer {
    // A page in a browser on this machine could send commands otherwise.
    if request.headers().contains_key(header::ORIGIN) {
        return Err((StatusCode::FORBIDDEN, "requests of browsers are refused".to_owned()));
    }
    if !is_local_name(request) {
        let message = "the host must be an address or localhost, not another name";
        return Err((StatusCode::MISDIRECTED_REQUEST, message.to_owned()));
    }
    let query = request.uri().query().unwrap_or_default();
    let state = running.state();
    match (request.method().as_str(), request.uri().path()) {
        ("GET", "/") => Ok(text(USAGE.to_owned())),
        ("GET", "/endpoints") => Ok(endpoints(&state)),
        ("GET", "/listeners") => Ok(listeners(&state)),
        ("GET", "/explain") => explain(&state, query).await,
        ("GET", "/config") => Ok(text(state.text.clone())),
        ("POST", path) => match path.strip_prefix("/endpoints/").and_then(|rest| rest.rsplit_once('/')) {
            Some((id, word)) => command(running, id, word, query).await,
            None => Err((StatusCode::NOT_FOUND, USAGE.to_owned())),
        },
        _ => Err((StatusCode::NOT_FOUND, USAGE.to_owned())),
    }
}

/// Returns whether the request was sent to an address or to `localhost`. A page of a browser could read the answers under
/// the name of its own server, if that name leads to this address (DNS rebinding).
fn is_local_name(request: &Request<Incoming>) -> bool {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let Some(authority) = request.uri().authority().cloned().or(host) else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok()
}
