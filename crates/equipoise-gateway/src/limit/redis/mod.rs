//! Limits that several gateways share in Redis.

mod link;
mod script;
mod settings;
mod shared;
mod stats;

pub(super) use self::shared::SharedLimits;
pub use self::{
    settings::{RedisFallback, RedisLimits},
    stats::RedisLimitStats,
};
