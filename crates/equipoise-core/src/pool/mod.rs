//! Pools: a [`Pool`] has endpoints, the availability of each, and the strategy that picks among them.
//!
//! | file | content |
//! | --- | --- |
//! | `state` | the pool, its settings and its snapshot: members, availability, pickers |
//! | `pick`, `bound` | the pick, from the request to the lease; picks for requests that are bound to an endpoint |
//! | `publish` | how a change replaces the snapshot |
//! | `update`, `draft`, `overlay`, `availability` | changes of the endpoints |
//! | `removal` | what is called with the targets of endpoints that have left |
//! | `changes`, `difference` | what a change has changed, and the functions that are told |
//! | `queue`, `acquire` | requests that wait for capacity |
//! | `status`, `stats` | what is reported of endpoints, and of the pool as a whole |
//! | `counters`, `departed` | counts for reports: what happens to requests beside their leases; the endpoints that have left |

mod acquire;
mod availability;
mod bound;
mod builder;
mod changes;
mod counters;
mod departed;
mod difference;
mod draft;
mod error;
mod explain;
mod idle;
mod overlay;
mod pick;
mod publish;
mod queue;
mod removal;
mod spillover;
mod state;
mod stats;
mod status;
mod update;

pub use self::{
    acquire::Acquire,
    availability::AppliedChanges,
    builder::PoolBuilder,
    changes::{ChangeWatch, Changes, PoolChange},
    difference::watch_changes,
    error::{PickError, TryUpdateError, UpdateError},
    explain::{Candidate, Explanation},
    idle::Idle,
    removal::close_with_endpoint,
    spillover::Spillover,
    state::Pool,
    stats::{DepartedEndpoint, PoolStats, PoolStatus},
    status::EndpointStatus,
};
