//! The admin interface: the state of the gateway, and commands that set the administrative state of endpoints. It has
//! no authentication.

mod command;
mod explain;
mod report;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header, uri::Authority};
use http_body_util::Full;
use hyper::body::Incoming;
use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;
use tower::Service;

use self::{
    command::command,
    explain::explain,
    report::{endpoints, listeners},
};
use crate::{backend::Backend, serving::Serving};

const USAGE: &str = "GET  /endpoints
POST /endpoints/ID/drain, /endpoints/ID/ready, /endpoints/ID/maintenance [?pool=NAME]
GET  /listeners
GET  /explain?listener=BIND&method=GET&path=/&host=NAME&client=ADDRESS&header=NAME:VALUE
GET  /explain?pool=NAME&client=ADDRESS&name=SERVER
GET  /config
";

/// What the gateway runs now.
#[derive(Default)]
pub(crate) struct State {
    /// The text of the configuration.
    pub(crate) text: String,
    pub(crate) pools: BTreeMap<String, Backend>,
    pub(crate) listeners: Vec<ListenerState>,
}

pub(crate) struct ListenerState {
    /// The configured address.
    pub(crate) bind: SocketAddr,
    pub(crate) serving: Serving,
}

/// The state of the gateway, which each reload replaces.
#[derive(Default)]
pub(crate) struct Running {
    state: ArcSwap<State>,
    commands: Mutex<()>,
}

impl Running {
    pub(crate) fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    pub(crate) fn replace(&self, state: State) {
        self.state.store(Arc::new(state));
    }

    /// Lets commands wait until the guard is dropped.
    pub(crate) fn hold_commands(&self) -> MutexGuard<'_, ()> {
        self.commands.lock()
    }
}

#[derive(Clone)]
pub(crate) struct Admin {
    running: Arc<Running>,
}

impl Admin {
    pub(crate) fn new(running: Arc<Running>) -> Self {
        Self { running }
    }
}

type Answer = Result<Response<Full<Bytes>>, (StatusCode, String)>;

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

fn json_response(value: &Value) -> Response<Full<Bytes>> {
    let mut response = text(format!("{value:#}\n"));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn text(text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
