#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "live")]
#[cfg_attr(docsrs, doc(cfg(feature = "live")))]
pub mod live;
mod monitor;
pub mod report;
mod source;

pub use crate::{
    monitor::Monitor,
    report::Snapshot,
    source::{WatchedListener, WatchedPool},
};
