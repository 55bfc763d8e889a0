#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod balance;
mod drop_reason;
mod error;
mod error_class;
#[cfg(feature = "tonic")]
mod grpc;
mod http;
mod interim;
mod observe;
mod placement;
mod plain;
mod point_at;
mod protocol;
mod replay;
#[cfg(feature = "reqwest")]
mod reqwest;

use equipoise_core::__private as guard;

#[cfg(feature = "reqwest")]
pub use crate::error::ReqwestError;
#[cfg(feature = "tonic")]
pub use crate::grpc::{BalancedChannel, BalancedChannelError, BalancedChannelFuture, balanced_channel};
#[cfg(feature = "reqwest")]
pub use crate::reqwest::{BalancedClient, BalancedClientError, BalancedClientFuture, ReqwestService, balanced_client};
pub use crate::{
    balance::{
        Balance, BalanceLayer, Dispatch, ReplayBodies, ReplayBodiesLayer, ResponseFuture, SharedClient, Targets,
    },
    drop_reason::{drop_late, poll_checked, refuse_response},
    error::{AttemptTimedOut, BoxError, Error, FailureStage, InvalidAddress, NotSent, PointError, UnsupportedRequest},
    error_class::{ErrorClass, Retryable},
    http::{
        Classify, ClassifyHttp, HttpProtocol, KeptRequest, LeasedBody, RequestHead, ResponseHead, ServedBy, TunnelLease,
    },
    interim::InterimSender,
    observe::{
        AttemptEnd, BodyEnd, BodyObserver, EventKind, Observe, ObserveRequest, QueueEnd, RequestEvent, RequestId,
        RequestOutcome, RequestStart,
    },
    placement::Placement,
    plain::PlainProtocol,
    point_at::PointAt,
    protocol::{Attempt, Protocol},
    replay::{KeptBody, Replay, Replayable},
};

/// Helpers for the other crates of this project. They are not part of the public interface and may change in any
/// version.
#[doc(hidden)]
pub mod __private {
    pub use crate::http::is_grpc;
}
