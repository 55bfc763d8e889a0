//! Pools: endpoints with their availability, and the strategy that picks among them.
//!
//! | file | concept |
//! | --- | --- |
//! | `state` | the pool, and how changes are published |
//! | `snapshot` | what a pick reads: members, availability, pickers |
//! | `pick`, `bound` | from the request to the lease; requests that are bound to an endpoint |
//! | `admission` | whether an endpoint accepts a request |
//! | `update`, `draft`, `overlay`, `availability` | changes |
//! | `queue`, `acquire` | requests that wait for capacity |

mod acquire;
mod admission;
mod availability;
mod bound;
mod builder;
mod draft;
mod error;
mod explain;
mod idle;
mod overlay;
mod pick;
mod queue;
mod settings;
mod snapshot;
mod spillover;
mod state;
mod status;
mod update;

pub use self::{
    acquire::Acquire,
    availability::AppliedChanges,
    builder::PoolBuilder,
    draft::Changes,
    error::{PickError, TryUpdateError, UpdateError},
    explain::{Candidate, Explanation},
    idle::Idle,
    spillover::Spillover,
    state::Pool,
    status::EndpointStatus,
};
