#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod affinity;
pub mod by_name;
pub mod cookie;
pub mod key;
mod layer;
pub mod learn;
#[cfg(feature = "redis")]
mod link;
mod members;
mod mode;
mod outcome;
mod read;
#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub mod redis;
mod scan;
pub mod source;
mod store;
pub mod table;
pub mod token;

use equipoise_core::__private as guard;

/// What other crates of the workspace use. No part of the interface: it may change with each version.
#[doc(hidden)]
pub mod __private {
    #[cfg(feature = "redis")]
    pub use crate::link::{Failure, Link, LinkSettings, Live, Script, Server, WrongUrl, explain, is_full};
}

pub use crate::{
    affinity::{Affinity, AffinityExplanation, InvalidMode, OnUnavailable, SessionLimit},
    by_name::{AffinitySpec, InvalidAffinity},
    layer::{AffinityFuture, AffinityLayer, WithAffinity},
    mode::{EndpointNaming, InvalidNaming, Mode},
    outcome::{AffinityOutcome, AffinityStats, UnboundReason},
    store::{Lookup, SessionStore, StoreError, StoreStats},
};
