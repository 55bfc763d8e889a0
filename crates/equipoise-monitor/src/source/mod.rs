//! What a monitor reads: pools with what belongs to them, and listeners.

#[cfg(feature = "page")]
mod explain;
mod listener;
mod pool;

#[cfg(feature = "page")]
pub use self::explain::{ExplainAnswer, ExplainQuestion};
pub use self::{listener::WatchedListener, pool::WatchedPool};
