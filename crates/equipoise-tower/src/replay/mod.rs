//! Request bodies that can be sent again.

mod handoff;
mod replayable;
mod wrap;

use bytes::Bytes;
use http_body_util::{Empty, Full, combinators::BoxBody, combinators::UnsyncBoxBody};

pub use self::{
    replayable::{KeptBody, Replayable},
    wrap::{ReplayBodies, ReplayBodiesLayer},
};

/// A request body that failover can send again: because it can be copied, or because an attempt hands it back
/// untouched.
///
/// Implemented for [`Full`], [`Empty`], strings and bytes (copied), for [`BoxBody`] and [`UnsyncBoxBody`] and, with the
/// features of these names, for the bodies of `axum`, `tonic` and `reqwest` (handed back if no frame was taken; bytes in
/// reqwest's are copied).
/// Wrap any other in [`Replayable`].
#[diagnostic::on_unimplemented(
    message = "the request body `{Self}` cannot be sent again to another endpoint",
    label = "this request body does not implement `Replay`"
)]
#[cfg_attr(
    not(feature = "axum"),
    diagnostic::on_unimplemented(
        note = "for `axum::body::Body`, turn on the feature `axum` of `equipoise` (or `equipoise-tower`)"
    )
)]
#[cfg_attr(
    not(feature = "tonic"),
    diagnostic::on_unimplemented(
        note = "for `tonic::body::Body`, turn on the feature `tonic` of `equipoise` (or `equipoise-tower`)"
    )
)]
#[cfg_attr(
    not(feature = "reqwest"),
    diagnostic::on_unimplemented(
        note = "for `reqwest::Body`, turn on the feature `reqwest` of `equipoise` (or `equipoise-tower`)"
    )
)]
#[diagnostic::on_unimplemented(
    note = "in a server, `BalanceLayer::new(pool).incoming()` wraps request bodies of any type",
    note = "elsewhere, wrap the body: `request.map(equipoise::tower::Replayable::new)` (or `equipoise_tower::Replayable`); the client below must then take `Replayable<{Self}>` too, such as `build_http::<Replayable<_>>()`"
)]
pub trait Replay: Sized {
    /// What stays behind while the body is under way.
    type Kept;

    /// The body to send, and what stays behind.
    fn replay(self) -> (Self, Self::Kept);

    /// The body again; `None` if an attempt has taken frames of one that cannot be copied, or still holds it.
    fn restore(kept: Self::Kept) -> Option<Self>;
}

macro_rules! by_copy {
    ($([$($data:ident)?] $body:ty),*) => {$(
        impl<$($data: Clone)?> Replay for $body {
            type Kept = Self;

            fn replay(self) -> (Self, Self) {
                (self.clone(), self)
            }

            fn restore(kept: Self) -> Option<Self> {
                Some(kept)
            }
        }
    )*};
}

by_copy!([] (), [] &'static str, [] String, [] Vec<u8>, [] Bytes, [D] Full<D>);

impl<D> Replay for Empty<D> {
    type Kept = ();

    fn replay(self) -> (Self, ()) {
        (self, ())
    }

    fn restore((): ()) -> Option<Self> {
        Some(Self::new())
    }
}

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
