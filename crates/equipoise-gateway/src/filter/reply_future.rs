use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use http::Response;
use pin_project_lite::pin_project;

use crate::ReplyBody;

pin_project! {
    /// The response future of a layer that answers some requests itself, and passes on the others.
    pub struct ReplyFuture<F, R> {
        #[pin]
        kind: Kind<F, R>,
    }
}

pin_project! {
    #[project = KindProject]
    enum Kind<F, R> {
        Inner { #[pin] future: F },
        Own { response: Option<Response<ReplyBody<R>>> },
    }
}

impl<F, R> ReplyFuture<F, R> {
    /// Waits for the response of the inner service.
    pub(crate) fn inner(future: F) -> Self {
        Self { kind: Kind::Inner { future } }
    }

    /// Is ready with a response.
    pub(crate) fn own(response: Response<ReplyBody<R>>) -> Self {
        Self { kind: Kind::Own { response: Some(response) } }
    }
}

impl<F, R, E> Future for ReplyFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<ReplyBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProject::Inner { future } => future.poll(cx).map_ok(|response| response.map(ReplyBody::inner)),
            KindProject::Own { response } => match response.take() {
                Some(response) => Poll::Ready(Ok(response)),
                None => Poll::Pending,
            },
        }
    }
}

impl<F, R> fmt::Debug for ReplyFuture<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_own = matches!(self.kind, Kind::Own { .. });
        f.debug_struct("ReplyFuture").field("is_own", &is_own).finish_non_exhaustive()
    }
}
