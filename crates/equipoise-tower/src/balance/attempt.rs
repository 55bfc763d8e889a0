use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use equipoise_core::EndpointId;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tower_service::Service;

use super::progress::Unready;
use crate::{dispatch::Dispatch, guard::guarded};

/// The future of the service that `D` yields.
pub(super) type InnerFuture<T, D, Req> = <<D as Dispatch<T, Req>>::Service as Service<Req>>::Future;
/// What it answers.
pub(super) type InnerResponse<T, D, Req> = <<D as Dispatch<T, Req>>::Service as Service<Req>>::Response;
/// How it fails.
pub(super) type InnerError<T, D, Req> = <<D as Dispatch<T, Req>>::Service as Service<Req>>::Error;

pin_project! {
    /// One request on its way to one endpoint: first until the endpoint's service is ready, then until it answers.
    #[project = AttemptProj]
    pub(super) enum Attempt<T, D, Req>
    where
        D: Dispatch<T, Req>,
    {
        Preparing { service: Option<D::Service>, request: Option<Req>, wait: Wait },
        Calling { #[pin] future: InnerFuture<T, D, Req> },
    }
}

/// How long an attempt waits for its endpoint's service to get ready.
pub(super) enum Wait {
    /// Decided when the service is first found not ready.
    Undecided,
    /// Until then.
    Bounded(Pin<Box<Sleep>>),
    /// For as long as it takes.
    Unbounded,
}

/// What decides how long an attempt waits for its endpoint's service to get ready.
pub(super) struct Readiness<'a> {
    pub(super) unready: &'a Unready,
    pub(super) endpoint: &'a EndpointId,
    /// The longest wait; `None` if the request cannot go elsewhere.
    pub(super) longest: Option<Duration>,
    pub(super) may_skip: bool,
}

impl Readiness<'_> {
    /// `None` if the request is not to wait at all.
    fn wait(&self) -> Option<Wait> {
        let Some(longest) = self.longest else { return Some(Wait::Unbounded) };
        if self.may_skip && !self.unready.may_wait(self.endpoint) {
            return None;
        }
        // Without tokio's timer there is no bound.
        Some(guarded(|| sleep(longest)).map_or(Wait::Unbounded, |sleep| Wait::Bounded(Box::pin(sleep))))
    }
}

/// An attempt that came to nothing.
pub(super) enum Failed<S, Req, E> {
    /// The service failed. With the request, if the service was never called with it.
    Error { error: E, unsent: Option<Req> },
    /// The service did not get ready in time, or is known not to do so, and was not `waited` for.
    NotReady { service: S, request: Req, waited: bool },
}

/// The ways in which an attempt with these types ends.
pub(super) type Outcome<T, D, Req> =
    Result<InnerResponse<T, D, Req>, Failed<<D as Dispatch<T, Req>>::Service, Req, InnerError<T, D, Req>>>;

impl<T, D, Req> Attempt<T, D, Req>
where
    D: Dispatch<T, Req>,
{
    pub(super) fn new(service: D::Service, request: Req, wait: Wait) -> Self {
        Self::Preparing { service: Some(service), request: Some(request), wait }
    }

    pub(super) fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        readiness: &Readiness<'_>,
    ) -> Poll<Outcome<T, D, Req>> {
        loop {
            let next = match self.as_mut().project() {
                AttemptProj::Calling { future } => {
                    return future.poll(cx).map_err(|error| Failed::Error { error, unsent: None });
                }
                AttemptProj::Preparing { service, request, wait } => {
                    // `None`: polled after it has ended.
                    let Some(held) = service else { return Poll::Pending };
                    match held.poll_ready(cx) {
                        Poll::Ready(Err(error)) => {
                            *service = None;
                            return Poll::Ready(Err(Failed::Error { error, unsent: request.take() }));
                        }
                        Poll::Ready(Ok(())) => {
                            if !matches!(wait, Wait::Undecided) {
                                readiness.unready.got_ready(readiness.endpoint);
                            }
                            let Some(request) = request.take() else { return Poll::Pending };
                            Self::Calling { future: held.call(request) }
                        }
                        Poll::Pending => {
                            if matches!(wait, Wait::Undecided)
                                && let Some(decided) = readiness.wait()
                            {
                                *wait = decided;
                            }
                            let waited = match wait {
                                Wait::Undecided => false,
                                Wait::Unbounded => return Poll::Pending,
                                Wait::Bounded(sleep) => {
                                    ready!(sleep.as_mut().poll(cx));
                                    true
                                }
                            };
                            let (Some(service), Some(request)) = (service.take(), request.take()) else {
                                return Poll::Pending;
                            };
                            return Poll::Ready(Err(Failed::NotReady { service, request, waited }));
                        }
                    }
                }
            };
            self.set(next);
        }
    }
}
