use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use equipoise_core::Lease;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::dispatch::Dispatch;

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
        Preparing { service: D::Service, request: Option<Req> },
        Calling { #[pin] future: InnerFuture<T, D, Req> },
    }
}

/// An attempt that came to nothing.
pub(super) struct Failed<Req, E> {
    pub(super) error: E,
    /// The request, if the service was never called with it.
    pub(super) unsent: Option<Req>,
}

impl<T, D, Req> Attempt<T, D, Req>
where
    D: Dispatch<T, Req>,
{
    pub(super) fn new(dispatch: &D, lease: &Lease<T>, request: Req) -> Self {
        Self::Preparing { service: dispatch.service(lease), request: Some(request) }
    }

    #[expect(clippy::type_complexity, reason = "it is a Result of the two associated types")]
    pub(super) fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<InnerResponse<T, D, Req>, Failed<Req, InnerError<T, D, Req>>>> {
        loop {
            let next = match self.as_mut().project() {
                AttemptProj::Calling { future } => {
                    return future.poll(cx).map_err(|error| Failed { error, unsent: None });
                }
                AttemptProj::Preparing { service, request } => match ready!(service.poll_ready(cx)) {
                    Err(error) => return Poll::Ready(Err(Failed { error, unsent: request.take() })),
                    Ok(()) => match request.take() {
                        Some(request) => Self::Calling { future: service.call(request) },
                        // Polled after it has failed.
                        None => return Poll::Pending,
                    },
                },
            };
            self.set(next);
        }
    }
}
