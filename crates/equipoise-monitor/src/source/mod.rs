//! What a [`Monitor`](crate::Monitor) watches: pools, listeners and functions of a gateway, with what is read of them for each
//! snapshot.

mod by_id;
#[cfg(feature = "http")]
mod connections;
#[cfg(feature = "page")]
mod explain;
#[cfg(feature = "gateway")]
mod function;
#[cfg(feature = "gateway")]
mod gateway;
#[cfg(feature = "health")]
mod health;
mod listener;
mod pool;
#[cfg(any(
    feature = "proxy-forward",
    feature = "proxy-protocol",
    feature = "proxy-server",
    feature = "proxy-sni",
    feature = "proxy-tcp",
    feature = "proxy-tls",
    feature = "proxy-udp"
))]
mod proxy;
#[cfg(feature = "affinity")]
mod sessions;
#[cfg(test)]
mod testing;

#[cfg(feature = "page")]
pub use self::explain::{ExplainAnswer, ExplainQuestion};
#[cfg(feature = "gateway")]
pub use self::function::{FunctionReadings, WatchedFunction};
pub use self::{listener::WatchedListener, pool::WatchedPool};
