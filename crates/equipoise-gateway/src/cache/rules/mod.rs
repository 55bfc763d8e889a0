//! What RFC 9111 and its companions say of one request and one response. Nothing here waits or knows the time.

pub(crate) mod conditional;
pub(crate) mod control;
pub(crate) mod date;
mod deception;
pub(crate) mod fields;
pub(crate) mod freshness;
pub(crate) mod policy;
pub(crate) mod range;
pub(crate) mod reason;
pub(crate) mod targeted;
pub(crate) mod vary;
