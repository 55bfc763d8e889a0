//! Implements [`Replay`] for boxed bodies. During an attempt, a boxed body is wrapped in another box, which gives it
//! back.

#[cfg(feature = "reqwest")]
use bytes::Bytes;
use http_body_util::combinators::{BoxBody, UnsyncBoxBody};

use super::{
    body::Replay,
    handoff::{Source, lend},
    replayable::KeptBody,
};

/// Implements [`Replay`] for a boxed body. Except if it is empty, the body is put into a box that gives it back after
/// the attempt.
macro_rules! by_handing_back {
    ($(#[$when:meta])* [$($data:ident $error:ident)?] $body:ty, $put_into_box:path) => {
        $(#[$when])*
        impl<$($data: bytes::Buf + Clone + Send + Sync + 'static, $error: 'static)?> Replay for $body {
            type Kept = KeptBody<Self>;

            fn replay(self, max_bytes: usize) -> (Self, KeptBody<Self>) {
                if http_body::Body::is_end_stream(&self) {
                    return (self, KeptBody::empty());
                }
                let (lent, slot) = lend(Source::new(self), max_bytes);
                ($put_into_box(lent), KeptBody::of(slot))
            }

            fn restore(kept: KeptBody<Self>) -> Option<Self> {
                kept.take().map(|source| source.into_body().unwrap_or_else($put_into_box))
            }
        }
    };
}

by_handing_back!([D E] BoxBody<D, E>, BoxBody::new);
by_handing_back!([D E] UnsyncBoxBody<D, E>, UnsyncBoxBody::new);
by_handing_back!(#[cfg(feature = "axum")] [] axum_core::body::Body, axum_core::body::Body::new);
by_handing_back!(#[cfg(feature = "tonic")] [] tonic::body::Body, tonic::body::Body::new);

/// Bytes are copied. If they were wrapped, reqwest would treat them as a stream, which it does not send again after a
/// redirect.
#[cfg(feature = "reqwest")]
impl Replay for reqwest::Body {
    type Kept = Result<Bytes, KeptBody<Self>>;

    fn replay(self, max_bytes: usize) -> (Self, Self::Kept) {
        match self.as_bytes().map(Bytes::copy_from_slice) {
            Some(bytes) => (bytes.clone().into(), Ok(bytes)),
            None => {
                let (lent, slot) = lend(Source::new(self), max_bytes);
                (Self::wrap(lent), Err(KeptBody::of(slot)))
            }
        }
    }

    fn restore(kept: Self::Kept) -> Option<Self> {
        match kept {
            Ok(bytes) => Some(bytes.into()),
            Err(kept) => kept.take().map(|source| source.into_body().unwrap_or_else(Self::wrap)),
        }
    }
}
