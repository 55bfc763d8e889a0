#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod attempt;
mod balance;
mod dispatch;
mod error;
mod error_class;
mod failure_stage;
#[cfg(feature = "tonic")]
mod grpc;
mod http;
mod observe;
mod placement;
mod plain;
mod point;
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
    attempt::Attempt,
    balance::{Balance, BalanceLayer, ReplayBodies, ReplayBodiesLayer, ResponseFuture},
    dispatch::{Dispatch, SharedClient, Targets},
    error::{AttemptTimedOut, BoxError, Error, InvalidAddress, NotSent, PointError, UnsupportedRequest},
    error_class::{ErrorClass, Retryable},
    failure_stage::FailureStage,
    http::{
        Classify, ClassifyHttp, HttpProtocol, KeptRequest, LeasedBody, RequestHead, ResponseHead, ServedBy, TunnelLease,
    },
    observe::{AttemptEnd, Event, EventKind, Observe, Outcome, QueueEnd, RequestId},
    placement::Placement,
    plain::PlainProtocol,
    point::PointAt,
    protocol::Protocol,
    replay::{KeptBody, Replay, Replayable},
};
