//! Request bodies that can be sent again, for failover.

mod body;
mod boxed;
mod frames;
mod handoff;
mod replayable;

pub use self::{
    body::Replay,
    replayable::{KeptBody, Replayable},
};
