//! How long a fetch may take, and what it does when its clients leave.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use equipoise_tower::BoxError;
use http::{Request, Response, response::Parts};
use http_body::Body;
use tokio::{
    sync::{Semaphore, oneshot},
    time::Instant,
};
use tower::Service;
use tracing::Instrument;

use super::job::{Fetched, Job, is_shareable};
use crate::cache::{
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

/// A request that the inner service may get.
pub(super) struct Fetcher<S, B> {
    pub(super) engine: Arc<Engine>,
    pub(super) inner: S,
    pub(super) request: Request<B>,
}

impl<S, B, R> Fetcher<S, B>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Default + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    /// Fetches for one client only, and is cancelled with it. The response is stored if that is allowed.
    pub(super) async fn alone(self, job: Job) -> Reply<R> {
        let Self { engine, inner, request } = self;
        match job.fetch(&engine, inner, request).await {
            Fetched::Direct(response) => Reply::Direct(response),
            Fetched::Validated { own, .. } => Reply::Shared(Outcome::Validated(own)),
            Fetched::Shared(outcome) => Reply::Shared(outcome),
            Fetched::Filled { parts, reader, filling, body } => {
                let received = Arc::clone(&filling);
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

    /// Begins a fetch in a task of its own, so it goes on when its client leaves. `permits` are those of fetches
    /// without clients.
    pub(super) fn spawn(self, job: Job, lead: Lead, permits: fn(&Engine) -> &Semaphore) -> oneshot::Receiver<Reply<R>> {
        let Self { engine, inner, request } = self;
        let (mut sender, receiver) = oneshot::channel();
        let task = async move {
            // A client that has left does not take the reply: then nothing is lost.
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
                Fetched::Validated { own, stored } => {
                    lead.publish(Outcome::Validated(stored));
                    drop(lead);
                    let _ = sender.send(Reply::Shared(Outcome::Validated(own)));
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
