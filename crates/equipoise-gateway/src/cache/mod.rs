//! A shared HTTP cache (RFC 9111).

mod body;
mod engine;
mod error;
mod fetch;
mod handle;
mod key;
mod layer;
mod rules;
mod service;
mod stats;
mod status;
pub mod store;

pub use self::{
    body::CacheBody,
    error::{CacheConfigError, CacheError, PurgeError},
    handle::CacheHandle,
    key::KeyPolicy,
    layer::{CacheBuilder, CacheLayer},
    rules::policy::SetCookie,
    service::{Cache, CacheFuture},
    stats::CacheStats,
};
