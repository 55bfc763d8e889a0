use bytes::Bytes;
use http_body_util::{Empty, Full};

/// A request body that failover can send again.
///
/// - [`Full`], [`Empty`], strings, bytes, and bytes in `reqwest`'s body are copied, whatever their length.
/// - [`BoxBody`](http_body_util::combinators::BoxBody), [`UnsyncBoxBody`](http_body_util::combinators::UnsyncBoxBody),
///   [`Replayable`](crate::Replayable) and, with the features of these names, the bodies of `axum`, `tonic` and `reqwest` are lent
///   to the attempt. Copies of the frames that it takes are kept, trailers included, up to
///   [`HttpProtocol::max_replay_bytes`](crate::HttpProtocol::max_replay_bytes). Such a body can be sent again unless the attempt has
///   taken more, the body has failed, or the attempt has taken only a part and has not dropped the rest.
///
/// Wrap a body of any other type in [`Replayable`](crate::Replayable).
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

    /// Returns the body to send, and what is kept. A body that cannot be copied keeps at most `max_bytes` of what the attempt
    /// takes.
    fn replay(self, max_bytes: usize) -> (Self, Self::Kept);

    /// Returns the body again, from its start. `None` if that is not possible.
    fn restore(kept: Self::Kept) -> Option<Self>;
}

macro_rules! by_copy {
    ($([$($data:ident)?] $body:ty),*) => {$(
        impl<$($data: Clone)?> Replay for $body {
            type Kept = Self;

            fn replay(self, _: usize) -> (Self, Self) {
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

    fn replay(self, _: usize) -> (Self, ()) {
        (self, ())
    }

    fn restore((): ()) -> Option<Self> {
        Some(Self::new())
    }
}
