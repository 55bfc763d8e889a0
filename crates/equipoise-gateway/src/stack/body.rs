use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use equipoise_tower::BoxError;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use pin_project_lite::pin_project;

use crate::ReplyBody;

pin_project! {
    /// A body that functions may have replaced. The backend gets requests with it, and clients get responses with it.
    ///
    /// Most bodies pass as they are. A body that a function limits, changes or watches is boxed, which costs one
    /// allocation.
    pub struct AnyBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProject]
    enum Kind<B> {
        Untouched { #[pin] body: B },
        Own { bytes: Bytes },
        Changed { body: UnsyncBoxBody<Bytes, BoxError> },
    }
}

impl<B> AnyBody<B> {
    /// Passes on a body as it is.
    pub fn untouched(body: B) -> Self {
        Self { kind: Kind::Untouched { body } }
    }

    pub(super) fn own(bytes: Bytes) -> Self {
        Self { kind: Kind::Own { bytes } }
    }

    /// Boxes a body, unless it is empty.
    pub(super) fn changed<C>(body: C) -> Self
    where
        C: Body<Data = Bytes> + Send + 'static,
        C::Error: Into<BoxError>,
    {
        if body.is_end_stream() {
            return Self::default();
        }
        Self { kind: Kind::Changed { body: body.map_err(Into::into).boxed_unsync() } }
    }
}

/// An empty body.
impl<B> Default for AnyBody<B> {
    fn default() -> Self {
        Self::own(Bytes::new())
    }
}

impl<B: Body<Data = Bytes>> Body for AnyBody<B>
where
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().kind.project() {
            KindProject::Untouched { body } => body.poll_frame(cx).map_err(Into::into),
            KindProject::Own { bytes } if bytes.is_empty() => Poll::Ready(None),
            KindProject::Own { bytes } => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            KindProject::Changed { body } => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Untouched { body } => body.is_end_stream(),
            Kind::Own { bytes } => bytes.is_empty(),
            Kind::Changed { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Untouched { body } => body.size_hint(),
            Kind::Own { bytes } => SizeHint::with_exact(bytes.len() as u64),
            Kind::Changed { body } => body.size_hint(),
        }
    }
}

impl<B> fmt::Debug for AnyBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.kind {
            Kind::Untouched { .. } => "AnyBody::Untouched",
            Kind::Own { .. } => "AnyBody::Own",
            Kind::Changed { .. } => "AnyBody::Changed",
        })
    }
}

/// The body of a response of a layer around a service whose responses have the body [`AnyBody`].
pub(super) trait IntoAny<R> {
    fn into_any(self) -> AnyBody<R>;
}

impl<R> IntoAny<R> for AnyBody<R> {
    fn into_any(self) -> Self {
        self
    }
}

impl<R, C: IntoAny<R>> IntoAny<R> for ReplyBody<C> {
    fn into_any(self) -> AnyBody<R> {
        self.split().map_or_else(AnyBody::own, IntoAny::into_any)
    }
}

#[cfg(feature = "compression")]
impl<R: Body<Data = Bytes> + Send + 'static> IntoAny<R> for crate::compression::CompressedBody<AnyBody<R>>
where
    R::Error: Into<BoxError>,
{
    fn into_any(self) -> AnyBody<R> {
        self.into_plain().unwrap_or_else(AnyBody::changed)
    }
}

/// Bodies that are boxed.
macro_rules! changed {
    ($($(#[$attribute:meta])* $body:path;)*) => {$(
        $(#[$attribute])*
        impl<R: Body<Data = Bytes> + Send + 'static> IntoAny<R> for $body
        where
            R::Error: Into<BoxError>,
        {
            fn into_any(self) -> AnyBody<R> {
                AnyBody::changed(self)
            }
        }
    )*};
}

changed! {
    crate::filter::FilteredBody<AnyBody<R>>;
    #[cfg(feature = "cache")]
    crate::cache::CacheBody<AnyBody<R>>;
    #[cfg(feature = "rate-limit")]
    crate::limit::InFlightBody<AnyBody<R>>;
}
