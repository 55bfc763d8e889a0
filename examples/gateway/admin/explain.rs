//! Where requests and connections would go, and why.

use std::net::IpAddr;

use equipoise::{PickRequest, SourcePrefix, monitor::page::ExplainAnswer, tower::RequestHead};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};

use super::{
    answer::{Answer, Problem, USAGE, text},
    state::{ListenerState, State},
};
use crate::{
    backend::{Backend, HashOn},
    client::Client,
    front::Front,
    routes::NO_ROUTE,
    serving::AnyServer,
};

/// What is explained.
#[derive(Default)]
struct Question {
    listener: Option<String>,
    pool: Option<String>,
    client: Option<IpAddr>,
    /// The name of the server that the client asks for.
    name: Option<String>,
    request: Request<()>,
}

impl Question {
    fn read(query: &str) -> Result<Self, String> {
        let mut question = Self::default();
        let Self { listener, pool, client, name, request } = &mut question;
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let invalid = || format!("{key}={value} is not valid");
            match &*key {
                "listener" => *listener = Some(value.into_owned()),
                "pool" => *pool = Some(value.into_owned()),
                "name" => *name = Some(value.to_ascii_lowercase()),
                "method" => *request.method_mut() = Method::from_bytes(value.as_bytes()).map_err(|_| invalid())?,
                "path" => *request.uri_mut() = value.parse().map_err(|_| invalid())?,
                "host" => {
                    let host = HeaderValue::from_str(&value).map_err(|_| invalid())?;
                    request.headers_mut().insert(header::HOST, host);
                }
                "client" => {
                    let address: IpAddr = value.parse().map_err(|_| invalid())?;
                    request.extensions_mut().insert(Client(address));
                    *client = Some(address);
                }
                "header" => {
                    let (name, value) = value.split_once(':').ok_or_else(invalid)?;
                    let name: HeaderName = name.parse().map_err(|_| invalid())?;
                    let value = HeaderValue::from_str(value.trim()).map_err(|_| invalid())?;
                    request.headers_mut().append(name, value);
                }
                _ => return Err(format!("there is no parameter {key:?}\n{USAGE}")),
            }
        }
        Ok(question)
    }
}

/// Explains where a request, a connection or a datagram would go.
pub(super) async fn explain(state: &State, query: &str) -> Answer {
    let wrong = |message: String| Problem::new(StatusCode::BAD_REQUEST, message);
    let question = Question::read(query).map_err(wrong)?;
    if let Some(name) = &question.pool {
        let pool = state.pools.get(name).ok_or_else(|| wrong(format!("there is no pool {name:?}")))?;
        return Ok(text(format!("pool {name}: {}", pick_connection(pool, &question))));
    }
    let listener = match &question.listener {
        Some(bind) => state.listeners.iter().find(|listener| listener.bind.to_string() == *bind),
        None => state.listeners.first(),
    };
    let Some(ListenerState { bind, serving, .. }) = listener else {
        return Err(wrong("there is no such listener: see GET /listeners".to_owned()));
    };
    match &serving.server {
        AnyServer::Http(_, front) => {
            Ok(text(explain_request(state, &bind.to_string(), front, &question.request).await))
        }
        _ => Err(wrong(format!("{bind} has no requests: name the pool that explains its pick, as pool=NAME"))),
    }
}

async fn explain_request(state: &State, bind: &str, front: &Front, request: &Request<()>) -> String {
    let routes = front.site().router.routes();
    let pools = match routes.find(RequestHead::of(request)) {
        Ok(found) if found.name() == NO_ROUTE => return format!("{bind}: no route matches\n"),
        Ok(found) => found.name().to_owned(),
        Err(missed) => return format!("{bind}: {missed}\n"),
    };
    let mut explained = format!("{bind}: pool {pools}\n");
    // The name of a route is that of its pools.
    for (name, backend) in pools.split('|').filter_map(|name| state.pools.get_key_value(name)) {
        let pick = pick(backend, request).await;
        explained += &format!("\npool {name}: {pick}");
    }
    explained
}

/// Explains the pick of a pool for a connection or a datagram.
fn pick_connection(backend: &Backend, question: &Question) -> String {
    let source = question.client.map(|client| SourcePrefix::default().key(client));
    let key = match backend.hash_on {
        Some(HashOn::Source) => source.as_deref(),
        Some(HashOn::ServerName) => question.name.as_deref().map(str::as_bytes),
        Some(HashOn::Request(_)) | None => None,
    };
    let request = key.map_or(PickRequest::new(), |key| PickRequest::new().key(key));
    backend.pool.explain(&request).to_string()
}

/// Explains the pick of a pool: by the session of the request, and without one by its key.
pub(super) async fn pick(backend: &Backend, request: &Request<()>) -> ExplainAnswer {
    let session = backend.affinity.explain(request).await;
    let key = backend.hash_on.as_ref().and_then(HashOn::of_requests);
    let key = key.as_ref().and_then(|key| key.of(RequestHead::of(request)).found());
    match key {
        Some(key) if session.endpoint.is_err() && !session.keyed => {
            ExplainAnswer::from(backend.pool.explain(&PickRequest::new().key(&key))).step("by its key")
        }
        _ => session.into(),
    }
}
