//! The driver: the machine under tokio, with a real pool.
#![cfg(feature = "tokio")]

mod checks;
mod members;
mod orders;
mod requests;
mod runs;
mod world;
