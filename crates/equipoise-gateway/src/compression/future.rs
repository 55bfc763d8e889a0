use std::{
    fmt,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use equipoise_tower::BoxError;
use http::{Response, StatusCode, response};
use http_body::Body;
use pin_project_lite::pin_project;

use super::{
    CompressedBody, Encoding,
    body::Input,
    codec::{Encoder, encoder},
    head::{encode, has_no_transform, is_complete, length_of, vary},
    negotiate::Accepted,
    settings::{Settings, Shared, Slot},
};
use crate::changed_content::WeakTags;

/// What is known of a request when its response has come.
pub(super) struct Wanted {
    pub(super) accepted: Accepted,
    pub(super) is_head: bool,
    /// Whether the response must not be changed, whatever it is.
    pub(super) is_excluded: bool,
    pub(super) weak_tags: WeakTags,
}

pin_project! {
    /// The response future of a [`Compression`](super::Compression).
    pub struct CompressionFuture<F, R> {
        #[pin]
        future: F,
        wanted: Wanted,
        settings: Arc<Settings>,
        shared: Arc<Shared>,
        begun: Option<Begun<R>>,
    }
}

/// A response whose content gets an encoding.
struct Begun<R> {
    parts: response::Parts,
    encoding: Encoding,
    slot: Slot,
    encoder: Encoder<Input<R>>,
}

impl<F, R> CompressionFuture<F, R> {
    pub(super) fn new(future: F, wanted: Wanted, settings: Arc<Settings>, shared: Arc<Shared>) -> Self {
        Self { future, wanted, settings, shared, begun: None }
    }
}

impl Wanted {
    /// Changes the fields of a response. Returns the encoding if its content must be encoded.
    fn apply(
        &self,
        parts: &mut response::Parts,
        body: &impl Body,
        settings: &Settings,
        shared: &Arc<Shared>,
    ) -> Option<(Encoding, Slot)> {
        if parts.status == StatusCode::NOT_MODIFIED {
            // The client has the compressed response, so this must be the same tag.
            if self.weak_tags.weaken(&mut parts.headers) {
                vary(&mut parts.headers);
            }
            return None;
        }
        if self.is_excluded || !is_complete(parts.status, &parts.headers) || has_no_transform(&parts.headers) {
            return None;
        }
        let length = if self.is_head { None } else { body.size_hint().exact() };
        let is_long = length.or_else(|| length_of(&parts.headers)).is_none_or(|length| length >= settings.min_bytes);
        if !settings.media_types.contain(&parts.headers)
            || !is_long && !self.accepted.refuses_identity
            || !self.is_head && body.is_end_stream()
            || settings.only_if.as_ref().is_some_and(|condition| !condition(parts))
        {
            return None;
        }
        vary(&mut parts.headers);
        let Some(encoding) = self.accepted.encoding else {
            shared.not_accepted.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        if self.is_head {
            encode(&mut parts.headers, encoding);
            return None;
        }
        let slot = shared.begin(settings.max_concurrent)?;
        encode(&mut parts.headers, encoding);
        Some((encoding, slot))
    }
}

impl<F, R, E> Future for CompressionFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<CompressedBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut begun = match this.begun.take() {
            Some(begun) => begun,
            None => {
                let (mut parts, body) = ready!(this.future.poll(cx))?.into_parts();
                match this.wanted.apply(&mut parts, &body, this.settings, this.shared) {
                    None => return Poll::Ready(Ok(Response::from_parts(parts, CompressedBody::plain(body)))),
                    Some((encoding, slot)) => {
                        let encoder = encoder(Input::new(body), encoding, this.settings.levels.of(encoding));
                        Begun { parts, encoding, slot, encoder }
                    }
                }
            }
        };
        match Pin::new(&mut begun.encoder).poll(cx) {
            Poll::Ready(Ok(response)) => {
                let body = CompressedBody::encoded(response.into_body(), begun.encoding, begun.slot);
                Poll::Ready(Ok(Response::from_parts(begun.parts, body)))
            }
            Poll::Ready(Err(never)) => match never {},
            Poll::Pending => {
                *this.begun = Some(begun);
                Poll::Pending
            }
        }
    }
}

impl<F, R> fmt::Debug for CompressionFuture<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompressionFuture").field("accepted", &self.wanted.accepted).finish_non_exhaustive()
    }
}
