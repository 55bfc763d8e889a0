use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// The body of a response: that of the inner service, or a short one that a layer has made itself.
    #[derive(Clone, Debug)]
    pub struct ReplyBody<R> {
        #[pin]
        kind: Kind<R>,
    }
}

pin_project! {
    #[project = KindProject]
    #[derive(Clone, Debug)]
    enum Kind<R> {
        Inner { #[pin] body: R },
        Own { bytes: Bytes },
    }
}

impl<R> ReplyBody<R> {
    /// Passes on the body of the inner service.
    pub fn inner(body: R) -> Self {
        Self { kind: Kind::Inner { body } }
    }

    /// Creates a body of these bytes.
    pub fn own(bytes: impl Into<Bytes>) -> Self {
        Self { kind: Kind::Own { bytes: bytes.into() } }
    }

    /// Returns the body of the inner service, or the bytes that are not read yet.
    pub(crate) fn split(self) -> Result<R, Bytes> {
        match self.kind {
            Kind::Inner { body } => Ok(body),
            Kind::Own { bytes } => Err(bytes),
        }
    }

    /// Returns the bytes that are not read yet, if the body was created with [`own`](Self::own).
    pub fn into_own(self) -> Option<Bytes> {
        match self.kind {
            Kind::Inner { .. } => None,
            Kind::Own { bytes } => Some(bytes),
        }
    }
}

impl<R: Body<Data = Bytes>> Body for ReplyBody<R> {
    type Data = Bytes;
    type Error = R::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
        match self.project().kind.project() {
            KindProject::Inner { body } => body.poll_frame(cx),
            KindProject::Own { bytes } if bytes.is_empty() => Poll::Ready(None),
            KindProject::Own { bytes } => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Inner { body } => body.is_end_stream(),
            Kind::Own { bytes } => bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body } => body.size_hint(),
            Kind::Own { bytes } => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Empty};

    use super::*;

    #[tokio::test]
    async fn own_bytes_are_one_frame() {
        let body = ReplyBody::<Empty<Bytes>>::own("abc");
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(3), false));
        assert_eq!(body.collect().await.expect("no error").to_bytes(), "abc");
        assert!(ReplyBody::<Empty<Bytes>>::own("").is_end_stream());
    }

    #[test]
    fn the_inner_body_is_passed_on() {
        let body = ReplyBody::inner(Empty::<Bytes>::new());
        assert!(body.is_end_stream() && body.into_own().is_none());
    }
}
