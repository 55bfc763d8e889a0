//! Limits that several gateways share in Redis.

mod script;
mod settings;
mod shared;
mod stats;

pub(super) use self::shared::{SharedLimits, Unavailable};
pub use self::{
    settings::{RedisFallback, RedisLimits},
    stats::RedisLimitStats,
};
