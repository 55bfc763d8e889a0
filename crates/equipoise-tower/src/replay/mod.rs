//! Request bodies that can be sent again, for failover. Bodies that can be copied implement [`Replay`] here. Other
//! bodies are recorded while an attempt takes frames from them.

mod handoff;
mod replayable;

use bytes::Bytes;
use http_body_util::{Empty, Full};

pub use self::replayable::{KeptBody, Replayable};

/// A request body that failover can send again. There are two kinds:
///
/// - **Copied bodies**: [`Full`], [`Empty`], strings, bytes, and a `reqwest::Body` that is made of bytes. They can
///   always be sent again, whatever their length.
/// - **Recorded bodies**: [`BoxBody`](http_body_util::combinators::BoxBody),
///   [`UnsyncBoxBody`](http_body_util::combinators::UnsyncBoxBody), [`Replayable`](crate::Replayable), and, with the
///   features of these names, the bodies of `axum`, `tonic` and `reqwest`. While an attempt takes frames from such a
///   body, copies of these frames are kept, including trailers, up to
///   [`HttpProtocol::max_replay_bytes`](crate::HttpProtocol::max_replay_bytes).
///
/// A recorded body cannot be sent again in these cases:
///
/// - The attempt has taken more bytes than this maximum.
/// - The body has failed.
/// - The attempt has taken only a part of the body and has not dropped the rest.
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
    /// The type of what is kept of the body during an attempt, so that the body can be sent again.
    type Kept;

    /// Prepares the body for an attempt. Returns the body to send, and what [`restore`](Self::restore) needs to build
    /// the body again. If the body cannot be copied, at most `max_bytes` bytes of what the attempt takes are kept.
    fn replay(self, max_bytes: usize) -> (Self, Self::Kept);

    /// Builds the body again, from its start. `kept` comes from [`replay`](Self::replay). `None` if this is not
    /// possible, for example because the attempt has taken more of the body than was kept.
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
