#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "auth")]
#[cfg_attr(docsrs, doc(cfg(feature = "auth")))]
pub mod auth;
#[cfg(feature = "browser")]
#[cfg_attr(docsrs, doc(cfg(feature = "browser")))]
pub mod browser;
#[cfg(feature = "cache")]
#[cfg_attr(docsrs, doc(cfg(feature = "cache")))]
pub mod cache;
mod changed_content;
#[cfg(feature = "compression")]
#[cfg_attr(docsrs, doc(cfg(feature = "compression")))]
pub mod compression;
mod denial;
pub mod filter;
mod framing;
mod identity;
#[cfg(feature = "rate-limit")]
#[cfg_attr(docsrs, doc(cfg(feature = "rate-limit")))]
pub mod limit;
#[cfg(any(feature = "cache-redis", feature = "rate-limit-redis"))]
mod redis;
mod reply;
mod reply_future;
#[cfg(any(feature = "auth-jwt", feature = "cache-redis", feature = "rate-limit"))]
mod setting;
pub mod stack;

#[cfg(any(feature = "auth-jwt", feature = "cache-redis", feature = "rate-limit"))]
pub use crate::setting::InvalidSetting;
pub use crate::{
    denial::{Denial, DenialCode},
    identity::{Identity, Mechanism},
    reply::ReplyBody,
    reply_future::ReplyFuture,
};
