//! The guide: longer texts, whose examples run as tests.
//!
//! - [`strategies`]: which one to choose.
#![cfg_attr(feature = "affinity", doc = "- [`affinity`]: who comes back where.")]
#![cfg_attr(feature = "health", doc = "- [`health`]: who is asked at all.")]
//! - [`your_own`]: writing one, and testing it.

#[cfg(feature = "affinity")]
pub mod affinity;
#[cfg(feature = "health")]
pub mod health;
pub mod strategies;
pub mod your_own;
