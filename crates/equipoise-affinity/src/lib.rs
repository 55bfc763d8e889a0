#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod cookie;
pub mod key;
pub mod learn;
#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub mod redis;
pub mod source;
mod store;
pub mod table;
pub mod token;

pub use crate::store::{Lookup, SessionStore, StoreError};
