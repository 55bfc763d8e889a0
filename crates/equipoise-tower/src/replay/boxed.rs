//! Bodies in boxes, which can hand back what they hold.

#[cfg(feature = "reqwest")]
use bytes::Bytes;
use http_body_util::combinators::{BoxBody, UnsyncBoxBody};

use super::{body::Replay, handoff, replayable::KeptBody};

/// A boxed body is put into a box that hands it back.
macro_rules! by_handing_back {
    ($(#[$when:meta])* [$($data:ident $error:ident)?] $body:ty, $put_into_box:path) => {
        $(#[$when])*
        impl<$($data: bytes::Buf + Send + Sync + 'static, $error: 'static)?> Replay for $body {
            type Kept = KeptBody<Self>;

            fn replay(self) -> (Self, KeptBody<Self>) {
                let (lent, slot) = handoff::lend(self);
                ($put_into_box(lent), KeptBody::of(slot))
            }

            fn restore(kept: KeptBody<Self>) -> Option<Self> {
                kept.take()
            }
        }
    };
}

by_handing_back!([D E] BoxBody<D, E>, BoxBody::new);
by_handing_back!([D E] UnsyncBoxBody<D, E>, UnsyncBoxBody::new);
by_handing_back!(#[cfg(feature = "axum")] [] axum_core::body::Body, axum_core::body::Body::new);
by_handing_back!(#[cfg(feature = "tonic")] [] tonic::body::Body, tonic::body::Body::new);

/// Bytes are copied: wrapped, they would be a stream to reqwest, which it repeats for no redirect.
#[cfg(feature = "reqwest")]
impl Replay for reqwest::Body {
    type Kept = Result<Bytes, KeptBody<Self>>;

    fn replay(self) -> (Self, Self::Kept) {
        match self.as_bytes().map(Bytes::copy_from_slice) {
            Some(bytes) => (bytes.clone().into(), Ok(bytes)),
            None => {
                let (lent, slot) = handoff::lend(self);
                (Self::wrap(lent), Err(KeptBody::of(slot)))
            }
        }
    }

    fn restore(kept: Self::Kept) -> Option<Self> {
        match kept {
            Ok(bytes) => Some(bytes.into()),
            Err(kept) => kept.take(),
        }
    }
}
