use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use equipoise_tower::BoxError;
use http::{Request, Response, StatusCode};
use http_body::Body;
use tokio::sync::oneshot;
use tower::{Service, ServiceExt};
use tracing::Instrument;

use super::job::{Fetched, Job, is_shareable};
use crate::cache::{
    CacheBody, CacheError,
    engine::{Engine, Fetch, Plan},
    rules::{
        conditional,
        control::RequestControl,
        freshness::{self, Use},
        policy::Asked,
        reason::NotStored,
        vary::{self, Selecting},
    },
    sharing::{
        fill::{Filling, Reader},
        flight::{FlightKey, Lead, Outcome, Part},
    },
    status::{Forwarded, Handling},
    store::{Entry, Head, Key, Lookup},
};

/// A request waits for other fetches at most this many times: for the first one, and for one of its own variant.
const MAX_WAITS: usize = 2;

/// How often a fetch whose first client may have left looks for other clients.
const CLIENTS_CHECK: Duration = Duration::from_secs(1);

/// Answers a request that could not be answered at once.
pub(crate) async fn run<S, B, R>(
    engine: Arc<Engine>,
    inner: S,
    request: Request<B>,
    key: Key,
    control: RequestControl,
    mut lookup: Option<Lookup>,
) -> Result<Response<CacheBody<R>>, CacheError>
where
    S: Service<Request<B>, Response = Response<R>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let asked = Arc::new(engine.asked(&request, &control));
    let mut known: Option<Selecting> = None;
    let mut waits = 0;
    loop {
        let now = engine.now();
        let found = match lookup.take() {
            Some(found) => found,
            None => engine.store.get(&key, now).await,
        };
        let plan = engine.plan(&request, &control, &key, &found, now);
        let serve = |entry: &Entry, handling: &Handling| {
            engine.count(handling);
            engine.serve(&asked.method, &asked.headers, &key, entry, handling, now)
        };
        let (fetch, background) = match plan {
            Plan::Serve { entry, handling } => return Ok(serve(&entry, &handling)),
            Plan::Background { entry, handling } => {
                let response = serve(&entry, &handling);
                let variant = entry.head().vary.clone();
                let fetch =
                    Fetch { stale: Some(entry), why: Forwarded::Stale, coalesce: true, ask_for_all: true, variant };
                (fetch, Some(response))
            }
            Plan::Unavailable => return Ok(engine.unavailable(&request, &key)),
            Plan::Fetch(fetch) => (fetch, None),
        };
        let Fetch { stale, why, coalesce, ask_for_all, variant } = fetch;
        let ask_for_all = ask_for_all && asked.method == http::Method::GET;
        let generation = found.generation;
        let (asked_too, key_too) = (Arc::clone(&asked), key.clone());
        let job = Job { key: key_too, asked: asked_too, control, stale, generation, ask_for_all };
        let client = Client { engine: &engine, asked: &asked, key: &key, why };
        if !coalesce || waits == MAX_WAITS {
            return client.alone(inner, request, job).await;
        }
        let flight = FlightKey { key: key.clone(), variant: known.clone().unwrap_or(variant) };
        match engine.flights.join(&flight) {
            Part::Leads(lead) => {
                if let Some(response) = background {
                    engine.counters.background.add();
                    drop(spawn_fetch(&engine, inner, request, job, lead));
                    return Ok(response);
                }
                // Another fetch may have ended between the lookup and now.
                if let Ok(again) = engine.store.get(&key, now).into_ready()
                    && !matches!(engine.plan(&request, &control, &key, &again, now), Plan::Fetch(_))
                {
                    lookup = Some(again);
                    continue;
                }
                let fetched = spawn_fetch(&engine, inner, request, job, lead);
                return client.finish(fetched.await.unwrap_or(Reply::Shared(Outcome::Failed(CacheError::Lost))));
            }
            Part::Waits(_) if background.is_some() => return background.ok_or(CacheError::Lost),
            Part::Waits(mut receiver) => {
                waits += 1;
                // A response that comes after the request answers it, as if the request had made the fetch.
                let had_begun = receiver.borrow().is_some();
                let outcome = async {
                    let outcome = receiver.wait_for(Option::is_some).await.ok()?;
                    outcome.clone()
                };
                let outcome = match tokio::time::timeout(engine.settings.max_wait, outcome).await {
                    Ok(Some(outcome)) => outcome,
                    // The fetch was lost: one of those that waited for it makes another one.
                    Ok(None) => continue,
                    // The wait was too long: the client fetches for itself.
                    Err(_) => Outcome::Alone,
                };
                if had_begun && let Outcome::Filling(filling) = &outcome {
                    let max_stale = engine.settings.policy.max_stale;
                    match freshness::judge(&filling.head, &control, max_stale, engine.now()) {
                        Use::Fresh | Use::AcceptedStale => {}
                        Use::Requested => return client.alone(inner, request, job).await,
                        Use::WhileRevalidate | Use::Stale => {
                            engine.flights.end(&flight, &receiver);
                            continue;
                        }
                    }
                }
                match client.share(outcome) {
                    Shared::Response(response) => return Ok(response),
                    Shared::Error(error) => return Err(error),
                    Shared::OtherVariant(selecting) => known = Some(selecting),
                    Shared::Nothing => {
                        engine.counters.waited_in_vain.add();
                        return client.alone(inner, request, job).await;
                    }
                }
            }
        }
    }
}

