use std::sync::Arc;

use bytes::Bytes;
use equipoise_tower::BoxError;
use http::{Request, Response};
use http_body::Body;
use tower::Service;

use super::{
    client::{Client, Shared},
    job::Job,
    task::{Fetcher, Reply},
};
use crate::cache::{
    CacheBody, CacheError,
    engine::{Engine, Fetch, Plan},
    rules::{
        control::RequestControl,
        freshness::{self, Use},
        vary::Selecting,
    },
    sharing::flight::{Outcome, Part},
    status::{Forwarded, Handling},
    store::{Entry, Key, Lookup},
};

/// A request waits for other fetches at most this many times: for the first one, and for one of its own variant.
const MAX_WAITS: usize = 2;

/// Answers a request that could not be answered at once.
pub(crate) async fn run<S, B, R>(
    engine: Arc<Engine>,
    inner: S,
    mut request: Request<B>,
    key: Key,
    control: RequestControl,
    mut lookup: Option<Lookup>,
) -> Result<Response<CacheBody<R>>, CacheError>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Default + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    if let Some(uri) = engine.settings.key.forwarded_uri(request.uri()) {
        *request.uri_mut() = uri;
    }
    let asked = Arc::new(engine.asked(&request, &control));
    let fetcher = Fetcher { engine: Arc::clone(&engine), inner, request };
    let mut known: Option<Selecting> = None;
    let mut waits = 0;
    loop {
        let now = engine.now();
        let found = match lookup.take() {
            Some(found) => found,
            None => engine.store.get(&key, now).await,
        };
        let plan = engine.plan(&fetcher.request, &control, &key, &found, now);
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
            Plan::Unavailable => return Ok(engine.unavailable(&fetcher.request, &key)),
            Plan::Fetch(fetch) => (fetch, None),
        };
        let Fetch { stale, why, coalesce, ask_for_all, variant } = fetch;
        let ask_for_all = ask_for_all && asked.method == http::Method::GET;
        let generation = found.generation;
        let (asked_too, key_too) = (Arc::clone(&asked), key.clone());
        let job = Job { key: key_too, asked: asked_too, control, stale, generation, ask_for_all };
        let client = Client { engine: &engine, asked: &asked, key: &key, why, ask_for_all };
        if background.is_none() && (!coalesce || waits == MAX_WAITS) {
            return client.finish(fetcher.alone(job).await);
        }
        let flight = engine.flight(&key, known.clone().unwrap_or(variant), asked.authorized);
        match engine.flights.join(&flight) {
            Part::Leads(lead) => {
                if let Some(response) = background {
                    engine.counters.background.add();
                    drop(fetcher.spawn(job, lead, |engine| &engine.validations));
                    return Ok(response);
                }
                // Another fetch may have ended between the lookup and now.
                if let Ok(again) = engine.store.get(&key, now).into_ready()
                    && !matches!(engine.plan(&fetcher.request, &control, &key, &again, now), Plan::Fetch(_))
                {
                    lookup = Some(again);
                    continue;
                }
                let fetched = fetcher.spawn(job, lead, |engine| &engine.orphans);
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
                        Use::Requested => return client.finish(fetcher.alone(job).await),
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
                        return client.finish(fetcher.alone(job).await);
                    }
                }
            }
        }
    }
}
