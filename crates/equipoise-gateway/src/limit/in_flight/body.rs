use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::permits::Permit;

pin_project! {
    /// The body of a response that holds the permit of its request. The permit is given back when the body has ended,
    /// has failed, or is dropped.
    #[derive(Debug)]
    pub struct InFlightBody<R> {
        #[pin]
        body: R,
        permit: Option<Permit>,
    }
}

impl<R> InFlightBody<R> {
    pub(super) fn new(body: R, permit: Option<Permit>) -> Self {
        Self { body, permit }
    }
}

impl<R: Body<Data = Bytes>> Body for InFlightBody<R> {
    type Data = Bytes;
    type Error = R::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
        let this = self.project();
        let frame = ready!(this.body.poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            *this.permit = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