/// What the task of a fetch hands to the client that has begun it.
enum Reply<R> {
    Direct(Response<R>),
    Filled(http::response::Parts, Reader, Arc<Filling>),
    Shared(Outcome),
}

/// A service for one request, which fails if the head of the response does not come in time.
struct Timed<S> {
    inner: Option<S>,
    limit: Duration,
}

fn timed<S>(limit: Duration, inner: S) -> Timed<S> {
    Timed { inner: Some(inner), limit }
}

impl<S, B, R> Service<Request<B>> for Timed<S>
where
    S: Service<Request<B>, Response = Response<R>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Send + 'static,
    R: 'static,
{
    type Response = Response<R>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (inner, limit) = (self.inner.take(), self.limit);
        Box::pin(async move {
            // It is called once.
            let Some(inner) = inner else { return Err(CacheError::Lost.into()) };
            match tokio::time::timeout(limit, inner.oneshot(request)).await {
                Ok(response) => response.map_err(Into::into),
                Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no response to the cache in time").into()),
            }
        })
    }
}

/// Ends when a fetch has no clients and too many others go on without clients.
async fn without_clients(engine: &Engine, has_clients: impl Fn() -> bool) {
    while has_clients() {
        tokio::time::sleep(CLIENTS_CHECK).await;
    }
    if let Ok(_permit) = engine.orphans.try_acquire() {
        std::future::pending::<()>().await;
    }
}

/// Begins a fetch in a task of its own, so it goes on when the client leaves.
fn spawn_fetch<S, B, R>(
    engine: &Arc<Engine>,
    inner: S,
    request: Request<B>,
    job: Job,
    lead: Lead,
) -> oneshot::Receiver<Reply<R>>
where
    S: Service<Request<B>, Response = Response<R>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let (mut sender, receiver) = oneshot::channel();
    let engine = Arc::clone(engine);
    let task = async move {
        // A client that has left does not take the reply: then nothing is lost.
        let inner = timed(engine.settings.fetch_timeout, inner);
        let fetched = tokio::select! {
            biased;
            () = async {
                sender.closed().await;
                without_clients(&engine, || lead.has_waiters()).await;
            } => return,
            fetched = job.fetch(&engine, inner, request) => fetched,
        };
        match fetched {
            Fetched::Direct(response) => {
                lead.publish(Outcome::Alone);
                drop(lead);
                let _ = sender.send(Reply::Direct(response));
            }
            Fetched::Shared(outcome) => {
                lead.publish(outcome.clone());
                drop(lead);
                let _ = sender.send(Reply::Shared(outcome));
            }
            Fetched::Filled { parts, reader, filling, body } => {
                let shared = is_shareable(&filling.head, engine.now());
                lead.publish(if shared { Outcome::Filling(Arc::clone(&filling)) } else { Outcome::Alone });
                let _ = sender.send(Reply::Filled(parts, reader, Arc::clone(&filling)));
                tokio::select! {
                    () = job.complete(&engine, &filling, body) => {}
                    () = without_clients(&engine, || filling.has_readers() || lead.has_waiters()) => {}
                }
                drop(lead);
            }
        }
    };
    tokio::spawn(task.in_current_span());
    receiver
}

/// A request, and why it is forwarded.
struct Client<'a> {
    engine: &'a Arc<Engine>,
    asked: &'a Asked,
    key: &'a Key,
    why: Forwarded,
}

/// What a request gets from the fetch of another one.
enum Shared<R> {
    Response(Response<CacheBody<R>>),
    Error(CacheError),
    /// The response is for other requests: this one selects the variant with these values.
    OtherVariant(Selecting),
    Nothing,
}

