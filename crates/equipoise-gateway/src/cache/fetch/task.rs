//! How long a fetch may take, and what it does when its clients leave.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use equipoise_tower::BoxError;
use http::{Request, Response, response::Parts};
use http_body::Body;
use tokio::{
    sync::{Semaphore, oneshot},
    time::Instant,
};
use tower::{Service, ServiceExt};
use tracing::Instrument;

use super::job::{Fetched, Job, is_shareable};
use crate::cache::{
    CacheError,
    engine::Engine,
    sharing::{
        fill::{Filling, Reader},
        flight::{Lead, Outcome},
    },
};

/// How often a fetch without clients looks for new ones.
const CLIENTS_CHECK: Duration = Duration::from_secs(1);

/// How long a fetch without clients waits for the head of the response. An inner service without timeouts of its own
/// would keep the permits of such fetches for ever.
const UNATTENDED: Duration = Duration::from_secs(60);

/// What a fetch hands to the client that has begun it.
pub(super) enum Reply<R> {
    Direct(Response<R>),
    Filled(Parts, Reader, Arc<Filling>),
    Shared(Outcome),
}

/// Fetches for one client only, and is cancelled with it. The response is stored if that is allowed.
pub(super) async fn fetch_alone<S, B, R>(engine: &Arc<Engine>, inner: S, request: Request<B>, job: Job) -> Reply<R>
where
    S: Service<Request<B>, Response = Response<R>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let inner = Timed { inner: Some(inner), limit: engine.settings.fetch_timeout };
    match job.fetch(engine, inner, request).await {
        Fetched::Direct(response) => Reply::Direct(response),
        Fetched::Shared(outcome) => Reply::Shared(outcome),
        Fetched::Filled { parts, reader, filling, body } => {
            let (engine, received) = (Arc::clone(engine), Arc::clone(&filling));
            let task = async move {
                tokio::select! {
                    () = job.complete(&engine, &received, body) => {}
                    () = unattended(&engine.orphans, None, || received.has_readers()) => {}
                }
            };
            tokio::spawn(task.in_current_span());
            Reply::Filled(parts, reader, filling)
        }
    }
}

/// Begins a fetch in a task of its own, so it goes on when its client leaves. `permits` are those of fetches without
/// clients.
pub(super) fn spawn_fetch<S, B, R>(
    engine: &Arc<Engine>,
    inner: S,
    request: Request<B>,
    job: Job,
    lead: Lead,
    permits: fn(&Engine) -> &Semaphore,
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
        let inner = Timed { inner: Some(inner), limit: engine.settings.fetch_timeout };
        let permits = permits(&engine);
        let fetched = tokio::select! {
            biased;
            () = async {
                sender.closed().await;
                unattended(permits, Some(UNATTENDED), || lead.has_waiters()).await;
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
                    () = unattended(permits, None, || filling.has_readers() || lead.has_waiters()) => {}
                }
                drop(lead);
            }
        }
    };
    tokio::spawn(task.in_current_span());
    receiver
}

/// Ends when a fetch has had no clients for the time limit, or as soon as it has none and there is no permit for it.
async fn unattended(permits: &Semaphore, limit: Option<Duration>, has_clients: impl Fn() -> bool) {
    loop {
        while has_clients() {
            tokio::time::sleep(CLIENTS_CHECK).await;
        }
        let Ok(_permit) = permits.try_acquire() else { return };
        let begin = Instant::now();
        while !has_clients() {
            if limit.is_some_and(|limit| begin.elapsed() >= limit) {
                return;
            }
            tokio::time::sleep(CLIENTS_CHECK).await;
        }
    }
}

/// A service for one request, which fails if the head of the response does not come in time.
struct Timed<S> {
    inner: Option<S>,
    limit: Option<Duration>,
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
            let response = inner.oneshot(request);
            let Some(limit) = limit else { return response.await.map_err(Into::into) };
            match tokio::time::timeout(limit, response).await {
                Ok(response) => response.map_err(Into::into),
                Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no response to the cache in time").into()),
            }
        })
    }
}
