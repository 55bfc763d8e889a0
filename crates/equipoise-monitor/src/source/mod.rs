//! What a monitor reads: pools with what belongs to them, and listeners.

mod listener;
mod pool;

pub use self::{listener::WatchedListener, pool::WatchedPool};
