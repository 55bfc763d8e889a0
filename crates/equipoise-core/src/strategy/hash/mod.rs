//! Hashing strategies: requests with the same key go to the same endpoint as long as it is a member. The key can be a
//! client, a user or a cached object.
//!
//! | | shares | a pick | tables | when an endpoint leaves |
//! | --- | --- | --- | --- | --- |
//! | [`Maglev`](super::Maglev) | even | one look-up | 4 bytes an entry | its keys move, and a few others |
//! | [`Ring`](super::Ring) | within some 8 % | two look-ups | about 10 bytes a point | its keys move |
//! | [`Rendezvous`](super::Rendezvous) | even | scores all | none | its keys move |
//! | [`Jump`](super::Jump) | even | O(log n × heaviest / mean weight) arithmetic | none | few keys move only if it is the last |
//!
//! All four are the type [`Keyed`](super::Keyed) with one of four [`KeyPlacement`](super::KeyPlacement)s. `keyed.rs` has what
//! they share; each algorithm has a file of its own.

mod bounded;
mod error;
mod jump;
mod keyed;
mod maglev;
mod members;
mod rendezvous;
mod ring;
mod source;
mod table;

pub use self::{
    bounded::{BoundedLoad, BoundedLoadPicker, BoundedLoadState, LoadCount},
    error::InvalidHashing,
    jump::{Jump, JumpPlacement, JumpTable},
    keyed::{KeyPlacement, Keyed, KeyedPicker, KeyedState, Uncounted},
    maglev::{Maglev, MaglevPlacement, MaglevTable},
    members::HashMembers,
    rendezvous::{NoTable, Rendezvous, RendezvousPlacement},
    ring::{Ring, RingPlacement, RingTable},
    source::{SourceKey, SourcePrefix},
    table::Table,
};
