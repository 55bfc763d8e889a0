#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod attempt;
mod balance;
mod dispatch;
mod error;
mod failure_stage;
#[cfg(feature = "tonic")]
mod grpc;
mod http;
mod placement;
mod plain;
mod point;
mod protocol;
mod replay;
#[cfg(feature = "reqwest")]
mod reqwest;

use equipoise_core::__private as guard;

#[cfg(feature = "tonic")]
pub use crate::grpc::{BalancedChannel, BalancedChannelError, BalancedChannelFuture, balanced_channel};
#[cfg(feature = "reqwest")]
pub use crate::reqwest::{
    BalancedClient, BalancedClientError, BalancedClientFuture, ReqwestError, ReqwestService, balanced_client,
};
pub use crate::{
    attempt::Attempt,
    balance::{Balance, BalanceLayer, ResponseFuture},
    dispatch::{Dispatch, Shared, Targets},
    error::{BoxError, Error, InvalidAddress, PointError, UnsupportedRequest},
    failure_stage::{FailureStage, NotSent},
    http::{Classify, ClassifyHttp, Http, KeptRequest, LeasedBody, RequestHead, ResponseHead, ServedBy, TunnelLease},
    placement::Placement,
    plain::Plain,
    point::PointAt,
    protocol::Protocol,
    replay::{KeptBody, Replay, ReplayBodies, ReplayBodiesLayer, Replayable},
};
