use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::ServiceExt;
use tower_service::Service;

use super::AnyBody;

/// What an erased service answers: a response that is known at once, such as a hit of the cache, or a boxed future.
pub(super) struct Answer<R, E>(Kind<R, E>);

type Outcome<R, E> = Result<Response<AnyBody<R>>, E>;

enum Kind<R, E> {
    /// `None` after it was polled.
    Ready(Option<Outcome<R, E>>),
    Later(Later<R, E>),
}

pub(super) type Later<R, E> = Pin<Box<dyn Future<Output = Outcome<R, E>> + Send>>;

// A response that is ready is never pinned: the first poll moves it out.
impl<R, E> Unpin for Answer<R, E> {}

impl<R: 'static, E: 'static> Answer<R, E> {
    pub(super) fn ready(outcome: Outcome<R, E>) -> Self {
        Self(Kind::Ready(Some(outcome)))
    }

    /// Boxes a future, with a function that is applied to what it returns.
    pub(super) fn later<F, M>(future: F, map: M) -> Self
    where
        F: Future + Send + 'static,
        M: FnOnce(F::Output) -> Outcome<R, E> + Send + 'static,
    {
        Self(Kind::Later(Box::pin(Mapped { future, map: Some(map) })))
    }

    /// Calls a service. If it is not ready now, the future waits for it.
    pub(super) fn of_call<S, T, M>(mut service: S, request: Request<T>, map: M) -> Self
    where
        S: Service<Request<T>> + Send + 'static,
        S::Future: Send + 'static,
        T: Send + 'static,
        M: FnOnce(Result<S::Response, S::Error>) -> Outcome<R, E> + Send + 'static,
    {
        match service.poll_ready(&mut Context::from_waker(Waker::noop())) {
            // Most services are always ready, and a future of the call is smaller than one that also has the request.
            Poll::Ready(Ok(())) => Self::later(service.call(request), map),
            Poll::Ready(Err(error)) => Self::ready(map(Err(error))),
            // The future registers its own waker.
            Poll::Pending => Self::later(service.oneshot(request), map),
        }
    }

    /// Applies a function to the outcome: now, if it is known.
    pub(super) fn map<T: 'static>(
        self,
        map: impl FnOnce(Outcome<R, E>) -> Outcome<R, T> + Send + 'static,
    ) -> Answer<R, T> {
        match self.0 {
            Kind::Ready(outcome) => Answer(Kind::Ready(outcome.map(map))),
            Kind::Later(future) => Answer::later(future, map),
        }
    }

    /// Puts another answer in the place of one that is not known yet.
    pub(super) fn unless_ready(self, then: impl FnOnce(Later<R, E>) -> Self) -> Self {
        match self.0 {
            Kind::Later(future) => then(future),
            ready => Self(ready),
        }
    }
}

impl<R, E> Future for Answer<R, E> {
    type Output = Outcome<R, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<R, E>> {
        match &mut self.get_mut().0 {
            Kind::Ready(outcome) => outcome.take().map_or(Poll::Pending, Poll::Ready),
            Kind::Later(future) => future.as_mut().poll(cx),
        }
    }
}

pin_project! {
    /// An async block with `future.await` would contain the future twice: as captured, and as awaited.
    struct Mapped<F, M> {
        #[pin]
        future: F,
        map: Option<M>,
    }
}

impl<F, M, T> Future for Mapped<F, M>
where
    F: Future,
    M: FnOnce(F::Output) -> T,
{
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = self.project();
        let output = ready!(this.future.poll(cx));
        // `None` only if it is polled after its end.
        this.map.take().map_or(Poll::Pending, |map| Poll::Ready(map(output)))
    }
}
