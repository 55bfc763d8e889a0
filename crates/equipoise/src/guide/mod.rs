//! The guide: longer texts, whose examples run as tests.
//!
//! - [`strategies`]: which one to choose.
//! - [`your_own`]: writing one, and testing it.

pub mod strategies;
pub mod your_own;
