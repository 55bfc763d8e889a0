//! Hashing strategies: requests with the same key go to the same endpoint, as long as this endpoint can be used. The
//! key can identify a client, a user or a cached object.
//!
//! | strategy | shares of the endpoints | work of a pick | memory of the table | keys that move when an endpoint is removed |
//! | --- | --- | --- | --- | --- |
//! | [`Maglev`] | even | one look-up | 4 bytes per entry | its own keys, and a few others |
//! | [`Ring`] | differ by about 8 % | two look-ups | about 10 bytes per point | its own keys |
//! | [`Rendezvous`] | even | one score per endpoint | none | its own keys |
//! | [`Jump`] | even | O(log n × largest / mean weight) | none | its own keys, and those of all later endpoints |
//!
//! All four strategies are the type [`Keyed`] with one of four algorithms ([`KeyPlacement`]). The file `keyed.rs`
//! contains what the four have in common. Each algorithm has its own file.

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
