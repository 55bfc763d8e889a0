//! A shared HTTP cache (RFC 9111).

pub mod store;