impl Client<'_> {
    /// Fetches for this client only. The response is stored if that is allowed.
    async fn alone<S, B, R>(
        &self,
        inner: S,
        request: Request<B>,
        job: Job,
    ) -> Result<Response<CacheBody<R>>, CacheError>
    where
        S: Service<Request<B>, Response = Response<R>> + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: Send + 'static,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        let inner = timed(self.engine.settings.fetch_timeout, inner);
        self.finish(match job.fetch(self.engine, inner, request).await {
            Fetched::Direct(response) => Reply::Direct(response),
            Fetched::Shared(outcome) => Reply::Shared(outcome),
            Fetched::Filled { parts, reader, filling, body } => {
                let (engine, received) = (Arc::clone(self.engine), Arc::clone(&filling));
                let task = async move {
                    tokio::select! {
                        () = job.complete(&engine, &received, body) => {}
                        () = without_clients(&engine, || received.has_readers()) => {}
                    }
                };
                tokio::spawn(task.in_current_span());
                Reply::Filled(parts, reader, filling)
            }
        })
    }

    /// Makes the response of what this client's own fetch has brought.
    fn finish<R>(&self, reply: Reply<R>) -> Result<Response<CacheBody<R>>, CacheError> {
        let engine = self.engine;
        let mut handling = Handling::forwarded(self.why);
        match reply {
            Reply::Direct(response) => {
                engine.counters.misses.add();
                let (mut parts, body) = response.into_parts();
                handling.detail = parts.extensions.remove::<NotStored>().map(NotStored::as_str);
                engine.mark(&handling, Some(self.key), &mut parts.headers);
                Ok(Response::from_parts(parts, CacheBody::inner(body)))
            }
            Reply::Filled(mut parts, reader, filling) => {
                engine.counters.misses.add();
                handling.stored = true;
                handling.ttl = Some(freshness::ttl(&filling.head, engine.now()));
                if self.is_not_modified(&filling.head) {
                    handling.status = Some(parts.status);
                    parts.status = StatusCode::NOT_MODIFIED;
                    conditional::not_modified_fields(&mut parts.headers);
                    engine.mark(&handling, Some(self.key), &mut parts.headers);
                    return Ok(Response::from_parts(parts, CacheBody::empty()));
                }
                engine.mark(&handling, Some(self.key), &mut parts.headers);
                Ok(Response::from_parts(parts, CacheBody::filling(reader)))
            }
            Reply::Shared(Outcome::Validated(entry)) => {
                engine.counters.validated.add();
                Ok(self.validated(&entry, handling))
            }
            Reply::Shared(Outcome::OnError { entry, status }) => {
                engine.counters.stale_on_error.add();
                Ok(self.on_error(&entry, status, handling))
            }
            Reply::Shared(Outcome::Failed(error)) => {
                engine.counters.misses.add();
                Err(error)
            }
            // A fetch does not bring these to its own client.
            Reply::Shared(Outcome::Filling(_) | Outcome::Alone) => Err(CacheError::Lost),
        }
    }

    /// Makes the response of what another client's fetch has brought.
    fn share<R>(&self, outcome: Outcome) -> Shared<R> {
        let engine = self.engine;
        let now = engine.now();
        let mut handling = Handling { collapsed: true, ..Handling::forwarded(self.why) };
        match outcome {
            Outcome::Alone => Shared::Nothing,
            Outcome::Failed(error) => {
                engine.counters.coalesced.add();
                Shared::Error(error)
            }
            Outcome::Validated(entry) => {
                if let Some(other) = self.other_variant(entry.head()) {
                    return Shared::OtherVariant(other);
                }
                if !is_shareable(entry.head(), now) {
                    return Shared::Nothing;
                }
                engine.counters.coalesced.add();
                Shared::Response(self.validated(&entry, handling))
            }
            Outcome::OnError { entry, status } => {
                if let Some(other) = self.other_variant(entry.head()) {
                    return Shared::OtherVariant(other);
                }
                engine.counters.stale_on_error.add();
                Shared::Response(self.on_error(&entry, status, handling))
            }
            Outcome::Filling(filling) => {
                if let Some(other) = self.other_variant(&filling.head) {
                    return Shared::OtherVariant(other);
                }
                let Some(reader) = filling.join() else { return Shared::Nothing };
                engine.counters.coalesced.add();
                handling.ttl = Some(freshness::ttl(&filling.head, now));
                let mut response = engine.head(&filling.head, self.key, &handling, now);
                if self.is_not_modified(&filling.head) {
                    *response.status_mut() = StatusCode::NOT_MODIFIED;
                    conditional::not_modified_fields(response.headers_mut());
                } else {
                    *response.body_mut() = CacheBody::filling(reader);
                }
                Shared::Response(response)
            }
        }
    }

    fn other_variant(&self, head: &Head) -> Option<Selecting> {
        let matches = vary::matches(&head.vary, &self.asked.headers);
        (!matches).then(|| vary::select_like(&head.vary, &self.asked.headers))
    }

    fn is_not_modified(&self, head: &Head) -> bool {
        conditional::is_not_modified(&self.asked.method, &self.asked.headers, head.status, &head.headers)
    }

    fn validated<R>(&self, entry: &Entry, mut handling: Handling) -> Response<CacheBody<R>> {
        let now = self.engine.now();
        handling.status = Some(StatusCode::NOT_MODIFIED);
        handling.ttl = Some(freshness::ttl(entry.head(), now));
        self.serve(entry, &handling, now)
    }

    fn on_error<R>(&self, entry: &Entry, status: Option<StatusCode>, mut handling: Handling) -> Response<CacheBody<R>> {
        let now = self.engine.now();
        handling.status = status;
        handling.ttl = Some(freshness::ttl(entry.head(), now));
        handling.detail = Some("stale-if-error");
        self.serve(entry, &handling, now)
    }

    fn serve<R>(&self, entry: &Entry, handling: &Handling, now: SystemTime) -> Response<CacheBody<R>> {
        self.engine.serve(&self.asked.method, &self.asked.headers, self.key, entry, handling, now)
    }
}
