// The README shows the clients of all features; its examples compile only where they are on.
#![cfg_attr(any(not(doctest), all(feature = "reqwest", feature = "tonic")), doc = include_str!("../README.md"))]
//! # In this documentation
//!
//! The [`guide`] explains one subject per chapter. The main types are [`Pool`], [`EndpointSpec`] and [`Strategy`]
#![cfg_attr(feature = "tower", doc = "for endpoints; [`Balance`] and [`BalanceLayer`] in [`mod@tower`] for requests;")]
#![cfg_attr(feature = "health", doc = "[`Health`](health::Health) in [`health`] for checks and outlier detection;")]
#![cfg_attr(feature = "affinity", doc = "[`Affinity`](affinity::Affinity) in [`affinity`] for sessions;")]
//! and [`strategy`] for writing a strategy.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod guide;

/// Session affinity: sends all requests of a session to the same endpoint.
#[cfg(feature = "affinity")]
#[cfg_attr(docsrs, doc(cfg(feature = "affinity")))]
#[doc(inline)]
pub use equipoise_affinity as affinity;
#[doc(inline)]
pub use equipoise_core::*;
/// Finds out which endpoints are healthy: health checks, outlier detection, draining.
#[cfg(feature = "health")]
#[cfg_attr(docsrs, doc(cfg(feature = "health")))]
#[doc(inline)]
pub use equipoise_health as health;
/// A simulator that runs real pools and strategies under virtual time.
#[cfg(feature = "sim")]
#[cfg_attr(docsrs, doc(cfg(feature = "sim")))]
#[doc(inline)]
pub use equipoise_sim as sim;
/// Balancers as tower services: for HTTP, gRPC and any other request type.
#[cfg(feature = "tower")]
#[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
#[doc(inline)]
pub use equipoise_tower as tower;
#[cfg(feature = "tower")]
#[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
#[doc(inline)]
pub use equipoise_tower::{Balance, BalanceLayer};
