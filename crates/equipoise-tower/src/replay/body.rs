use bytes::Bytes;
use http_body_util::{Empty, Full};

/// A request body that failover can send again. Either it can be copied, or it comes back from an attempt that did not touch
/// it.
///
/// Implemented for [`Full`], [`Empty`], strings and bytes (copied), for [`BoxBody`](http_body_util::combinators::BoxBody) and [`UnsyncBoxBody`](http_body_util::combinators::UnsyncBoxBody) and, with the
/// features of these names, for the bodies of `axum`, `tonic` and `reqwest` (handed back if no frame was taken; bytes in
/// reqwest's are copied).
/// Wrap any other in [`Replayable`](crate::Replayable).
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
    /// What is kept during an attempt.
    type Kept;

    /// Returns the body to send, and what is kept.
    fn replay(self) -> (Self, Self::Kept);

    /// Returns the body again. `None` if it cannot be copied and an attempt has taken frames of it or still holds it.
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
