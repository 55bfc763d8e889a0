//! Placing requests by key: a client, a user or a cached object keeps its endpoint as long as the endpoint is there.
//!
//! | | shares | a pick | tables | when an endpoint leaves |
//! | --- | --- | --- | --- | --- |
//! | [`Maglev`](super::Maglev) | even | one look-up | 4 bytes an entry | its keys move, and a few others |
//! | [`Ring`](super::Ring) | within some 8 % | two look-ups | about 10 bytes a point | its keys move |
//! | [`Rendezvous`](super::Rendezvous) | even | looks at all | none | its keys move |
//! | [`Jump`](super::Jump) | even | O(log n × heaviest / mean weight) arithmetic | none | cheap only for the last |
//!
//! All are one type, [`Keyed`](super::Keyed), over one of four [`KeyPlacement`](super::KeyPlacement)s: what they have in
//! common is in `keyed.rs`, and what an algorithm is in the file of its name.

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
