//! The admin interface: the state of the gateway, and commands that set the administrative state of endpoints. It has
//! no authentication.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use equipoise::{
    PickRequest,
    health::AdminState,
    http::{CloseReason, ConnectionStatus},
    proxy::server::ServerStats,
    tower::RequestHead,
};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header, uri::Authority};
use http_body_util::Full;
use hyper::body::Incoming;
use parking_lot::{Mutex, MutexGuard};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tower::Service;

use crate::{backend::Backend, client::Client, front::Front};

const USAGE: &str = "GET  /endpoints
POST /endpoints/ID/drain, /endpoints/ID/ready, /endpoints/ID/maintenance [?pool=NAME]
GET  /listeners
GET  /explain?listener=BIND&method=GET&path=/&host=NAME&client=ADDRESS&header=NAME:VALUE
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
    pub(crate) front: Front,
    pub(crate) stats: Box<dyn Fn() -> ServerStats + Send + Sync>,
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

fn endpoints(state: &State) -> Response<Full<Bytes>> {
    let mut all = Vec::new();
    for (name, backend) in &state.pools {
        for status in backend.pool.endpoints() {
            let connections = backend.pool.target(&status.id).map(|upstream| connections(&upstream.status()));
            let health = backend.health.status(&status.id);
            all.push(json!({ "pool": name, "health": health, "status": status, "connections": connections }));
        }
    }
    json(&json!(all))
}

/// The connections to an endpoint.
fn connections(status: &ConnectionStatus) -> Value {
    let closed: BTreeMap<_, _> =
        CloseReason::ALL.iter().map(|reason| (reason.as_str(), status.closed(*reason))).collect();
    json!({
        "open": status.open,
        "idle": status.idle,
        "waiting": status.waiting,
        "opened": status.opened,
        "failed": status.failed,
        "requests": status.requests,
        "closed": closed,
    })
}

/// The connections and requests of clients.
fn listeners(state: &State) -> Response<Full<Bytes>> {
    let all = state.listeners.iter().map(|listener| {
        let stats = (listener.stats)();
        let total = listener.front.requests() + stats.overloaded;
        json!({
            "bind": listener.bind,
            "requests": { "total": total, "refused": stats.overloaded },
            "connections": {
                "open": stats.open,
                "accepted": stats.accepted,
                "accept_errors": stats.accept_errors,
                "displaced": stats.displaced,
                "head_timeouts": stats.head_timeouts,
                "body_timeouts": stats.body_timeouts,
                "idle_timeouts": stats.idle_timeouts,
                "write_timeouts": stats.write_timeouts,
                "malformed": stats.malformed,
                "floods": stats.floods,
                "aborted": stats.aborted,
            },
        })
    });
    json(&all.collect())
}

fn json(value: &Value) -> Response<Full<Bytes>> {
    let mut response = text(format!("{value:#}\n"));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Sets the administrative state of an endpoint, in all pools that have it.
async fn command(running: &Running, id: &str, word: &str, query: &str) -> Answer {
    let id = percent_decode_str(id).decode_utf8_lossy();
    let id = &*id;
    let admin_state = match word {
        "drain" => AdminState::Drain { deadline: None },
        "ready" => AdminState::Ready,
        "maintenance" => AdminState::Maintenance,
        _ => return Err((StatusCode::NOT_FOUND, format!("there is no {word:?}: use drain, ready or maintenance"))),
    };
    let (mut only, mut done) = (None, String::new());
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*key {
            "pool" => only = Some(value.into_owned()),
            _ => return Err((StatusCode::BAD_REQUEST, format!("there is no parameter {key:?}: use pool"))),
        }
    }
    for (name, backend) in ordered(running, id, only.as_deref(), admin_state) {
        done += &format!("{name}: {id} is {}\n", settled(&backend, id).await);
    }
    match done.is_empty() {
        true => Err((StatusCode::NOT_FOUND, format!("no such pool has an endpoint {id:?}: see GET /endpoints"))),
        false => Ok(text(done)),
    }
}

