#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub mod facade;
#[cfg(feature = "live")]
#[cfg_attr(docsrs, doc(cfg(feature = "live")))]
pub mod live;
#[cfg(any(feature = "prometheus", feature = "metrics"))]
#[cfg_attr(docsrs, doc(cfg(any(feature = "prometheus", feature = "metrics"))))]
pub mod metric;
mod monitor;
#[cfg(feature = "page")]
#[cfg_attr(docsrs, doc(cfg(feature = "page")))]
pub mod page;
#[cfg(feature = "prometheus")]
#[cfg_attr(docsrs, doc(cfg(feature = "prometheus")))]
pub mod prometheus;
pub mod report;
mod source;
#[cfg(feature = "trace")]
#[cfg_attr(docsrs, doc(cfg(feature = "trace")))]
pub mod trace;

#[cfg(feature = "gateway")]
pub use crate::source::{FunctionReadings, WatchedFunction};
pub use crate::{
    monitor::Monitor,
    report::Snapshot,
    source::{WatchedListener, WatchedPool},
};
