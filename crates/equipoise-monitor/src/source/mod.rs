//! What a [`Monitor`](crate::Monitor) watches: pools and listeners, with what is read of them for each snapshot.

#[cfg(feature = "http")]
mod connections;
#[cfg(feature = "page")]
mod explain;
#[cfg(feature = "health")]
mod health;
mod listener;
mod pool;
#[cfg(feature = "affinity")]
mod sessions;
#[cfg(test)]
mod testing;

#[cfg(feature = "page")]
pub use self::explain::{ExplainAnswer, ExplainQuestion};
pub use self::{listener::WatchedListener, pool::WatchedPool};