/// Gives the command to the pools, and returns them. A reload does not replace them meanwhile.
fn ordered(running: &Running, id: &str, only: Option<&str>, admin_state: AdminState) -> Vec<(String, Backend)> {
    let _not_during_a_reload = running.hold_commands();
    let state = running.state();
    let pools = state
        .pools
        .iter()
        .filter(|(name, backend)| only.is_none_or(|only| only == *name) && backend.pool.availability(id).is_some());
    let ordered = pools.map(|(name, backend)| {
        backend.health.set_admin_state(id, admin_state);
        (name.clone(), backend.clone())
    });
    ordered.collect()
}

/// Waits until the pool has the availability that its health has decided, and returns it.
async fn settled(backend: &Backend, id: &str) -> String {
    let mut revision = backend.pool.revision();
    let applied = async {
        loop {
            let availability = backend.pool.availability(id);
            if availability == backend.health.status(id).map(|status| status.availability) {
                return availability;
            }
            revision = backend.pool.changed(revision).await;
        }
    };
    match tokio::time::timeout(Duration::from_secs(1), applied).await {
        Ok(Some(availability)) => availability.to_string(),
        Ok(None) => "removed".to_owned(),
        Err(_) => "changing".to_owned(),
    }
}

/// Explains where a request would go.
async fn explain(state: &State, query: &str) -> Answer {
    let wrong = |message: String| (StatusCode::BAD_REQUEST, message);
    let mut request = Request::new(());
    let mut listener = state.listeners.first();
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        let invalid = || wrong(format!("{key}={value} is not valid"));
        match &*key {
            "listener" => listener = state.listeners.iter().find(|listener| listener.bind.to_string() == value),
            "method" => *request.method_mut() = Method::from_bytes(value.as_bytes()).map_err(|_| invalid())?,
            "path" => *request.uri_mut() = value.parse().map_err(|_| invalid())?,
            "host" => {
                let host = HeaderValue::from_str(&value).map_err(|_| invalid())?;
                request.headers_mut().insert(header::HOST, host);
            }
            "client" => {
                let address: IpAddr = value.parse().map_err(|_| invalid())?;
                request.extensions_mut().insert(Client(address));
            }
            "header" => {
                let (name, value) = value.split_once(':').ok_or_else(invalid)?;
                let name: HeaderName = name.parse().map_err(|_| invalid())?;
                let value = HeaderValue::from_str(value.trim()).map_err(|_| invalid())?;
                request.headers_mut().append(name, value);
            }
            _ => return Err(wrong(format!("there is no parameter {key:?}\n{USAGE}"))),
        }
    }
    let Some(ListenerState { bind, front, .. }) = listener else {
        return Err(wrong("there is no such listener: see GET /listeners".to_owned()));
    };
    let routes = front.site().proxy.get_ref().routes();
    let pools = match routes.find(RequestHead::of(&request)) {
        Ok(found) => found.name().to_owned(),
        Err(missed) => return Ok(text(format!("{bind}: {missed}\n"))),
    };
    let mut explained = format!("{bind}: pool {pools}\n");
    // The name of a route is that of its pools.
    for (name, backend) in pools.split('|').filter_map(|name| state.pools.get_key_value(name)) {
        let pick = pick(backend, &request).await;
        explained += &format!("\npool {name}: {pick}");
    }
    Ok(text(explained))
}

/// Explains the pick of a pool: by the session of the request, and without one by its key.
async fn pick(backend: &Backend, request: &Request<()>) -> String {
    let session = backend.affinity.explain(request).await;
    let key = backend.key.as_ref().and_then(|key| key.of(RequestHead::of(request)).found());
    match key {
        Some(key) if session.endpoint.is_err() && !session.keyed => {
            format!("by its key\n{}", backend.pool.explain(&PickRequest::new().key(&key)))
        }
        _ => session.to_string(),
    }
}

fn text(text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
