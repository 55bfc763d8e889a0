//! The service of the admin interface: its own paths, the status page and the metrics.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use equipoise::monitor::{
    page::{Operator, Refused, StatusPage},
    prometheus::Exporter,
};
use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tower::{Service, ServiceExt};

use super::{
    access::{REALM, Refusal},
    answer::{AdminBody, Answer, PAGE_CHANGES_OFF, Problem, USAGE, boxed, text},
    command::{command, purge_cache},
    explain::explain,
    report::{endpoints, functions, listeners},
    state::{Running, State},
};

/// Clones are the same interface.
#[derive(Clone)]
pub(crate) struct Admin {
    running: Arc<Running>,
    metrics: Exporter,
    /// Made for the first request, when the gateway has its pools and listeners.
    pages: Arc<OnceLock<Pages>>,
}

struct Pages {
    /// The page for configurations without operators.
    read_only: StatusPage,
    /// The page for configurations with operators.
    with_changes: StatusPage,
}

impl Pages {
    fn new(running: &Arc<Running>) -> Self {
        // The host is checked for all paths.
        let read_only = StatusPage::new(&running.monitor).allow_any_host();
        let running = Arc::clone(running);
        let with_changes = read_only.clone().allow_changes(move |head| {
            let operator = running.state().access.operator(&head.headers);
            operator.map(Operator::new).map_err(|refusal| match refusal {
                Refusal::Unauthenticated => Refused::unauthenticated(REALM),
                Refusal::Off => Refused::forbidden(),
            })
        });
        Self { read_only, with_changes }
    }
}

impl Admin {
    /// Creates the interface of a gateway.
    pub(crate) fn new(running: Arc<Running>) -> Self {
        let metrics = Exporter::new(&running.monitor).process(true);
        Self { running, metrics, pages: Arc::default() }
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let state = self.running.state();
        let (head, body) = request.into_parts();
        if !state.access.knows_host(&head) {
            let message = "the host must be an address, localhost, or one of hosts under [admin] in the configuration";
            return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, message));
        }
        match head.uri.path() {
            "/metrics" => {
                let request = Request::from_parts(head, body);
                return Ok(boxed(self.metrics.clone().oneshot(request).await.unwrap_or_else(|never| match never {})));
            }
            "/endpoints" if head.method == Method::POST && !state.access.knows_operators() => {
                state.access.operator(&head.headers)?;
                return Err(Problem::new(StatusCode::FORBIDDEN, PAGE_CHANGES_OFF));
            }
            path if is_of_page(path, &head) => {
                let pages = self.pages.get_or_init(|| Pages::new(&self.running));
                let page = if state.access.knows_operators() { &pages.with_changes } else { &pages.read_only };
                let request = Request::from_parts(head, body);
                return Ok(boxed(page.clone().oneshot(request).await.unwrap_or_else(|never| match never {})));
            }
            _ => {}
        }
        // A page of another site in a browser on this machine could send commands otherwise. The status page sends its
        // own ones with a token.
        if head.headers.contains_key(header::ORIGIN) {
            return Err(Problem::new(StatusCode::FORBIDDEN, "requests of browsers are refused"));
        }
        self.own(&state, &head).await
    }

    /// Answers what is neither of the status page nor of the metrics.
    async fn own(&self, state: &State, head: &http::request::Parts) -> Answer {
        let query = head.uri.query().unwrap_or_default();
        match (&head.method, head.uri.path()) {
            (&Method::GET, "/endpoints") => Ok(endpoints(state)),
            (&Method::GET, "/listeners") => Ok(listeners(state)),
            (&Method::GET, "/functions") => Ok(functions(state)),
            (&Method::GET, "/explain") => explain(state, query).await,
            (&Method::GET, "/config") => Ok(text(state.text.clone())),
            (&Method::POST, "/cache/purge") => purge_cache(state, head).await,
            (&Method::POST, path) => match path.strip_prefix("/endpoints/").and_then(|rest| rest.rsplit_once('/')) {
                Some((id, word)) => command(&self.running, id, word, head).await,
                None => Err(Problem::new(StatusCode::NOT_FOUND, USAGE)),
            },
            _ => Err(Problem::new(StatusCode::NOT_FOUND, USAGE)),
        }
    }
}

/// Returns whether the status page answers a request. Its paths `/explain` and `/endpoints` are also ones of the gateway
/// itself, which explains as text, and shows endpoints to GET.
fn is_of_page(path: &str, head: &http::request::Parts) -> bool {
    let asks_for_json = || {
        let accepts = head.headers.get_all(header::ACCEPT).iter().filter_map(|accepts| accepts.to_str().ok());
        accepts.flat_map(|accepts| accepts.split([',', ';'])).any(|part| part.trim() == "application/json")
    };
    match path {
        "/" | "/status.json" | "/updates" => true,
        "/explain" => asks_for_json(),
        "/endpoints" => head.method == Method::POST,
        path => path.starts_with("/assets/"),
    }
}

impl Service<Request<Incoming>> for Admin {
    type Response = Response<AdminBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let admin = self.clone();
        Box::pin(async move { Ok(admin.answer(request).await.unwrap_or_else(Problem::into_response)) })
    }
}
