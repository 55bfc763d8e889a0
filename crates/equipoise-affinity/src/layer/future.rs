use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use equipoise_core::{EndpointId, PickError};
use equipoise_tower::Placement;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{
    affinity::{Affinity, Sighting, Track},
    guard::guarded,
    store::{Lookup, StoreError},
};

/// What a store answers.
type Found = Result<Option<EndpointId>, StoreError>;

/// Asks, but not for ever.
pub(crate) async fn look_up(lookup: Lookup, longest: Duration) -> Found {
    match lookup {
        Lookup::Now(found) => found,
        Lookup::Later(mut asked) => {
            let answer = poll_fn(|cx| {
                guarded(|| asked.as_mut().poll(cx)).unwrap_or_else(|| Poll::Ready(Err(StoreError::panicked())))
            });
            // Without tokio's timer there is no limit but the store's own.
            let mut answer = Box::pin(answer);
            let Some(limited) = guarded(|| tokio::time::timeout(longest, answer.as_mut())) else { return answer.await };
            limited.await.unwrap_or_else(|_| Err(StoreError::Away { why: format!("no answer within {longest:?}") }))
        }
    }
}

pin_project! {
    /// The future of [`WithAffinity`](super::WithAffinity).
    pub struct AffinityFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        affinity: Affinity,
        #[pin]
        state: State<S, B>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B>
    where
        S: Service<Request<B>>,
    {
        Asking {
            asked: Pin<Box<dyn Future<Output = Found> + Send>>,
            held: Option<(S, Request<B>, Sighting)>,
        },
        Calling {
            #[pin]
            future: S::Future,
            track: Option<Track>,
        },
        Refused { error: Option<PickError> },
    }
}

impl<S, B> AffinityFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) fn new(affinity: Affinity, mut service: S, request: Request<B>) -> Self {
        if affinity.is_off() {
            let state = State::Calling { future: service.call(request), track: None };
            return Self { affinity, state };
        }
        let (mut head, body) = request.into_parts();
        let mut sighting = affinity.sight(&mut head);
        let request = Request::from_parts(head, body);
        let state = match sighting.lookup.take() {
            None => State::call(&affinity, service, request, sighting, None),
            Some(Lookup::Now(found)) => State::call(&affinity, service, request, sighting, Some(found)),
            Some(later) => State::Asking {
                asked: Box::pin(look_up(later, affinity.longest_lookup())),
                held: Some((service, request, sighting)),
            },
        };
        Self { affinity, state }
    }
}

impl<S, B> State<S, B>
where
    S: Service<Request<B>>,
{
    fn call(
        affinity: &Affinity,
        mut service: S,
        mut request: Request<B>,
        sighting: Sighting,
        found: Option<Found>,
    ) -> Self {
        let placed = affinity.place(sighting, found);
        affinity.count(&placed);
        match placed {
            Err(_) => Self::Refused { error: Some(PickError::Unbound) },
            Ok((track, placement)) => {
                if !placement.is_empty() {
                    // A layer above, such as one that retries, may have excluded endpoints.
                    let earlier = request.extensions_mut().remove::<Placement>().unwrap_or_default();
                    request.extensions_mut().insert(placement.or(earlier));
                }
                Self::Calling { future: service.call(request), track: Some(track) }
            }
        }
    }
}

impl<S, B, R> Future for AffinityFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: From<PickError>,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Asking { asked, held } => {
                    let found = ready!(asked.as_mut().poll(cx));
                    // Polled after it has ended.
                    let Some((service, request, sighting)) = held.take() else { return Poll::Pending };
                    State::call(this.affinity, service, request, sighting, Some(found))
                }
                StateProj::Calling { future, track } => {
                    let mut outcome = ready!(future.poll(cx));
                    match (&mut outcome, track.take()) {
                        (Ok(response), Some(track)) => this.affinity.settle(track, response),
                        (Err(_), Some(_)) => this.affinity.failed(),
                        (_, None) => {}
                    }
                    return Poll::Ready(outcome);
                }
                StateProj::Refused { error } => match error.take() {
                    Some(error) => return Poll::Ready(Err(error.into())),
                    None => return Poll::Pending,
                },
            };
            this.state.set(next);
        }
    }
}

impl<S, B> fmt::Debug for AffinityFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AffinityFuture").finish_non_exhaustive()
    }
}
