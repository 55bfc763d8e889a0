//! What clients of one fetch share: its outcome, and the body while it arrives.

pub(crate) mod fill;
pub(crate) mod flight;
