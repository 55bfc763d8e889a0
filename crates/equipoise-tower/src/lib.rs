#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod balance;
mod dispatch;
mod error;
mod guard;
mod http;
mod placement;
mod plain;
mod point;
mod protocol;
mod reach;
mod replay;
#[cfg(feature = "reqwest")]
mod reqwest;

#[cfg(feature = "reqwest")]
pub use crate::reqwest::ReqwestService;
pub use crate::{
    balance::{Balance, BalanceLayer, ResponseFuture},
    dispatch::{Dispatch, Shared, Targets},
    error::{BoxError, Error, InvalidAddress},
    http::{Classify, ClassifyHttp, Http, KeptRequest, LeasedBody, RequestHead, ResponseHead, ServedBy, TunnelLease},
    placement::Placement,
    plain::Plain,
    point::PointAt,
    protocol::Protocol,
    reach::{NotSent, Reach},
    replay::{KeptBody, Replay, Replayable},
};
